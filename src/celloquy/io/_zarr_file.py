"""Zarr stores of version 2 and 3, their chunks inflated by several threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celloquy.errors import InputError
from celloquy.io._anndata_file import stream_group
from celloquy.io._tables import identity_of

if TYPE_CHECKING:
    from pathlib import Path

    from celloquy.io._stream import MatrixStream


def is_zarr(folder: Path) -> bool:
    """Say whether a folder is the root of a zarr store."""
    return any((folder / name).is_file() for name in ("zarr.json", ".zgroup", ".zmetadata"))


def stream_zarr(path: Path, *, layer: str | None, use_raw: bool) -> MatrixStream:
    """Stream a zarr store.

    Raises
    ------
    InputError
        If its root is no group, or its metadata cannot be read.
    """
    import zarr

    try:
        root: Any = zarr.open_group(path, mode="r")
    except (OSError, ValueError, KeyError) as error:
        msg = f"'{path.name}' is no zarr group, or it is damaged: {error}"
        raise InputError(msg, hint="pass the folder that anndata's `write_zarr` made.") from error
    return stream_group(
        root,
        source=path.name,
        format="zarr",
        layer=layer,
        use_raw=use_raw,
        identity=identity_of(path),
        on_close=None,
    )
