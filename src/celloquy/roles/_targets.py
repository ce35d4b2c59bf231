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
        given with an AnnData or ends in no format of it, or the AnnData is a view.
    """
    if out is not None:
        path_of(source)
        refuse_ending(Path(out))
        refuse_existing(Path(out), overwrite=overwrite)
    elif is_adata(source):
        if source.is_view:
            msg = "Results cannot be written into a view of an AnnData."
            raise InputError(msg, hint="pass a copy: `adata = adata[...].copy()`.")
        refuse_taken(source, results, overwrite=overwrite)
