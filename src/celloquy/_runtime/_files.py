"""Files that are whole or absent: written under a temporary name, then renamed."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import re
import shutil
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from celloquy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

_ZARR = ("zarr.json", ".zgroup", ".zattrs", ".zmetadata")
_IDLE = 60.0
"""Seconds for which a temporary file was not written to, before it can be one left over."""


def refuse_existing(path: Path, *, overwrite: bool, holds: tuple[str, ...] = ()) -> None:
    """Refuse a path that is taken, unless overwriting was asked for.

    Parameters
    ----------
    path
        Where something shall be written.
    overwrite
        Whether what is there is replaced.
    holds
        Names of which a folder that may be replaced holds one: any other folder that is not
        empty stays, whatever was asked for. A Zarr store is known by its own.

    Raises
    ------
    InputError
        If `path` exists and `overwrite` is false, if it is a folder of another kind, or if its
        folder does not exist.
    """
    if path.exists() and not overwrite:
        msg = f"'{path}' exists already, and nothing is overwritten unasked."
        raise InputError(msg, hint="pass `overwrite=True` (`--overwrite`) or another name.")
    holds = _ZARR if path.suffix.lower() == ".zarr" else holds
    if holds and path.is_dir():
        inside = sorted(other.name for other in path.iterdir())
        if inside and not set(inside) & set(holds):
            msg = f"The folder '{path}' holds {inside[0]!r} and no {holds[0]}: it is of another "
            msg += "kind than what would replace it."
            raise InputError(msg, hint="choose another name.")
    if not path.parent.is_dir():
        msg = f"The folder '{path.parent}' does not exist."
        raise InputError(msg, hint=f"make it first: mkdir -p '{path.parent}'")


@contextmanager
def atomic_path(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it into place when the block ends well.

    The temporary name keeps the ending of `path` and may become a file or a folder.
    If the block fails, what was written under the temporary name is removed and `path`
    is as it was. What a killed process left beside `path` is removed when this begins.

    Parameters
    ----------
    path
        Where the file or folder shall be.
    overwrite
        Whether an existing one is replaced.

    Raises
    ------
    InputError
        If `path` exists and `overwrite` is false, if its folder does not exist or cannot
        be written to, or if the disk is full.
    OSError
        If the operating system refused for another reason.
    """
    path = Path(path)
    refuse_existing(path, overwrite=overwrite)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    _remove_left_over(path)
    try:
        yield temporary
        if temporary.is_dir() and path.is_dir():
            _exchange(path, temporary)
        else:
            temporary.replace(path)
    except OSError as error:
        refusal = _refusal(error, path)
        if refusal is None:
            raise
        raise refusal from error
    finally:
        _remove(temporary)


def _exchange(old: Path, new: Path) -> None:
    """Put a folder in the place of another, which is removed only when the new one is there.

    Raises
    ------
    OSError
        If the new one cannot take the place; the old one is then back in it.
    """
    aside = new.with_name(f"{new.name}.old")
    old.rename(aside)
    try:
        new.rename(old)
    except OSError:
        aside.rename(old)
        raise
    _remove(aside)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _remove_left_over(path: Path) -> None:
    """Remove what killed processes left of the same file.

    A process of another machine that shares the folder looks like one that is gone, so what
    was written to a moment ago stays.
    """
    now = time.time()
    name = re.compile(rf"\.{re.escape(path.stem)}\.(\d+)\.tmp{re.escape(path.suffix)}")
    for other in path.parent.glob(f".{glob.escape(path.stem)}.*.tmp*"):
        found = name.fullmatch(other.name)
        with suppress(FileNotFoundError):  # its process, or another like this one, was faster
            idle = now - other.stat().st_mtime
            if found and idle > _IDLE and not is_running(int(found[1])):
                _remove(other)


def left_over(folder: Path) -> list[Path]:
    """Name what killed processes of this machine left in a folder under temporary names.

    Parameters
    ----------
    folder
        The folder; it may be missing.
    """
    name = re.compile(r"\..+\.(\d+)\.tmp(\..+)?")
    found = [(path, name.fullmatch(path.name)) for path in sorted(folder.glob(".*.tmp*"))]
    return [path for path, told in found if told and not is_running(int(told[1]))]


def remove_left_over(folder: Path) -> None:
    """Remove what killed processes of this machine left in a folder under temporary names.

    For folders that one process at a time writes to: what a process of another machine is
    writing looks the same.

    Parameters
    ----------
    folder
        The folder; it may be missing.
    """
    for path in left_over(folder):
        _remove(path)


def is_running(process: int) -> bool:
    """Say whether a process of this machine is running; yes where that cannot be asked."""
    if os.name != "posix":  # elsewhere signal 0 is not a question
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _refusal(error: OSError, path: Path) -> InputError | None:
    """Put what the operating system refused into words, where there are some."""
    if is_full(error):
        msg = f"The disk or quota is full: '{path}' was not written, and no part of it was left."
        return InputError(msg, hint="free some space, or write to another disk.")
    if _has_errno(error, errno.EACCES, errno.EROFS, errno.EPERM):
        msg = f"The folder '{path.parent}' cannot be written to."
        return InputError(msg, hint="choose a folder that you may write to.")
    return None


def is_full(error: OSError) -> bool:
    """Say whether the operating system refused because a disk or a quota is full."""
    return _has_errno(error, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _has_errno(error: OSError, *codes: int) -> bool:
    """Say whether an error carries one of these codes; HDF5 hides them in its text."""
    return error.errno in codes or any(f"errno = {code}," in str(error) for code in codes)


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
