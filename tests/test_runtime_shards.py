"""Long jobs: a plan, whole parts, and going on after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from celloquy._runtime import (
    Part,
    Shard,
    ShardPlan,
    ShardResult,
    finished_parts,
    run_shards,
)
from celloquy.errors import CelloquyError, InputError

if TYPE_CHECKING:
    from pathlib import Path

NO_PROCESS = 999_999_999


def plan_of(n_rows=10, shard_size=3, **changes) -> ShardPlan:
    options = {"inputs": {"source": "cells.h5ad"}, "config": {"n_top_genes": 100}, **changes}
    return ShardPlan.cut(n_rows, shard_size=shard_size, ending=".txt", **options)


def write_rows(shard: Shard, path: Path) -> ShardResult:
    draws = shard.rng().integers(1_000_000, size=shard.stop - shard.start)
    rows = [
        f"{row} {draw}" for row, draw in zip(range(shard.start, shard.stop), draws, strict=True)
    ]
    path.write_text("\n".join(rows) + "\n")
    return ShardResult(rows=len(rows), facts={"cut": shard.number})


def write_and_note(shard: Shard, path: Path, *, log: Path) -> ShardResult:
    with log.open("a") as file:
        file.write(f"{shard.number}\n")
    return write_rows(shard, path)


def die_once(shard: Shard, path: Path, *, flag: Path) -> ShardResult:
    if shard.number == 1 and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return write_rows(shard, path)


def always_die(shard: Shard, path: Path) -> ShardResult:
    os.kill(os.getpid(), signal.SIGKILL)
    return write_rows(shard, path)


def fail_at_two(shard: Shard, path: Path) -> ShardResult:
    path.write_text("half")
    if shard.number == 2:
        msg = "cell 7 is broken"
        raise InputError(msg)
    return write_rows(shard, path)


def fail_at_once(shard: Shard, path: Path) -> ShardResult:
    msg = f"row {shard.start} is broken"
    raise InputError(msg)


def rows_of(parts: tuple[Part, ...]) -> list[int]:
    return [int(line.split()[0]) for part in parts for line in part.path.read_text().splitlines()]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("part-*"))}


def test_all_rows_are_written_once_and_in_order(tmp_path):
    parts = run_shards(plan_of(), write_rows, folder=tmp_path / "out")
    assert rows_of(parts) == list(range(10))
    assert [part.rows for part in parts] == [3, 3, 3, 1]
    assert [part.facts["cut"] for part in parts] == [0, 1, 2, 3]
    assert parts == finished_parts(plan_of(), tmp_path / "out")


def test_no_rows_make_no_parts(tmp_path):
    assert run_shards(plan_of(n_rows=0), write_rows, folder=tmp_path / "out") == ()


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="exists already and is a file"):
            run_shards(plan_of(), write_rows, folder=tmp_path / "out", overwrite=overwrite)
    assert (tmp_path / "out").read_text() == "mine"


def test_a_second_run_does_nothing_again(tmp_path):
    log = tmp_path / "log"
    for _ in range(2):
        run_shards(plan_of(), partial(write_and_note, log=log), folder=tmp_path / "out")
    assert log.read_text().split() == ["0", "1", "2", "3"]


def test_a_part_that_was_changed_is_done_again(tmp_path):
    folder = tmp_path / "out"
    run_shards(plan_of(), write_rows, folder=folder)
    before = content(folder)
    (folder / "part-00002.txt").write_text("6 0\n")
    (folder / "part-00003.json").write_text("{")
    with pytest.raises(InputError, match=r"2 of 4 parts .* first is part-00002.txt"):
        finished_parts(plan_of(), folder)
    run_shards(plan_of(), write_rows, folder=folder)
    assert content(folder) == before


def test_a_failing_shard_leaves_no_half_part_and_the_others_stay(tmp_path):
    folder = tmp_path / "out"
    with pytest.raises(InputError, match="cell 7 is broken"):
        run_shards(plan_of(), fail_at_two, folder=folder)
    assert sorted(path.name for path in folder.glob("*.txt")) == [
        "part-00000.txt",
        "part-00001.txt",
    ]
    assert not list(folder.glob(".*"))
    assert rows_of(run_shards(plan_of(), write_rows, folder=folder)) == list(range(10))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"config": {"n_top_genes": 200}}, r": `n_top_genes` was 100 and is 200"),
        ({"inputs": {"source": "b.h5ad"}}, r"`inputs.source` was \"cells.h5ad\" and is \"b.h5ad\""),
        ({"seed": 1}, r"`seed` was 0 and is 1"),
    ],
)
def test_a_folder_of_another_run_is_refused_and_the_difference_told(tmp_path, changes, said):
    folder = tmp_path / "out"
    run_shards(plan_of(), write_rows, folder=folder)
    with pytest.raises(InputError, match=said):
        run_shards(plan_of(**changes), write_rows, folder=folder)
    with pytest.raises(InputError, match=said):
        finished_parts(plan_of(**changes), folder)
    parts = run_shards(plan_of(**changes), write_rows, folder=folder, overwrite=True)
    assert rows_of(parts) == list(range(10))


def test_a_plan_without_a_finished_part_gives_way_to_another(tmp_path):
    folder = tmp_path / "out"
    with pytest.raises(InputError, match="row 0 is broken"):
        run_shards(plan_of(), fail_at_once, folder=folder)
    (folder / "part-00000.txt").write_text("0 0\n")  # killed before its sidecar was written
    (folder / f".part-00001.{NO_PROCESS}.tmp.txt").write_text("half")
    with pytest.raises(InputError, match=r"`seed` was 0 and is 1"):
        finished_parts(plan_of(seed=1), folder)
    parts = run_shards(plan_of(seed=1), write_rows, folder=folder)
    assert rows_of(parts) == list(range(10))
    assert json.loads((folder / "plan.json").read_text())["seed"] == 1
    assert not list(folder.glob(".*"))


def test_parts_of_a_run_within_the_folder_are_not_given_up(tmp_path):
    with pytest.raises(InputError, match="row 0 is broken"):
        run_shards(plan_of(), fail_at_once, folder=tmp_path / "out")
    run_shards(plan_of(), write_rows, folder=tmp_path / "out" / "inner")
    with pytest.raises(InputError, match=r"`seed` was 0 and is 1"):
        run_shards(plan_of(seed=1), write_rows, folder=tmp_path / "out")


@pytest.mark.skipif(os.name != "posix", reason="locks of files, and kill -9")
@pytest.mark.slow
def test_a_plan_that_a_process_works_on_stays_until_the_process_is_killed(tmp_path):
    script = tmp_path / "job.py"
    script.write_text(
        textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from celloquy._runtime import ShardPlan, run_shards

        def work(shard, path):
            Path(sys.argv[1], "begun").touch()
            time.sleep(60)

        plan = ShardPlan.cut(
            10, shard_size=3, inputs={"source": "cells.h5ad"}, config={"n_top_genes": 100},
            seed=7, ending=".txt",
        )
        run_shards(plan, work, folder=Path(sys.argv[1], "out"))
        """)
    )
    with subprocess.Popen([sys.executable, str(script), str(tmp_path)]) as job:
        while not (tmp_path / "begun").exists():
            assert job.poll() is None
            time.sleep(0.005)
        with pytest.raises(InputError, match=r"`seed` was 7 and is 0"):
            run_shards(plan_of(), write_rows, folder=tmp_path / "out")
        job.kill()
    assert job.returncode == -signal.SIGKILL
    assert rows_of(run_shards(plan_of(), write_rows, folder=tmp_path / "out")) == list(range(10))


def test_every_selection_does_its_own_shards_and_together_they_are_whole(tmp_path):
    folder = tmp_path / "out"
    for i in range(3):
        parts = run_shards(plan_of(), write_rows, folder=folder, select=(i, 3))
        assert [part.shard.number for part in parts] == list(range(i, 4, 3))
    assert rows_of(finished_parts(plan_of(), folder)) == list(range(10))
    with pytest.raises(InputError, match=r"select=\(3, 3\)"):
        run_shards(plan_of(), write_rows, folder=folder, select=(3, 3))


def test_parts_do_not_depend_on_the_executor(tmp_path):
    told = []
    run_shards(plan_of(), write_rows, folder=tmp_path / "serial")
    parts = run_shards(
        plan_of(), write_rows, folder=tmp_path / "process", executor="process", on_part=told.append
    )
    assert content(tmp_path / "serial") == content(tmp_path / "process")
    assert sorted(part.shard.number for part in told) == [part.shard.number for part in parts]


def test_a_killed_worker_loses_nothing(tmp_path):
    work = partial(die_once, flag=tmp_path / "died")
    parts = run_shards(plan_of(), work, folder=tmp_path / "out", executor="process")
    assert (tmp_path / "died").exists()
    assert rows_of(parts) == list(range(10))


@pytest.mark.slow
def test_workers_that_always_die_end_the_run(tmp_path):
    with pytest.raises(CelloquyError, match="died 3 times in a row; 4 shards are left"):
        run_shards(plan_of(), always_die, folder=tmp_path / "out", executor="process")


def test_a_run_killed_in_the_middle_goes_on_where_it_stopped(tmp_path):
    script = tmp_path / "job.py"
    script.write_text(
        textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from celloquy._runtime import ShardPlan, ShardResult, run_shards

        def work(shard, path):
            with path.open("w") as file:
                for row in range(shard.start, shard.stop):
                    file.write(f"{row} 0\\n")
                    file.flush()
                    time.sleep(0.01)
            return ShardResult(rows=shard.stop - shard.start)

        plan = ShardPlan.cut(100, shard_size=10, inputs={}, config={}, ending=".txt")
        run_shards(plan, work, folder=Path(sys.argv[1]))
        """)
    )
    folder = tmp_path / "out"
    command = [sys.executable, str(script), str(folder)]
    for _ in range(2):  # killed twice, each time while a part is being written
        held = len(list(folder.glob("part-*.json")))
        job = subprocess.Popen(command)
        deadline = time.monotonic() + 30
        while len(list(folder.glob("part-*.json"))) <= held or not list(folder.glob(".part*.txt")):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        job.kill()
        assert job.wait() == -signal.SIGKILL
        assert list(folder.glob(".part*.txt"))
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("part-*")}
    subprocess.run(command, check=True)
    plan = ShardPlan.cut(100, shard_size=10, inputs={}, config={}, ending=".txt")
    assert rows_of(finished_parts(plan, folder)) == list(range(100))
    assert not list(folder.glob(".*"))
    sidecars = [name for name in before if name.endswith(".json")]
    assert 2 <= len(sidecars) < 10
    assert all((folder / name).stat().st_mtime_ns == before[name] for name in sidecars)


def test_temporary_files_of_a_living_process_stay(tmp_path):
    folder = tmp_path / "out"
    run_shards(plan_of(), write_rows, folder=folder)
    living = folder / f".part-00001.{os.getppid()}.tmp.txt"
    living.touch()
    run_shards(plan_of(), write_rows, folder=folder)
    assert living.exists()


def test_a_folder_with_something_else_is_refused(tmp_path):
    (tmp_path / "photo.png").touch()
    with pytest.raises(InputError, match=r"holds 'photo.png' but no plan.json"):
        run_shards(plan_of(), write_rows, folder=tmp_path)
    with pytest.raises(InputError, match=r"holds no plan.json, so no run was begun"):
        finished_parts(plan_of(), tmp_path)
    with pytest.raises(InputError, match=r"nowhere' does not exist"):
        run_shards(plan_of(), write_rows, folder=tmp_path / "nowhere" / "out")


def test_a_damaged_plan_is_refused(tmp_path):
    folder = tmp_path / "out"
    run_shards(plan_of(), write_rows, folder=folder)
    (folder / "plan.json").write_text('{"schema": 1,')
    with pytest.raises(InputError, match=r"plan.json' is damaged"):
        run_shards(plan_of(), write_rows, folder=folder)


def test_options_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"`shard_size` must be at least 1, got 0"):
        plan_of(shard_size=0)
    with pytest.raises(InputError, match="no executor 'ray'"):
        run_shards(plan_of(), write_rows, folder=tmp_path / "out", executor="ray")
    with pytest.raises(InputError, match="`workers` must be at least 1, got 0"):
        run_shards(plan_of(), write_rows, folder=tmp_path / "b", executor="process", workers=0)


def test_plan_and_sidecars_of_version_one_are_read_for_ever(tmp_path):
    folder = tmp_path / "out"
    run_shards(plan_of(n_rows=2, shard_size=2), write_rows, folder=folder)
    plan = json.loads((folder / "plan.json").read_text())
    assert plan == {
        "schema": 1,
        "inputs": {"source": "cells.h5ad"},
        "config": {"n_top_genes": 100},
        "borders": [0, 2],
        "seed": 0,
        "ending": ".txt",
    }
    sidecar = json.loads((folder / "part-00000.json").read_text())
    assert set(sidecar) == {"schema", "plan", "rows", "bytes", "sha256", "facts", "versions"}
