"""Labels as codes, and the choice of cells where a reference is larger than memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from celloquy._runtime import rng_for
from celloquy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MAX_CELLS = 50_000
"""Cells that anything is fitted on at most."""


def label_codes(labels: Sequence[object]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Give each label a number, in the order of their names.

    Parameters
    ----------
    labels
        One a cell; shape ``(n_obs,)``.

    Returns
    -------
    The label names, sorted, and the code of each cell, shape ``(n_obs,)``.

    Raises
    ------
    InputError
        If there is no cell, or a cell has no label.

    Examples
    --------
    >>> names, codes = label_codes(["NK", "B", "NK"])
    >>> names, codes.tolist()
    (('B', 'NK'), [1, 0, 1])
    """
    given = pd.Series(np.asarray(labels, dtype=object))
    if not len(given):
        msg = "There is no labelled cell to learn from."
        raise InputError(msg)
    missing = int((given.isna() | (given.astype(str).str.strip() == "")).sum())
    if missing:
        msg = f"{missing:,} of {len(given):,} reference cells have no label."
        raise InputError(msg, hint="leave those cells out of the reference.")
    names, codes = np.unique(given.astype(str).to_numpy(dtype=str), return_inverse=True)
    return tuple(str(name) for name in names), codes.astype(np.int64)


def choose_cells(
    codes: NDArray[np.int64], *, max_cells: int = MAX_CELLS, seed: int = 0
) -> NDArray[np.int64]:
    """Choose at most `max_cells` cells, as evenly over the labels as they allow.

    Labels with fewer cells than their even share keep all, and the others share what is
    left; within a label cells are drawn at random from a stream that depends on the seed
    and the label's code alone.

    Parameters
    ----------
    codes
        Label code of each cell; shape ``(n_obs,)``.
    max_cells
        The most cells to choose, at least 1.
    seed
        Seed of the draw.

    Returns
    -------
    Row numbers, rising; all of them where there are no more than `max_cells`.

    Raises
    ------
    InputError
        If `max_cells` is below 1.

    Examples
    --------
    >>> codes = np.array([0, 0, 0, 0, 0, 0, 1])
    >>> chosen = choose_cells(codes, max_cells=3)
    >>> np.bincount(codes[chosen]).tolist()
    [2, 1]
    """
    if max_cells < 1:
        msg = f"`max_cells` must be at least 1, got {max_cells}."
        raise InputError(msg)
    if len(codes) <= max_cells:
        return np.arange(len(codes))
    cells = np.bincount(codes)
    shares = _even_shares(cells, max_cells)
    chosen = [
        rng_for(seed, "choose_cells", int(label)).permutation(np.flatnonzero(codes == label))
        for label in np.flatnonzero(cells)
    ]
    kept = [rows[:share] for rows, share in zip(chosen, shares[cells > 0], strict=True)]
    return np.sort(np.concatenate(kept))


def _even_shares(cells: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Divide `total` over labels of so many cells: the small ones keep all."""
    shares = np.zeros_like(cells)
    left = total
    order = np.argsort(cells, kind="stable")
    for done, label in enumerate(order):
        shares[label] = min(cells[label], left // (len(cells) - done))
        left -= shares[label]
    return shares
