"""Numbers with what they count, as people say them."""

from __future__ import annotations


def count_of(n: int, things: str) -> str:
    """Write a number with what is counted.

    Parameters
    ----------
    n
        How many there are.
    things
        What is counted, in the plural; of several words, the last one before "of".

    Examples
    --------
    >>> [count_of(2_000, "cells"), count_of(1, "cells"), count_of(0, "expressed genes")]
    ['2,000 cells', '1 cell', '0 expressed genes']
    >>> [count_of(1, "blocks of cells"), count_of(1, "batches"), count_of(1, "studies")]
    ['1 block of cells', '1 batch', '1 study']
    """
    if n != 1:
        return f"{n:,} {things}"
    counted, of, whole = things.partition(" of ")
    if counted.endswith("ies"):
        counted = f"{counted[:-3]}y"
    else:
        counted = counted.removesuffix("es" if counted.endswith(("ches", "xes", "sses")) else "s")
    return f"1 {counted}{of}{whole}"
