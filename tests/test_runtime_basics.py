"""Errors, extras, files, registries, seeds and the progress line."""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import re
import subprocess
import sys
import textwrap
import traceback
from pathlib import Path

import numpy as np
import pytest

from celloquy import errors
from celloquy._runtime import (
    Drain,
    Progress,
    Registry,
    atomic_path,
    closest,
    count_of,
    is_installed,
    refuse_existing,
    require,
    rng_for,
    sha256_of,
)
from celloquy._runtime._files import _exchange
from celloquy._runtime._progress import _spoken
from celloquy.errors import CelloquyError, DownloadError, InputError, MissingExtraError


def fail_while_writing(path, error, **options) -> None:
    with atomic_path(path, **options) as temporary:
        if path.suffix == ".zarr":
            temporary.mkdir()
        else:
            temporary.write_text("half")
        raise error


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_carries_its_hint_and_shows_it_in_a_traceback(name):
    error = getattr(errors, name)("It broke.", hint="mend it.")
    assert (str(error), error.hint) == ("It broke.", "mend it.")
    assert isinstance(error, CelloquyError)
    assert "hint: mend it." in "".join(traceback.format_exception(error))
    assert getattr(errors, name)("It broke.").hint is None


def test_errors_are_also_what_python_calls_them():
    assert issubclass(InputError, ValueError)
    assert issubclass(MissingExtraError, ImportError)
    assert issubclass(errors.AnswerError, ValueError)
    assert DownloadError("no answer", retryable=True).retryable
    assert not errors.BackendError("no").retryable


def test_errors_pass_between_processes():
    again = pickle.loads(pickle.dumps(InputError("It broke.", hint="mend it.")))
    assert (str(again), again.hint) == ("It broke.", "mend it.")


def test_a_missing_package_names_the_extra_that_brings_it():
    with pytest.raises(MissingExtraError, match="`no_such_thing` is needed to fly") as refusal:
        require("no_such_thing.wings", extra="plot", why="to fly")
    assert refusal.value.hint == "pip install 'celloquy[plot]'"
    assert require("json.decoder", extra="plot", why="to read").JSONDecoder is json.JSONDecoder
    assert is_installed("json")
    assert not is_installed("no_such_thing")


def test_a_file_is_whole_or_absent(tmp_path):
    path = tmp_path / "out.txt"
    with pytest.raises(RuntimeError):
        fail_while_writing(path, RuntimeError())
    assert list(tmp_path.iterdir()) == []
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
        assert temporary.suffix == ".txt"
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_overwritten_unasked_and_a_failed_overwrite_keeps_the_old(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(InputError, match="exists already"), atomic_path(path):
        pass
    with pytest.raises(RuntimeError):
        fail_while_writing(path, RuntimeError(), overwrite=True)
    assert path.read_text() == "old"
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


def test_what_a_killed_process_left_of_a_file_goes_when_the_file_is_written_again(tmp_path):
    ended = subprocess.Popen(["true"])
    ended.wait()
    left = tmp_path / f".out.{ended.pid}.tmp.txt"
    recent = tmp_path / f".out.{ended.pid}.tmp.csv"
    other = tmp_path / f".other.{ended.pid}.tmp.txt"
    alive = tmp_path / f".out.{os.getppid()}.tmp.txt"
    for path in (left, recent, other, alive):
        path.write_text("half")
        os.utime(path, (1, 1))
    with atomic_path(tmp_path / "out.txt") as temporary:
        temporary.write_text("whole")
    assert sorted(tmp_path.iterdir()) == sorted([recent, other, alive, tmp_path / "out.txt"])
    os.utime(recent)  # written to a moment ago: perhaps by a process of another machine
    with atomic_path(tmp_path / "out.csv") as temporary:
        temporary.write_text("whole")
    assert recent.exists()


def test_a_drained_file_holds_every_byte(tmp_path):
    path = tmp_path / "out.bin"
    piece = np.random.default_rng(0).bytes(5 * 2**20)
    with path.open("wb", buffering=0) as file, Drain(path) as drain:
        for _ in range(9):  # more than two windows
            file.write(piece)
            drain.flow()
    assert path.read_bytes() == piece * 9


def test_a_folder_replaces_a_folder(tmp_path):
    for content in ("a", "b"):
        with atomic_path(tmp_path / "store.zarr", overwrite=True) as temporary:
            temporary.mkdir()
            (temporary / content).touch()
            (temporary / "zarr.json").touch()
    assert sorted(p.name for p in (tmp_path / "store.zarr").iterdir()) == ["b", "zarr.json"]
    with pytest.raises(RuntimeError):
        fail_while_writing(tmp_path / "c.zarr", RuntimeError())
    assert [path.name for path in tmp_path.iterdir()] == ["store.zarr"]


@pytest.mark.parametrize(("name", "holds"), [("store.zarr", ()), ("model", ("config.json", "m"))])
def test_a_folder_of_another_kind_is_never_replaced(name, holds, tmp_path):
    folder = tmp_path / name
    folder.mkdir()
    refuse_existing(folder, overwrite=True, holds=holds)  # an empty one may go
    (folder / "thesis.txt").touch()
    with pytest.raises(InputError, match=r"holds 'thesis.txt' and no (zarr|config)\.json"):
        refuse_existing(folder, overwrite=True, holds=holds)
    (folder / (holds or (".zgroup",))[-1]).touch()
    refuse_existing(folder, overwrite=True, holds=holds)


def test_a_folder_that_cannot_be_replaced_stays(tmp_path):
    store = tmp_path / "store.zarr"
    store.mkdir()
    (store / "a").touch()
    with pytest.raises(FileNotFoundError):
        _exchange(store, tmp_path / "never written")
    assert [path.name for path in tmp_path.rglob("*")] == ["store.zarr", "a"]


def test_a_missing_folder_is_told_with_the_way_to_make_it(tmp_path):
    with pytest.raises(InputError, match="does not exist") as refusal:
        refuse_existing(tmp_path / "no" / "out.txt", overwrite=False)
    assert "mkdir -p" in refusal.value.hint


@pytest.mark.parametrize(
    ("code", "said"),
    [(errno.ENOSPC, "The disk or quota is full"), (errno.EACCES, "cannot be written to"),
     (errno.EROFS, "cannot be written to")],
)  # fmt: skip
@pytest.mark.parametrize("hidden", [False, True])
def test_what_the_system_refuses_is_put_into_words(tmp_path, code, said, hidden):
    text = f"Can't write data (file write failed: errno = {code}, error message = 'x')"
    error = OSError(text) if hidden else OSError(code, os.strerror(code))
    with pytest.raises(InputError, match=said):
        fail_while_writing(tmp_path / "out.h5ad", error)
    assert list(tmp_path.iterdir()) == []


def test_other_refusals_of_the_system_pass_as_they_are(tmp_path):
    with pytest.raises(OSError, match="I/O"):
        fail_while_writing(tmp_path / "out.txt", OSError(errno.EIO, "I/O error"))


def write_to_a_full_device(path) -> None:
    with atomic_path(path) as temporary:
        temporary.symlink_to("/dev/full")
        temporary.write_text("x" * 100_000)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_disk_that_is_really_full_is_told(tmp_path):
    with pytest.raises(InputError, match="The disk or quota is full"):
        write_to_a_full_device(tmp_path / "out.txt")
    assert list(tmp_path.iterdir()) == []


def test_a_process_killed_while_writing_leaves_no_file(tmp_path):
    script = textwrap.dedent("""
        import os, signal, sys
        from celloquy._runtime import atomic_path
        with atomic_path(sys.argv[1]) as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    path = tmp_path / "out.txt"
    subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert not path.exists()
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
    assert path.read_text() == "whole"


def test_sha256_is_that_of_the_content(tmp_path):
    (tmp_path / "abc").write_text("abc")  # the example of FIPS 180-2, appendix B.1
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_of(tmp_path / "abc") == expected


def test_a_registry_lists_without_importing_and_names_the_closest():
    styles = Registry("style", {"plain": "json:dumps", "broken": "no_such_module:x"})
    assert list(styles) == ["plain", "broken"]
    assert "plain" in styles
    assert styles["plain"]([1]) == "[1]"
    with pytest.raises(InputError, match="no style 'plane'; the closest is 'plain'") as refusal:
        styles["plane"]
    assert refusal.value.hint == "choose one of: plain, broken."
    assert closest("x", []) == ""


def test_randomness_depends_on_seed_and_names_alone():
    draw = rng_for(1, "shard", 2).random(4)
    np.random.default_rng(0).random(100)
    np.testing.assert_array_equal(draw, rng_for(1, "shard", 2).random(4))
    others = [rng_for(2, "shard", 2), rng_for(1, "shard", 3), rng_for(1, "shard2"), rng_for(1)]
    assert all((other.random(4) != draw).all() for other in others)


def test_the_progress_line_is_a_summary_where_there_is_no_terminal():
    out = io.StringIO()
    with Progress(10, unit="cells", stream=out) as progress:
        progress.advance(4)
        progress.advance(6)
        progress.note("3 unparsed")
        assert out.getvalue() == ""
    assert re.fullmatch(r"10 cells in \d s · 3 unparsed\n", out.getvalue())


def test_a_run_that_went_on_says_what_was_done_before():
    out = io.StringIO()
    with Progress(3_000, unit="cells", stream=out) as progress:
        progress.advance(1_000)
    assert re.fullmatch(r"1,000 cells in \d s, 2,000 done before\n", out.getvalue())


def test_a_failed_block_has_no_summary():
    out = io.StringIO()
    with pytest.raises(RuntimeError), Progress(10, unit="cells", stream=out):
        raise RuntimeError
    assert out.getvalue() == ""


def test_a_terminal_sees_the_line_move_and_then_the_summary():
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    with Progress(2_000, unit="cells", stream=out) as progress:
        progress.advance(2_000)
    assert "cells" in out.getvalue().split("2,000 cells in")[0]
    assert out.getvalue().endswith("2,000 cells in 0 s\n")


@pytest.mark.parametrize(
    ("seconds", "spoken"),
    [(0.4, "0 s"), (59.7, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_times_are_written_as_people_say_them(seconds, spoken):
    assert _spoken(seconds) == spoken


@pytest.mark.parametrize(
    ("n", "things", "said"),
    [
        (1, "cells", "1 cell"),
        (0, "cells", "0 cells"),
        (1_200, "genes", "1,200 genes"),
        (1, "expressed genes", "1 expressed gene"),
        (1, "blocks of cells", "1 block of cells"),
        (1, "batches", "1 batch"),
        (1, "suites", "1 suite"),
        (1, "studies", "1 study"),
    ],
)
def test_one_thing_is_told_in_the_singular(n, things, said):
    assert count_of(n, things) == said


def test_the_summary_of_one_cell_says_cell():
    out = io.StringIO()
    with Progress(1, unit="cells", stream=out) as progress:
        progress.advance(1)
    assert out.getvalue() == "1 cell in 0 s\n"
