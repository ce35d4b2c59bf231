"""Asynchronous work for many rows, put back in their order, from synchronous code."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from celloquy.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

T = TypeVar("T")


async def in_rows(n: int, work: Callable[[int], Awaitable[T]], *, concurrency: int) -> list[T]:
    """Do work for rows 0 to n, some at once, and give the results in the order of the rows.

    After a failure no other row is begun; those under way end first, so that what they cost
    is not lost. Of several failures that of the first row is raised.
    """
    results: dict[int, T] = {}
    failures: dict[int, Exception] = {}
    waiting = iter(range(n))

    async def worker() -> None:
        for row in waiting:
            try:
                results[row] = await work(row)
            except (BackendError, Warning) as error:
                failures[row] = error
            if failures:
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(min(n, concurrency)):
            group.create_task(worker())
    if failures:
        raise failures[min(failures)]
    return [results[row] for row in range(n)]


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run asynchronous work to its end, also where a loop runs already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    ended: list[T] = []
    failed: list[BaseException] = []

    def beside() -> None:
        try:
            ended.append(asyncio.run(work))
        except BaseException as error:  # noqa: BLE001 (raised again in the caller's thread)
            failed.append(error)

    thread = threading.Thread(target=beside)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return ended[0]
