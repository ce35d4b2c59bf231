"""Splits as JSON files, with a hash that is checked when they are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celloquy._runtime import atomic_path
from celloquy.errors import InputError
from celloquy.evaluation._splits import SCHEMA, Split

if TYPE_CHECKING:
    import os

_AGAIN = "make the split again, or take the file from where it came."


def save_split(split: Split, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a split as JSON with its SHA-256.

    Parameters
    ----------
    split
        The split.
    path
        File to write.
    overwrite
        Whether an existing file is replaced.
    """
    record = split.to_dict() | {"sha256": split.sha256}
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_text(json.dumps(record) + "\n", encoding="utf-8")


def load_split(path: str | os.PathLike[str]) -> Split:
    """Read a split, and check that it is the one that was written.

    Parameters
    ----------
    path
        File that :func:`save_split` wrote.

    Raises
    ------
    InputError
        If the file is no split, is of a later form, or was changed.
    """
    record = _read(Path(path))
    schema, told = record.get("schema"), record.pop("sha256", None)
    if schema != SCHEMA:
        msg = f"'{path}' is a split of form {schema!r}, and this version reads {SCHEMA}."
        raise InputError(msg, hint="update celloquy.")
    try:
        groups = record["groups"]
        split = Split(
            record["name"],
            record["by"],
            record["parts"],
            record["n_obs"],
            seed=record["seed"],
            groups=groups and {part: tuple(held) for part, held in groups.items()},
            rows_sha256=record["rows_sha256"],
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        msg = f"'{path}' is no split: {error}"
        raise InputError(msg, hint=_AGAIN) from error
    if split.sha256 != told:
        msg = f"'{path}' is not as it was written: its rows have the hash {split.sha256[:12]}…, "
        msg += f"and it says {str(told)[:12]}…."
        raise InputError(msg, hint=_AGAIN)
    return split


def _read(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    InputError
        If the file holds none.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        msg = f"'{path}' cannot be read as a split: {error}."
        raise InputError(msg, hint=_AGAIN) from error
    if not isinstance(found, dict):
        msg = f"'{path}' is no split: it holds no JSON object."
        raise InputError(msg, hint=_AGAIN)
    return found
