"""One door for every source: find out what it is, and open its stream."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from celloquy.errors import InputError
from celloquy.io._anndata_file import stream_group
from celloquy.io._memory import stream_adata

if TYPE_CHECKING:
    import os

    from anndata import AnnData

    from celloquy.io._chunks import CellStream


def open_stream(
    source: AnnData | str | os.PathLike[str], *, layer: str | None = None, use_raw: bool = False
) -> CellStream:
    """Open cells as a stream of row chunks, in memory bounded by the chunk."""
    if layer is not None and use_raw:
        msg = f"`layer={layer!r}` and `use_raw=True` name two slots, and one is read."
        raise InputError(msg, hint="leave one of them out.")
    if hasattr(source, "obs_names"):
        return stream_adata(source, layer=layer, use_raw=use_raw)
    path = Path(source)
    file = h5py.File(path, "r")
    return stream_group(
        file, source=path.name, layer=layer, use_raw=use_raw, identity={}, on_close=file.close
    )
