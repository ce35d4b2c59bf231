"""Shards in worker processes, any of which may die."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, TypeVar

from celloquy.errors import CelloquyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from celloquy._runtime._shards import Shard

T = TypeVar("T")
MOST_BREAKS = 3
"""Times in a row that workers may die without one shard being finished between."""


def in_processes(
    work: Callable[[Shard], T], shards: Sequence[Shard], *, workers: int
) -> Iterator[T]:
    """Run shards in processes of their own, in no fixed order.

    A worker that is killed takes its pool with it; a new pool goes on with the shards that
    are left.

    Parameters
    ----------
    work
        A function of a module (or a `functools.partial` of one), since new processes start
        empty and import it.
    shards
        What to run.
    workers
        Number of processes.

    Raises
    ------
    CelloquyError
        If workers die again and again without finishing anything.
    """
    left = {shard.number: shard for shard in shards}
    breaks = 0
    while left:
        before = len(left)
        try:
            yield from _one_pool(work, left, workers)
        except BrokenProcessPool as error:
            breaks = breaks + 1 if len(left) == before else 1
            if breaks >= MOST_BREAKS:
                msg = f"Worker processes died {breaks} times in a row; {len(left)} shards are left."
                hint = "use fewer workers or smaller shards: memory is the usual reason."
                raise CelloquyError(msg, hint=hint) from error


def _one_pool(work: Callable[[Shard], T], left: dict[int, Shard], workers: int) -> Iterator[T]:
    context = multiprocessing.get_context("spawn")  # forks share locks that no thread will open
    pool = ProcessPoolExecutor(min(workers, len(left)), mp_context=context)
    try:
        running = {pool.submit(work, shard): number for number, shard in left.items()}
        for future in as_completed(running):
            result = future.result()
            del left[running[future]]
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
