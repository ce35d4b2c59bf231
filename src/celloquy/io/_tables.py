"""Tables that are in memory already: what small text files and attributes become."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celloquy.io._stream import Tables

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from celloquy.io._types import Column


class FrameTables(Tables):
    """obs and var as data frames.

    Parameters
    ----------
    obs, var
        Indexed by cell and gene name.
    """

    def __init__(self, obs: pd.DataFrame, var: pd.DataFrame) -> None:
        self._obs, self._var = obs, var
        self.obs_columns = tuple(obs.columns)

    def obs_names(self) -> pd.Index:
        return self._obs.index

    def var(self) -> pd.DataFrame:
        return self._var

    def obs_column(self, name: str) -> Column:
        return self._obs[name].array


def identity_of(path: Path) -> dict[str, int]:
    """Size and time of change of a file, or of a folder's files together."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    stats = [file.stat() for file in files]
    return {
        "bytes": sum(stat.st_size for stat in stats),
        "modified_ns": max((stat.st_mtime_ns for stat in stats), default=0),
    }
