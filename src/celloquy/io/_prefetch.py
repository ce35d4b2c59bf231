"""Reading ahead: the next item is made in a thread while the last one is used."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")


def ahead(make: Callable[[int], T], count: int) -> Iterator[T]:
    """Give ``make(0)``, ``make(1)``, … in order, made by a thread that is two items ahead.

    While the caller uses item `i`, item `i + 1` waits and item `i + 2` is being made, so
    three items live at any time. An error of `make` is raised where its item would come.
    A caller that stops early ends the thread.
    """
    free, ready = threading.Semaphore(2), queue.SimpleQueue[tuple[T | None, BaseException | None]]()
    stopped = threading.Event()

    def work() -> None:
        for number in range(count):
            free.acquire()
            if stopped.is_set():
                return
            try:
                item = make(number)
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                ready.put((None, error))
                return
            ready.put((item, None))

    thread = threading.Thread(target=work, name="celloquy-read-ahead", daemon=True)
    thread.start()
    try:
        for _ in range(count):
            item, error = ready.get()
            if error is not None:
                raise error
            free.release()
            yield item  # type: ignore[misc] # an item without error is there
    finally:
        stopped.set()
        free.release()
        thread.join()
