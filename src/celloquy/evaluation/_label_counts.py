"""How often each true label got each prediction, group by group, and what follows from that."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from celloquy.errors import InputError
from celloquy.learn import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

_AT_ONCE = 4_000_000
"""Counts that stand in memory at once where many tables are made; 32 MB."""


@dataclass(frozen=True, eq=False)
class LabelCounts:
    """Cells by group, true label and prediction."""

    counts: sp.csr_array
    """Shape ``(n_groups, n_labels * n_labels)``: true label times `n_labels` plus prediction."""
    labels: tuple[str, ...]
    """Every label of either side, sorted."""
    groups: tuple[str, ...]
    """Names of the groups, sorted; one empty name where there are none."""

    @cached_property
    def total(self) -> NDArray[np.float64]:
        """Cells of all groups: true labels in rows, predictions in columns."""
        size = len(self.labels)
        return np.asarray(self.counts.sum(axis=0), dtype=np.float64).reshape(size, size)

    @cached_property
    def of_truth(self) -> NDArray[np.float64]:
        """Cells of each true label; shape ``(n_labels,)``."""
        return np.asarray(self.total.sum(axis=1))

    def rates_of(self, weights: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """Compute every metric for many choices of groups.

        Parameters
        ----------
        weights
            How often each group counts; shape ``(n_choices, n_groups)``.

        Returns
        -------
        Metrics by name; each of shape ``(n_choices,)``.
        """
        parts = [rates(tables, self) for tables in self._tables(weights)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    @cached_property
    def by_group(self) -> dict[str, NDArray[np.float64]]:
        """Every metric of each group; each of shape ``(n_groups,)``."""
        size = len(self.labels)
        step = max(1, _AT_ONCE // size**2)
        parts = [
            rates(self.counts[i : i + step].toarray().reshape(-1, size, size), self)
            for i in range(0, len(self.groups), step)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _tables(self, weights: NDArray[np.int64]) -> Iterator[NDArray[np.float64]]:
        size = len(self.labels)
        step = max(1, _AT_ONCE // size**2)
        for start in range(0, len(weights), step):
            yield np.asarray(weights[start : start + step] @ self.counts).reshape(-1, size, size)


def count_labels(
    truth: ArrayLike, prediction: ArrayLike, *, groups: ArrayLike | None = None
) -> LabelCounts:
    """Count cells by group, true label and prediction.

    Raises
    ------
    InputError
        If there is no cell, the lengths differ, or a label or group is missing.
    """
    true, told = pd.Series(np.asarray(truth, object)), pd.Series(np.asarray(prediction, object))
    if len(true) != len(told) or len(true) == 0:
        msg = f"There are {len(true)} true labels and {len(told)} predictions."
        raise InputError(msg, hint="pass the two columns of the same cells.")
    placed = pd.Series(np.full(len(true), "") if groups is None else np.asarray(groups, object))
    if len(placed) != len(true):
        msg = f"There are {len(true)} cells and {len(placed)} groups."
        raise InputError(msg, hint="pass the group of each cell.")
    _refuse_missing(true, "true labels are", hint="leave out the cells without truth.")
    _refuse_missing(told, "predictions are", hint=f"write {UNKNOWN!r} where there is no answer.")
    _refuse_missing(placed, "groups are", hint="leave those cells out, or name their group.")
    codes, labels = pd.factorize(pd.concat([true, told]).astype(str), sort=True)
    place, names = pd.factorize(placed.astype(str), sort=True)
    size, n = len(labels), len(true)
    cell = codes[:n] * size + codes[n:]
    counts = sp.coo_array((np.ones(n), (place, cell)), shape=(len(names), size**2)).tocsr()
    return LabelCounts(counts, tuple(labels), tuple(names))


def _refuse_missing(column: pd.Series, what: str, *, hint: str) -> None:
    """Refuse a column with gaps.

    Raises
    ------
    InputError
        If a value is missing.
    """
    gaps = column.isna()
    if gaps.any():
        first = int(gaps.argmax())
        msg = f"{int(gaps.sum())} of {len(column)} {what} missing, the first at row {first}."
        raise InputError(msg, hint=hint)


def rates(counts: NDArray[np.float64], counted: LabelCounts) -> dict[str, NDArray[np.float64]]:
    """Compute every metric of many tables of counts at once.

    scikit-learn has each of them for one list of cells; from counts, a thousand resamples of a
    million cells take as long as one.

    Parameters
    ----------
    counts
        Shape ``(n_tables, n_labels, n_labels)``.
    counted
        What the labels are.

    Returns
    -------
    Metrics by name; each of shape ``(n_tables,)``.
    """
    cells = counts.sum(axis=(1, 2), dtype=np.float64)
    is_answer = np.array([name != UNKNOWN for name in counted.labels])
    hits = np.diagonal(counts, axis1=1, axis2=2) * is_answer  # (tables, labels)
    of_truth, told = counts.sum(axis=2), counts.sum(axis=1)
    is_true = of_truth > 0
    right, answered = hits.sum(axis=1), told[:, is_answer].sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        chance = (of_truth * told * is_answer).sum(axis=1) / cells**2
        recall, f1 = hits / of_truth, 2 * hits / (of_truth + told)
        return {
            "accuracy": right / cells,
            "macro_f1": np.where(is_true, f1, 0).sum(axis=1) / is_true.sum(axis=1),
            "balanced_accuracy": np.where(is_true, recall, 0).sum(axis=1) / is_true.sum(axis=1),
            "cohen_kappa": np.where(chance < 1, (right / cells - chance) / (1 - chance), 0.0),
            "coverage": answered / cells,
            "accuracy_answered": right / answered,
        }
