"""Kept results of a suite: which still hold, by cells and code, and those that say "nothing"."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import celloquy
from celloquy.errors import InputError
from celloquy.evaluation import load_suite, make_report, run_suite
from celloquy.evaluation._suite_stamp import NOT_OF_RESULTS, code_hash
from suite_cells import LEFT_OUT, write_cells, write_suite

PACKAGE = Path(celloquy.__file__).parent
MODULE = "evaluation/_suite_labels.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("data")
    write_cells(made)
    return made


@pytest.fixture
def suite(tmp_path):
    return load_suite(write_suite(tmp_path / "s.toml", LEFT_OUT))


def small_package(where):
    for name in ("learn/_heads.py", "apps/_told.py", "evaluation/_suite_report.py", MODULE,
                 "tasks/x.toml", "learn/__pycache__/_heads.pyc"):  # fmt: skip
        path = where / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"of {name}\n", "utf-8")
    return where


def test_the_hash_of_the_code_sees_what_results_depend_on_and_nothing_else(tmp_path):
    first = code_hash(small_package(tmp_path / "one"))
    same = small_package(tmp_path / "two")
    for name in ("apps/_told.py", "evaluation/_suite_report.py", "learn/__pycache__/_heads.pyc"):
        (same / name).write_text("other", "utf-8")
    assert code_hash(same) == first
    for i, name in enumerate((MODULE, "learn/_heads.py", "tasks/x.toml")):
        other = small_package(tmp_path / f"other {i}")
        (other / name).write_text("other", "utf-8")
        assert code_hash(other) != first
    renamed = small_package(tmp_path / "renamed")
    (renamed / "learn/_heads.py").rename(renamed / "learn/_head.py")
    assert code_hash(renamed) != first


def test_a_folder_without_code_is_refused(tmp_path):
    with pytest.raises(InputError, match="There is no code of celloquy in the folder"):
        code_hash(tmp_path)


def test_what_the_hash_leaves_out_is_there_and_only_pages_import_it():
    pages = {Path(name).stem for name in NOT_OF_RESULTS if name.endswith(".py")}
    assert all((PACKAGE / name).exists() for name in NOT_OF_RESULTS if name != "scale")
    for path in (PACKAGE / "evaluation").glob("*.py"):
        if path.stem in {*pages, "__init__"}:
            continue
        named = re.findall(r"from celloquy\.evaluation\.(\w+) import", path.read_text("utf-8"))
        assert not pages.intersection(named), path.name


def test_results_of_other_code_are_refused_and_those_of_the_same_are_kept(suite, folder, tmp_path):
    out = tmp_path / "out"
    first = run_suite(suite, folder, out=out)
    path = next((out / "cells").iterdir())
    kept = json.loads(path.read_text("utf-8"))
    assert set(kept["made_of"]) == {"cells", "celloquy", "precision", "code"}
    changed = kept | {"made_of": kept["made_of"] | {"code": "0" * 64}}
    path.write_text(json.dumps(changed), "utf-8")
    said = r"is a result of other code of the same version\.\nhint"
    with pytest.raises(InputError, match=said) as refusal:
        run_suite(suite, folder, out=out)
    assert "--overwrite" in refusal.value.hint
    before = {each: each.stat().st_mtime_ns for each in (out / "cells").iterdir()}
    again = run_suite(suite, folder, out=out, overwrite=True)
    assert [one["metrics"] for one in again] == [one["metrics"] for one in first]
    assert [each for each, when in before.items() if each.stat().st_mtime_ns != when] == [path]


def test_what_does_not_apply_is_kept_with_its_reason_and_asked_once(folder, tmp_path, capsys):
    text = LEFT_OUT.replace(
        'design = "leave-one-out"\n', 'measures = "reconstruction"\n'
    ).replace('["majority", "centroid"]', '["mean", "counted"]')  # fmt: skip
    suite = load_suite(write_suite(tmp_path / "s.toml", text))
    out = tmp_path / "out"
    records = run_suite(suite, folder, out=out)
    assert "6 results in" in (told := capsys.readouterr().err)
    assert "1 not applicable" in told
    apart = [one for one in records if "not_applicable" in one]
    assert [(one["method"]["name"], one["case"]["kind"]) for one in apart] == [
        ("counted", "full sentences")
    ]
    assert "metrics" not in apart[0]
    assert len(list((out / "cells").iterdir())) == len(records) == 6
    assert run_suite(suite, folder, out=out) == records
    assert "0 results in" in capsys.readouterr().err
    report = make_report(suite, records, sets=[], command="c")
    why = "of a full sentence it says what another method says"
    assert len(report.results.table) == 5
    assert f"| full sentences | {apart[0]['method']['title']} | 1 | {why} |" in str(report)
    assert report.to_dict()["not_applicable"][0]["why"] == why
