"""One line on stderr while work goes on, which ends as a summary."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

from celloquy._runtime._counts import count_of

if TYPE_CHECKING:
    from types import TracebackType


class Progress:
    """A line that counts, as a context manager.

    On a terminal the line moves while work goes on. Elsewhere nothing is written but the
    summary, so that a log holds one line a job. A block that fails leaves no summary; one that
    ends well with less than the total went on from an earlier run, and the summary says so.

    Parameters
    ----------
    total
        How many there are to do.
    unit
        What is counted, in the plural: "cells".
    stream
        Where to write; `None` is stderr.

    Examples
    --------
    >>> import sys
    >>> with Progress(500, unit="cells", stream=sys.stdout) as progress:
    ...     progress.advance(500)
    ...     progress.note("annotated.h5ad")
    500 cells in 0 s · annotated.h5ad
    """

    def __init__(self, total: int, *, unit: str, stream: TextIO | None = None) -> None:
        self._total, self._unit = total, unit
        self._stream = sys.stderr if stream is None else stream
        self._done = 0
        self._notes: list[str] = []
        self._bar: Any = None
        self._task: Any = None
        self._began = time.monotonic()

    def advance(self, count: int) -> None:
        """Count what was done since the last call."""
        self._done += count
        if self._bar is not None:
            self._bar.advance(self._task, count)

    def note(self, text: str) -> None:
        """Add a part to the summary: "3 unparsed", or the name of the file written."""
        self._notes.append(text)

    def __enter__(self) -> Progress:
        self._began = time.monotonic()
        if self._stream.isatty():
            from rich.console import Console
            from rich.progress import Progress as Bar

            self._bar = Bar(console=Console(file=self._stream), transient=True)
            self._task = self._bar.add_task(self._unit, total=self._total)
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if error is None:
            seconds = time.monotonic() - self._began
            done = f"{count_of(self._done, self._unit)} in {_spoken(seconds)}"
            if self._done < self._total:
                done += f", {self._total - self._done:,} done before"
            self._stream.write(" · ".join([done, *self._notes]) + "\n")
            self._stream.flush()


def _spoken(seconds: float) -> str:
    """Write a time as people say it: ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60} min"
