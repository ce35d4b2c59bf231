"""Where results go: into an AnnData in place, or into a copy of a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeGuard

from anndata import AnnData

from celloquy._runtime import refuse_existing
from celloquy.errors import InputError
from celloquy.io import refuse_ending, refuse_taken

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Source: TypeAlias = AnnData | str | os.PathLike[str]
"""Cells in memory, or a file of cells."""


def is_adata(source: Source) -> TypeGuard[AnnData]:
    """Say whether cells are in memory."""
    return isinstance(source, AnnData)


def path_of(source: Source) -> Path:
    """Give the path of a file of cells.

    Raises
    ------
    InputError
        If cells in memory were given.
    """
    if is_adata(source):
        msg = "`out` writes a copy of a file, and an AnnData was given."
        raise InputError(msg, hint="leave `out` out, and write the AnnData afterwards.")
    return Path(source)


def refuse_targets(
    source: Source,
    results: Mapping[str, Sequence[str]],
    *,
    out: str | os.PathLike[str] | None,
    overwrite: bool,
) -> None:
    """Refuse what could not be written, before anything is computed.

    What a file holds is looked at when it is open, by :func:`celloquy.io.refuse_taken`.

    Raises
    ------
    InputError
        If a column, an array, a record or the file exists and `overwrite` is false, `out` is
        given with an AnnData, ends in no format of it or is the folder of the cells
        themselves, or the AnnData is a view.
    """
    if out is not None:
        cells = path_of(source)
        refuse_ending(Path(out))
        refuse_existing(Path(out), overwrite=overwrite)
        _refuse_own_folder(cells, Path(out))
    elif is_adata(source):
        if source.is_view:
            msg = "Results cannot be written into a view of an AnnData."
            raise InputError(msg, hint="pass a copy: `adata = adata[...].copy()`.")
        refuse_taken(source, results, overwrite=overwrite)


def _refuse_own_folder(cells: Path, out: Path) -> None:
    """Refuse a folder as its own copy: unlike a file, it is not replaced in one step.

    Raises
    ------
    InputError
        If `out` is the folder that the cells are read from.
    """
    if out.is_dir() and _is_same(cells, out):
        msg = f"'{out}' holds the cells themselves, and is a folder: a run that stops while it is "
        msg += "replaced would lose them."
        raise InputError(msg, hint="name another `out` (`--out`), and rename it afterwards.")


def refuse_replacing(control: Source | None, out: Path) -> None:
    """Refuse to put new cells where the cells are that they are asked from.

    Raises
    ------
    InputError
        If `out` is the file or folder of the control cells.
    """
    if control is not None and not is_adata(control) and _is_same(Path(control), out):
        msg = f"'{out}' holds the control cells: the new cells would take their place."
        raise InputError(msg, hint="name another `out` (`--out`).")


def _is_same(cells: Path, out: Path) -> bool:
    return cells.exists() and out.exists() and out.samefile(cells)
