"""The random order of a corpus: many parts give what all examples sorted by key give."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from itertools import count, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celloquy._runtime import ShardPlan, ShardResult
from celloquy.training import _corpus_deal, _corpus_files, _corpus_plan, build_corpus
from celloquy.training._corpus_deal import MadeParts, deal_part, job_borders, make_parts, summed
from celloquy.training._corpus_files import MADE, write_part
from celloquy.training._recipe_corpus import PARTS
from corpora import cells, recipe, source

ABOUT = {"recipe_sha256": "a", "split_sha256": "b"}
N_EACH = 40


@pytest.fixture
def three_at_a_time(monkeypatch):
    """Let three parts be read side by side, and a few rows be in memory."""
    monkeypatch.setattr(_corpus_deal, "FAN_IN", 3)
    monkeypatch.setattr(_corpus_deal, "_AT_ONCE", 30)
    monkeypatch.setattr(_corpus_files, "TOGETHER", 7)
    monkeypatch.setattr(_corpus_deal, "TOGETHER", 7)


def keys_of(job):
    """Give the keys and the parts of the examples of a job."""
    rng = np.random.default_rng(job)
    parts = rng.choice(3, N_EACH, p=[0.8, 0.1, 0.1])
    return rng.integers(0, 2**64, N_EACH, dtype=np.uint64), parts


def make(shard, path):
    """Write the examples of a job; row 40 j + i is the i-th of job j."""
    keys, parts = keys_of(shard.start)
    known = {
        "order": pa.array(keys),
        "task": pa.array([f"task {shard.start % 5}"] * N_EACH).dictionary_encode(),
        "part": pa.array([PARTS[part] for part in parts]).dictionary_encode(),
        "row": pa.array(shard.start * N_EACH + np.arange(N_EACH)),
    }
    columns = [
        known.get(field.name, pa.nulls(N_EACH, field.type)).cast(field.type) for field in MADE
    ]
    counts = write_part([pa.Table.from_arrays(columns, schema=MADE)], path)
    return ShardResult(N_EACH, {"counts": counts, "lost": {"nothing": 1}})


def plan_of(n_jobs):
    return ShardPlan(inputs={}, config={}, borders=job_borders(0, n_jobs), ending=".arrow")


def dealt(made, folder):
    """Deal finished parts, and give the rows of each part of the corpus in order."""
    found = []
    with closing(MadeParts([part.path for part in made])) as parts:
        for number, name in enumerate(PARTS):
            deal_part(parts, number, folder / name, about=ABOUT, shard_size=90)
            files = sorted((folder / name).glob("*.parquet"))
            found.append([row for file in files for row in pq.read_table(file)["row"].to_pylist()])
    return found


def expected(n_jobs):
    """Sort all examples by key, part by part."""
    keys = np.concatenate([keys_of(job)[0] for job in range(n_jobs)])
    parts = np.concatenate([keys_of(job)[1] for job in range(n_jobs)])
    order = np.argsort(keys)
    return [order[parts[order] == number].tolist() for number in range(3)]


@settings(max_examples=40)
@given(start=st.integers(0, 50), n=st.integers(1, 5_000), fan_in=st.integers(2, 20))
def test_jobs_are_cut_into_no_more_spans_than_are_read_side_by_side(start, n, fan_in):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_corpus_deal, "FAN_IN", fan_in)
        borders = job_borders(start, start + n)
    sizes = [b - a for a, b in pairwise(borders)]
    assert borders[0] == start
    assert borders[-1] == start + n
    assert min(sizes) >= 1
    assert len(sizes) <= fan_in
    assert n > fan_in or set(sizes) == {1}


@pytest.mark.usefixtures("three_at_a_time")
@pytest.mark.parametrize("n_jobs", [3, 4, pytest.param(11, marks=pytest.mark.slow)])
def test_parts_that_are_merged_give_all_examples_by_rising_key(tmp_path, n_jobs):
    made = make_parts(plan_of(n_jobs), make, folder=tmp_path / "made")
    assert len(made) <= 3
    assert summed(made)[1] == {"nothing": n_jobs}
    assert dealt(made, tmp_path) == expected(n_jobs)


@contextmanager
def free_files(n):
    """Let this process open `n` more files than are open now, and no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = {int(path.name) for path in Path("/proc/self/fd").iterdir()}  # one is of this look
    free = (number for number in count() if number not in taken)
    limit = next(number for place, number in enumerate(free) if place == n)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.skipif(sys.platform != "linux", reason="open files are counted in /proc")
@pytest.mark.slow
@pytest.mark.usefixtures("three_at_a_time")
def test_three_parts_the_file_that_is_written_and_plans_are_open_at_a_time(tmp_path, monkeypatch):
    most = 3 + 1 + 3  # three times are parts merged, each by a plan of its own
    with free_files(most):
        made = make_parts(plan_of(27), make, folder=tmp_path / "made")
        assert dealt(made, tmp_path) == expected(27)
    monkeypatch.setattr(_corpus_deal, "FAN_IN", 27)  # the limit is one: more files are refused
    with pytest.raises(OSError, match="Too many open files"), free_files(most):
        dealt(make_parts(plan_of(27), make, folder=tmp_path / "side"), tmp_path / "side")


@pytest.mark.slow
@pytest.mark.usefixtures("three_at_a_time")
def test_few_files_lie_on_the_disk_while_parts_are_made_and_merged(tmp_path):
    seen = []

    def made_and_counted(shard, path):
        seen.append(sum(file.suffix == ".arrow" for file in tmp_path.rglob("*")))
        return make(shard, path)

    made = make_parts(plan_of(27), made_and_counted, folder=tmp_path / "made")
    assert max(seen) == 2 + 2 + 2  # before the last job: two of nine jobs, of three, and of one
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == sorted(
        ["plan.json", *(part.path.name for part in made),
         *(part.path.with_suffix(".json").name for part in made)]
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("three_at_a_time")
def test_a_run_that_stops_at_any_job_makes_no_job_twice(tmp_path):
    class StoppedError(Exception):
        pass

    for last in (0, 4, 8, 10):
        folder = tmp_path / str(last)
        folder.mkdir()
        jobs = []

        def stopping(shard, path, *, jobs=jobs, last=last):
            jobs.append(shard.start)
            if jobs.count(last) == 1 and shard.start == last:
                path.write_bytes(b"half")
                raise StoppedError
            return make(shard, path)

        with pytest.raises(StoppedError):
            make_parts(plan_of(11), stopping, folder=folder / "made")
        made = make_parts(plan_of(11), stopping, folder=folder / "made")
        assert sorted(jobs) == sorted([*range(11), last])
        assert dealt(made, folder) == expected(11)


@pytest.mark.usefixtures("three_at_a_time")
def test_parts_that_another_plan_left_to_be_merged_are_not_taken(tmp_path):
    class StoppedError(Exception):
        pass

    def other(shard, path):
        if shard.start == 4:
            raise StoppedError
        return make(type(shard)(0, shard.start + 100, shard.stop + 100, 0), path)

    with pytest.raises(StoppedError):
        make_parts(plan_of(5), other, folder=tmp_path / "made")
    plan = ShardPlan(inputs={"x": 1}, config={}, borders=job_borders(0, 5), ending=".arrow")
    made = make_parts(plan, make, folder=tmp_path / "made", overwrite=True)
    assert dealt(made, tmp_path) == expected(5)


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from celloquy.training import _corpus_deal, _corpus_plan, build_corpus
from corpora import recipe, source
_corpus_deal.FAN_IN, _corpus_plan.BLOCK = 3, 5
named = [source(Path(sys.argv[2]) / "one.h5ad", study="one")]
build_corpus(recipe(named, ["cell_type", "masked_genes"], shard_size=30), sys.argv[3])
"""


@pytest.mark.slow
def test_a_corpus_whose_process_is_killed_is_finished_with_the_same_bytes(tmp_path, monkeypatch):
    cells(45).write_h5ad(tmp_path / "one.h5ad")
    named = [source(tmp_path / "one.h5ad", study="one")]
    told = recipe(named, ["cell_type", "masked_genes"], shard_size=30)
    whole = build_corpus(told, tmp_path / "whole")
    out = tmp_path / "out"
    command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), str(tmp_path), str(out)]
    with subprocess.Popen(command) as process:
        while not (out / ".made" / "jobs-3-6" / "part-00001.arrow").exists():
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (out / "corpus.json").exists()
    monkeypatch.setattr(_corpus_deal, "FAN_IN", 3)
    monkeypatch.setattr(_corpus_plan, "BLOCK", 5)
    again = build_corpus(told, out)
    assert [p.read_bytes() for p in again.files()] == [p.read_bytes() for p in whole.files()]
    for folder in (".", "train", "tasks"):
        assert {p.name for p in (out / folder).iterdir()} == {
            p.name for p in (whole.folder / folder).iterdir()
        }
