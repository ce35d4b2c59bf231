"""Numbers of zarr arrays, whose chunk files are read and inflated by several threads.

A one-dimensional array in a local folder with one common codec is one file a chunk. These
are read as they are; every other array (shards, filters, other stores) is zarr's to read.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy.io._arrays import FlatArray, SlicedArray
from celloquy.io._hdf5 import damaged_chunk
from celloquy.io._inflate import ChunkedArray

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from celloquy.io._types import Node

CODECS = {"zstd", "blosc", "gzip"}


def zarr_array(array: Node, *, where: str) -> FlatArray:
    """Choose the fastest reader of a one-dimensional array that is exact.

    Parameters
    ----------
    array
        Array of zarr with numbers, shape ``(size,)``.
    where
        Name of the matrix for messages.
    """
    from zarr.storage import LocalStore

    is_plain = isinstance(array.store, LocalStore) and array.ndim == 1
    if not is_plain or array.dtype.kind not in "iuf" or not array.dtype.isnative:
        return SlicedArray(array)
    described = array.metadata.to_dict()
    layout = _version_2(described) if described["zarr_format"] == 2 else _version_3(described)
    if layout is None:
        return SlicedArray(array)
    prefix, config = layout
    folder = Path(array.store.root) / array.path
    return ZarrChunks(array, folder=folder, prefix=prefix, codec=_codec(config), where=where)


def _version_2(described: dict[str, Any]) -> tuple[str, dict[str, Any] | None] | None:
    """Give prefix of the chunk files and codec of an array of version 2, if it is plain."""
    config = described["compressor"]
    if described["filters"] or (config is not None and config["id"] not in CODECS):
        return None
    return "", config


def _version_3(described: dict[str, Any]) -> tuple[str, dict[str, Any] | None] | None:
    """Give prefix of the chunk files and codec of an array of version 3, if it is plain."""
    keys = described["chunk_key_encoding"]
    codecs = list(described["codecs"])
    first = codecs.pop(0) if codecs else {}
    is_plain = first.get("name") == "bytes" and len(codecs) < 2
    if not is_plain or described["chunk_grid"]["name"] != "regular":
        return None
    if first.get("configuration", {}).get("endian", "little") != "little":
        return None
    if any(codec["name"] not in CODECS for codec in codecs):
        return None
    separator = keys.get("configuration", {}).get("separator", "/")
    prefix = f"c{separator}" if keys["name"] == "default" else ""
    return prefix, ({"id": codecs[0]["name"]} if codecs else None)


def _codec(config: dict[str, Any] | None) -> Node:
    return None if config is None else import_module("numcodecs").get_codec(dict(config))


class ZarrChunks(ChunkedArray):
    """Numbers in the chunk files of one array.

    Parameters
    ----------
    array
        The array of zarr.
    folder
        Where its chunk files lie.
    prefix
        What stands before a chunk's number in the name of its file.
    codec
        What inflates a chunk; None if chunks are stored as they are.
    where
        Name for messages.
    """

    def __init__(self, array: Node, *, folder: Path, prefix: str, codec: Node, where: str) -> None:
        self.dtype, self.size = array.dtype, array.shape[0]
        self.chunk_size = array.chunks[0]
        self._folder, self._prefix, self._codec = folder, prefix, codec
        self._fill, self._where = array.fill_value, where

    def chunk(self, number: int) -> NDArray[Any]:
        try:
            raw = (self._folder / f"{self._prefix}{number}").read_bytes()
        except FileNotFoundError:  # a chunk that was never written
            return np.full(self.chunk_size, self._fill or 0, self.dtype)
        try:
            values = np.frombuffer(
                raw if self._codec is None else self._codec.decode(raw), self.dtype
            )
        except (RuntimeError, ValueError, OSError, EOFError) as error:
            raise damaged_chunk(self._where, number) from error
        if len(values) < min(self.chunk_size, self.size - number * self.chunk_size):
            raise damaged_chunk(self._where, number)
        return values
