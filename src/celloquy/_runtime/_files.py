"""Files that are whole or absent: written under a temporary name, then renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from celloquy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Refuse a path that is taken, unless overwriting was asked for.

    Raises
    ------
    InputError
        If `path` exists and `overwrite` is false, or its folder does not exist.
    """
    if path.exists() and not overwrite:
        msg = f"'{path}' exists already, and nothing is overwritten unasked."
        raise InputError(msg, hint="pass `overwrite=True` (`--overwrite`) or another name.")
    if not path.parent.is_dir():
        msg = f"The folder '{path.parent}' does not exist."
        raise InputError(msg, hint=f"make it first: mkdir -p '{path.parent}'")


@contextmanager
def atomic_path(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it into place when the block ends well.

    The temporary name keeps the ending of `path` and may become a file or a folder.
    If the block fails, what was written under the temporary name is removed and `path`
    is as it was.

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
    try:
        yield temporary
        if temporary.is_dir() and path.is_dir():
            shutil.rmtree(path)
        temporary.replace(path)
    except OSError as error:
        refusal = _refusal(error, path)
        if refusal is None:
            raise
        raise refusal from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def _refusal(error: OSError, path: Path) -> InputError | None:
    """Put what the operating system refused into words, where there are some."""
    if _has_errno(error, errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        msg = f"The disk or quota is full: '{path}' was not written, and no part of it was left."
        return InputError(msg, hint="free some space, or write to another disk.")
    if _has_errno(error, errno.EACCES, errno.EROFS, errno.EPERM):
        msg = f"The folder '{path.parent}' cannot be written to."
        return InputError(msg, hint="choose a folder that you may write to.")
    return None


def _has_errno(error: OSError, *codes: int) -> bool:
    """Say whether an error carries one of these codes; HDF5 hides them in its text."""
    return error.errno in codes or any(f"errno = {code}," in str(error) for code in codes)


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
