"""Ways from a sentence back to expression, for the suite of reconstruction."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from celloquy._runtime import rng_for
from celloquy.evaluation._methods import Method
from celloquy.text import (
    RankCurve,
    RankedCells,
    ReconstructOptions,
    Vocabulary,
    rank_cells,
    reconstruct,
)
from celloquy.text._fidelity import log_values
from celloquy.text._rank_curve import take_cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    from celloquy.evaluation._methods import Role
    from celloquy.learn import CellBlock

    Floats = NDArray[np.float64]

UNIT = "log1p"
"""Unit of all values: natural log1p of counts scaled to 10,000 a cell."""
_TABLE: dict[str, tuple[str, Role]] = {
    "line": ("line over log rank (Cell2Sentence), fitted on other cells", "baseline"),
    "line-all": ("line over log rank, fitted on all ranks of other cells", "baseline"),
    "curve": ("rank curve, fitted on other cells", "other"),
    "counted": ("rank curve, with each cell's number of expressed genes", "other"),
    "foreign": ("rank curve, fitted on other studies", "other"),
    "filled": ("rank curve, and the mean of the other cells for the rest", "other"),
    "mean": ("mean of the other cells, whatever the sentence", "baseline"),
    "named-mean": ("mean of each named gene where expressed, in any order", "baseline"),
    "values": ("the values kept beside the names", "ceiling"),
    "values-filled": (
        "the values kept beside the names, and the mean of the other cells for the rest",
        "ceiling",
    ),
}
METHODS = tuple(_TABLE)
"""Names of the methods."""


def reconstruction_method(name: str) -> Method:
    """Make the method of a name of :data:`METHODS`.

    Examples
    --------
    >>> reconstruction_method("foreign").title
    'rank curve, fitted on other studies'
    """
    said, role = _TABLE[name]
    return Method(name, said, "", role)


@dataclass(frozen=True, eq=False)
class Halves:
    """Cells of a set: one half to learn from, the other written and given back."""

    ranked: RankedCells
    """All cells as full sentences, with log1p values."""
    fitted: NDArray[np.int64]
    """Cells that are learnt from."""
    held: NDArray[np.int64]
    """Cells that are written."""
    curves: dict[str, RankCurve] = field(default_factory=dict)
    """Curves that were fitted, by method."""

    @cached_property
    def truth(self) -> Floats:
        """Log1p values of the cells that are written; shape ``(n_held, n_genes)``."""
        return self.values[self.held]

    @cached_property
    def learnt(self) -> Floats:
        """Log1p values of the cells that are learnt from; shape ``(n_fitted, n_genes)``."""
        return self.values[self.fitted]

    @property
    def values(self) -> Floats:
        """Log1p values of all cells; shape ``(n_obs, n_genes)``."""
        return dense(reconstruct(self.ranked))

    def written(self, n_top_genes: int | None) -> RankedCells:
        """Give the cells that are written, with so many genes at most."""
        cells = take_cells(self.ranked, self.held)
        return cells if n_top_genes is None else cells.top(n_top_genes)

    def curve(self, name: str) -> RankCurve:
        """Fit a curve on the cells that are learnt from, once."""
        name = "curve" if name == "filled" else name
        if name not in self.curves:
            learnt = take_cells(self.ranked, self.fitted)
            self.curves[name] = {
                "line": lambda: RankCurve.fit(learnt, unit=UNIT, kind="linear_log_rank"),
                "line-all": lambda: RankCurve.fit(
                    learnt, unit=UNIT, kind="linear_log_rank", max_log_rank=np.inf
                ),
                "curve": lambda: RankCurve.fit(learnt, unit=UNIT),
            }[name]()
        return self.curves[name]


def halve(block: CellBlock, *, seed: int) -> Halves:
    """Rank cells over the genes that any of them expresses, and cut them into halves by seed.

    Cells without expression are left out.
    """
    used = np.flatnonzero(np.diff(block.expression.tocsc().indptr))
    block = block.genes(used.astype(np.int64))
    ranked = log_values(rank_cells(block.expression, block.vocabulary))
    order = rng_for(seed, "halves of cells").permutation(np.flatnonzero(ranked.lengths))
    fitted, held = np.array_split(order, 2)
    return Halves(ranked, np.sort(fitted), np.sort(held))


def fit_foreign(parts: Sequence[RankedCells]) -> RankCurve:
    """Fit a curve on cells of several studies; their genes have no part in it."""
    nothing = Vocabulary(())
    together = RankedCells.concatenate([replace(part, vocabulary=nothing) for part in parts])
    return RankCurve.fit(together, unit=UNIT)


def texts_of(written: RankedCells) -> list[str]:
    """Write cells as names with spaces between: nothing else of them is left."""
    return [" ".join(names) for names in written]


def from_text(
    texts: Sequence[str],
    *,
    vocabulary: Vocabulary,
    curve: RankCurve,
    is_complete: bool,
    is_line: bool = False,
) -> Floats:
    """Give expression back from text alone.

    Parameters
    ----------
    texts
        One sentence a cell.
    vocabulary
        Genes that they may name.
    curve
        The rank curve.
    is_complete
        Whether sentences name every expressed gene, so that their length tells the curve.
    is_line
        Whether values may be negative, as Cell2Sentence's line has them.

    Returns
    -------
    Log1p values; shape ``(n_obs, n_genes)``.
    """
    options = ReconstructOptions(is_complete=is_complete, may_be_negative=is_line)
    return dense(reconstruct(texts, vocabulary=vocabulary, rank_curve=curve, options=options))


def from_counted(written: RankedCells, curve: RankCurve) -> Floats:
    """Give expression back from order and the number of expressed genes, kept or cut.

    Values are blanked first, so that none can come back.
    """
    blank = replace(written, values=np.full(len(written.genes), np.nan, dtype=np.float32))
    return dense(reconstruct(blank, rank_curve=curve))


def from_names(written: RankedCells, learnt: Floats) -> Floats:
    """Give each named gene its mean over the learnt cells that express it, in any order.

    A gene that none of them expresses gets the mean of all expressed values.

    Parameters
    ----------
    written
        The cells that are written.
    learnt
        Values of the cells that are learnt from; shape ``(n_learnt, n_genes)``.
    """
    n_cells = (learnt > 0).sum(axis=0)
    usual = learnt.sum() / max(int(n_cells.sum()), 1)
    means = np.where(n_cells > 0, learnt.sum(axis=0) / np.maximum(n_cells, 1), usual)
    return np.where(is_named(written, len(means)), means, 0.0)


def filled(told: Floats, written: RankedCells, learnt: Floats) -> Floats:
    """Give genes that a cell does not name their mean over the learnt cells.

    No such gene gets more than the least that the cell's named ones have.

    Parameters
    ----------
    told
        What came back; shape ``(n_obs, n_genes)``.
    written
        The cells that are written.
    learnt
        Values of the cells that are learnt from; shape ``(n_learnt, n_genes)``.
    """
    named = is_named(written, told.shape[1])
    least = np.where(named, told, np.inf).min(axis=1, keepdims=True)
    return np.where(named, told, np.minimum(learnt.mean(axis=0), least))


def is_named(written: RankedCells, n_genes: int) -> NDArray[np.bool_]:
    """Say which genes each cell names; shape ``(n_obs, n_genes)``."""
    found = np.zeros((written.n_obs, n_genes), dtype=bool)
    found[np.repeat(np.arange(written.n_obs), written.lengths), written.genes] = True
    return found


def dense(adata: AnnData) -> Floats:
    """Give expression as an array."""
    return np.asarray(adata.X.toarray(), dtype=np.float64)
