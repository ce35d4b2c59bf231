"""Results of many cells, shard by shard: in memory, or in parts that outlive a killed run."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celloquy._runtime import Progress, Shard, ShardPlan, ShardResult, run_shards

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from celloquy._runtime import Part
    from celloquy.io import CellStream

    Work = Callable[[int, int], dict[str, NDArray[Any]]]

SHARD_SIZE = 10_000
"""Cells a part holds: what a killed run may have to do again."""


class Collected:
    """Arrays of all cells as blocks of rows, in the order of the cells."""

    def __init__(self, blocks: list[dict[str, NDArray[Any]]] | list[Path]) -> None:
        self._blocks = blocks

    def blocks(self, name: str) -> Iterator[NDArray[Any]]:
        """Give one array's blocks, one at a time."""
        for block in self._blocks:
            if isinstance(block, Path):
                from safetensors.numpy import load_file

                yield load_file(block)[name]
            else:
                yield block[name]


def collect(
    stream: CellStream,
    work: Work,
    *,
    out: str | os.PathLike[str] | None,
    config: Mapping[str, Any],
    overwrite: bool = False,
    shard_size: int = SHARD_SIZE,
    n_rows: int | None = None,
) -> Collected:
    """Do the work on all cells, and keep what is done if `out` says where.

    Parameters
    ----------
    stream
        The open cells.
    work
        Takes the first row and the row after the last, gives named arrays of those cells.
    out
        The file that the results are for: parts lie beside it, in ``<out>.parts``, until
        :func:`discard_parts`, and a run that was killed goes on from them. `None` keeps
        results in memory.
    config
        All that changes the results; parts of another configuration are not used.
    overwrite
        Whether parts of another configuration are removed; else they are refused.
    shard_size
        Rows a part holds.
    n_rows
        Rows there are, where a row is no cell (but a group of cells); `None` takes the cells.

    Raises
    ------
    InputError
        If there are parts of another configuration and `overwrite` is false, or the disk is
        full.
    """
    n_rows = stream.n_obs if n_rows is None else n_rows
    borders = [*range(0, n_rows, shard_size), n_rows]
    unit = "cells" if n_rows == stream.n_obs else "groups"
    if out is None:
        return Collected([work(a, b) for a, b in pairwise(borders)])
    plan = ShardPlan.cut(
        n_rows, shard_size=shard_size, inputs=stream.fingerprint(), config=config,
        ending=".safetensors",
    )  # fmt: skip

    def write(shard: Shard, path: Path) -> ShardResult:
        from safetensors.numpy import save

        # not `save_file`: its error of a full disk is no OSError
        path.write_bytes(save(work(shard.start, shard.stop)))
        return ShardResult(shard.stop - shard.start)

    with Progress(n_rows, unit=unit) as progress:

        def done(part: Part) -> None:
            progress.advance(part.rows)

        parts = run_shards(
            plan, write, folder=_parts_folder(Path(out)), overwrite=overwrite, on_part=done
        )
        progress.note(Path(out).name)
    return Collected([part.path for part in parts])


def _parts_folder(out: Path) -> Path:
    """Say where the parts for a file lie."""
    return out.with_name(f"{out.name}.parts")


def discard_parts(out: str | os.PathLike[str]) -> None:
    """Remove the parts of a file that has been written."""
    shutil.rmtree(_parts_folder(Path(out)), ignore_errors=True)
