"""Seconds and peak memory of several ways to do one thing, taken in turn."""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PROCESS = Path("/proc/self")
_MEGABYTE = 1e6


@dataclass
class Taken:
    """What one way took, round by round."""

    seconds: list[float] = field(default_factory=list)
    """By the clock."""
    cpu_seconds: list[float] = field(default_factory=list)
    """Of processor time, all threads together."""
    peaks: list[float] = field(default_factory=list)
    """Most memory above what was held before, in MB; NaN where the system does not tell."""

    @property
    def median_seconds(self) -> float:
        """Seconds by the clock: the median of rounds."""
        return float(np.median(self.seconds))

    @property
    def peak(self) -> float:
        """Most memory above what was held before, in MB: the median of rounds."""
        return float(np.median(self.peaks))

    def cells_per_second(self, n_obs: int) -> float:
        """Give cells a second by the clock.

        Examples
        --------
        >>> Taken([2.0, 4.0, 9.0]).cells_per_second(100)
        25.0
        """
        return n_obs / self.median_seconds

    def cells_per_cpu_second(self, n_obs: int) -> float:
        """Give cells a second of processor time; NaN where none was counted."""
        spent = float(np.median(self.cpu_seconds))
        return n_obs / spent if spent else float("nan")

    def times(self, other: Taken) -> float:
        """Say how many times as fast this is as another: the median of the rounds' ratios.

        Examples
        --------
        >>> Taken([1.0, 2.0, 1.0]).times(Taken([3.0, 4.0, 9.0]))
        3.0
        """
        return float(np.median(np.divide(other.seconds, self.seconds)))


def take_in_turn(ways: Mapping[str, Callable[[], object]], *, n_rounds: int) -> dict[str, Taken]:
    """Time every way once a round, every other round in the opposite order.

    Whatever else the machine does then hits all ways alike. Each way runs once before, so that
    nothing is compiled or loaded in what is timed.

    Parameters
    ----------
    ways
        What is done, by name.
    n_rounds
        Rounds that are timed.
    """
    for work in ways.values():
        work()
    taken = {name: Taken() for name in ways}
    for number in range(n_rounds):
        for name in list(ways) if number % 2 else list(ways)[::-1]:
            held = _start_of_memory()
            wall, cpu = time.perf_counter(), time.process_time()
            ways[name]()
            taken[name].seconds.append(time.perf_counter() - wall)
            taken[name].cpu_seconds.append(time.process_time() - cpu)
            taken[name].peaks.append(_peak() - held)
    return taken


def load_average() -> float:
    """Say how many programs wanted a core in the last minute; NaN where nothing tells it."""
    with contextlib.suppress(AttributeError, OSError):
        return os.getloadavg()[0]
    return float("nan")


def _start_of_memory() -> float:
    """Give back what is free, forget the peak so far, and tell what is held, in MB."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)  # glibc keeps freed memory, which would hide a peak
    with contextlib.suppress(OSError):
        (_PROCESS / "clear_refs").write_text("5", encoding="ascii")
    return _told("VmRSS")


def _peak() -> float:
    return _told("VmHWM")


def _told(name: str) -> float:
    """Read a line of Linux's record of this process, in MB; NaN on other systems."""
    try:
        lines = (_PROCESS / "status").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("nan")
    found = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(found[0]) * 1024 / _MEGABYTE if found else float("nan")
