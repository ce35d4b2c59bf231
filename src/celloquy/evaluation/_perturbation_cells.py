"""Predicted and real perturbed cells brought together: means, controls, changed genes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from celloquy._runtime import closest
from celloquy.errors import InputError
from celloquy.evaluation._sides import column_of, in_memory, made_values
from celloquy.learn import log_normalise
from celloquy.roles import ReadOptions, read_block

if TYPE_CHECKING:
    import os

    from anndata import AnnData
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FALSE_DISCOVERY_RATE = 0.05
FEWEST_TESTED = 3
"""Cells of a perturbation from which on genes are tested for change."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Log expression of cells over genes, and what was done to each cell."""

    values: sp.csr_matrix
    """Natural log1p values; shape ``(n_obs, n_genes)``."""
    genes: tuple[str, ...]
    """Names of the genes."""
    perturbations: NDArray[np.object_]
    """Perturbation of each cell."""
    contexts: NDArray[np.object_]
    """Context of each cell; an empty name where there is one only."""

    def over(self, genes: list[str]) -> Cells:
        """Keep some genes, in the given order."""
        place = pd.Index(self.genes).get_indexer(pd.Index(genes))
        return Cells(self.values[:, place], tuple(genes), self.perturbations, self.contexts)


@dataclass(frozen=True, eq=False)
class Context:
    """Perturbations of one context (cell line, stimulation), each beside the same control."""

    name: str
    """Its name; empty where there is one only."""
    genes: tuple[str, ...]
    """Names of the genes."""
    perturbations: tuple[str, ...]
    """Every perturbation of the real cells, sorted, but the control."""
    control: Floats
    """Mean of the control cells; shape ``(n_genes,)``."""
    control_cells: sp.csr_matrix
    """The control cells."""
    cells: tuple[sp.csr_matrix, ...]
    """The real cells of each perturbation."""

    @property
    def means(self) -> Floats:
        """Mean log expression of each perturbation; shape ``(n_perturbations, n_genes)``."""
        return np.stack([mean_of_cells(cells) for cells in self.cells])

    def changed(self, cells: sp.csr_matrix) -> NDArray[np.bool_]:
        """Say which genes differ from the control; shape ``(n_genes,)``.

        Wilcoxon's rank-sum test with ties, then Benjamini and Hochberg at 5 %, as in scanpy
        and cell-eval.
        """
        found = np.zeros(cells.shape[1], dtype=bool)
        if min(cells.shape[0], self.control_cells.shape[0]) < FEWEST_TESTED:
            return found
        both = sp.vstack([cells, self.control_cells], format="csc")
        tested = np.flatnonzero(np.diff(both.indptr))
        p = rank_sum_p_values(both[:, tested].toarray(), n_first=cells.shape[0])
        found[tested[_discovered(p)]] = True
        return found


def rank_sum_p_values(values: Floats, *, n_first: int) -> Floats:
    """Test each column for a shift between its first rows and the others (Wilcoxon, 1945).

    Two-sided, by the normal approximation with ties and continuity: what
    ``scipy.stats.mannwhitneyu(method="asymptotic")`` gives, for many columns at once.

    Parameters
    ----------
    values
        Shape ``(n_obs, n_columns)``.
    n_first
        Rows of the first side.
    """
    from scipy.special import ndtr
    from scipy.stats import rankdata

    n_obs = len(values)
    ranks = rankdata(values, axis=0)
    shift = np.abs(ranks[:n_first].sum(axis=0) - n_first * (n_obs + 1) / 2)
    spread = ((ranks - (n_obs + 1) / 2) ** 2).sum(axis=0)
    deviation = np.sqrt(n_first * (n_obs - n_first) / (n_obs * (n_obs - 1)) * spread)
    z = np.divide(
        np.maximum(shift - 0.5, 0), deviation, out=np.zeros_like(shift), where=deviation > 0
    )
    return np.asarray(np.minimum(2 * ndtr(-z), 1.0))


def _discovered(p: Floats) -> NDArray[np.int64]:
    """Give the columns that Benjamini and Hochberg's procedure keeps at 5 %."""
    order = np.argsort(p, kind="stable")
    allowed = FALSE_DISCOVERY_RATE * np.arange(1, len(p) + 1) / max(len(p), 1)
    below = np.flatnonzero(p[order] <= allowed)
    return order[: below[-1] + 1] if len(below) else order[:0]


def mean_of_cells(cells: sp.csr_matrix) -> Floats:
    """Give the mean of each gene; shape ``(n_genes,)``."""
    return np.asarray(cells.mean(axis=0), dtype=np.float64).ravel()


def read_real(
    source: AnnData | str | os.PathLike[str],
    *,
    perturbation_key: str,
    context_key: str | None,
    read_options: ReadOptions | None = None,
) -> Cells:
    """Read real cells; counts are scaled to 10,000 a cell and logged, log1p values are kept.

    Raises
    ------
    InputError
        If a column is missing, or the values are on an unknown scale.
    """
    block, obs = read_block(source, read=read_options)
    kept = block.expression if block.kind == "log1p" else block.log_values
    return Cells(
        sp.csr_matrix(kept),
        tuple(block.vocabulary.names),
        column_of(obs, perturbation_key, what="real cells"),
        _contexts(obs, context_key, what="real cells"),
    )


def read_predicted(
    source: AnnData | str | os.PathLike[str], *, perturbation_key: str, context_key: str | None
) -> Cells:
    """Read predicted cells, or one predicted mean a perturbation; anything but counts is log1p.

    A predicted mean need not look like a cell: negative values are allowed.

    Raises
    ------
    InputError
        If a column is missing, or a value cannot be used.
    """
    adata = in_memory(source)
    values, kind = made_values(adata, what="predicted")
    if kind == "counts":
        values = log_normalise(values, kind)
    return Cells(
        sp.csr_matrix(values),
        tuple(adata.var_names.astype(str)),
        column_of(adata.obs, perturbation_key, what="predicted cells"),
        _contexts(adata.obs, context_key, what="predicted cells"),
    )


def _contexts(obs: pd.DataFrame, key: str | None, *, what: str) -> NDArray[np.object_]:
    if key is None:
        return np.full(len(obs), "", dtype=object)
    return column_of(obs, key, what=what)


def contexts_of(real: Cells, *, control: str) -> list[Context]:
    """Cut real cells into contexts, each with its control.

    Raises
    ------
    InputError
        If no cell is a control, or nothing is perturbed where there are controls.
    """
    names = sorted(set(real.perturbations))
    if control not in names:
        msg = f"No real cell has the perturbation {control!r}{closest(control, names)}."
        raise InputError(msg, hint=f"name the control, one of: {', '.join(names[:20])}.")
    found = []
    for context in sorted(set(real.contexts)):
        here = real.contexts == context
        of_control = here & (real.perturbations == control)
        others = sorted(set(real.perturbations[here]) - {control})
        if of_control.any() and others:
            cells = [real.values[here & (real.perturbations == name)] for name in others]
            controls = real.values[of_control]
            found.append(
                Context(
                    context, real.genes, tuple(others), mean_of_cells(controls), controls,
                    tuple(cells),
                )
            )  # fmt: skip
    if not found:
        msg = f"No context has both control cells ({control!r}) and perturbed cells."
        raise InputError(msg, hint="choose a `context_key` whose every value has controls.")
    return found
