"""A file that grows without filling the memory of the machine."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

WINDOW = 16 * 2**20
"""Bytes that are sent to the disk at once."""


class Drain:
    """Sends what a growing file holds to the disk while more of it is made.

    An operating system keeps written bytes in memory and asks for new memory for each of them:
    the file of an atlas pushes everything else out, and where memory is given slowly, as in
    virtual machines, asking takes longer than making the bytes did. Here another thread waits
    for the disk and gives the memory back, so that the next bytes take the same pages.

    Parameters
    ----------
    path
        The file; it exists, and whoever writes it writes at its end.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY)
        self._pool = ThreadPoolExecutor(1)
        self._sent = 0
        self._last: Future[None] | None = None

    def __enter__(self) -> Drain:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._wait()
        finally:
            self._pool.shutdown()
            os.close(self._file)

    def flow(self) -> None:
        """Send what was written since the last time, if it is a good deal.

        Raises
        ------
        OSError
            If the disk did not take what was sent before.
        """
        size = os.fstat(self._file).st_size
        if size - self._sent >= WINDOW:
            self._wait()
            self._last = self._pool.submit(self._send, self._sent, size)
            self._sent = size

    def _wait(self) -> None:
        if self._last is not None:
            self._last.result()

    def _send(self, start: int, stop: int) -> None:
        if hasattr(os, "posix_fadvise"):  # elsewhere the operating system knows best
            os.fdatasync(self._file)
            os.posix_fadvise(self._file, start, stop - start, os.POSIX_FADV_DONTNEED)
