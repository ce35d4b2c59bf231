"""How much of real expression reconstructed cells give back, beside the mean of each gene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from celloquy._runtime import rng_for
from celloquy.errors import InputError
from celloquy.evaluation._intervals import mean_interval
from celloquy.evaluation._measured import Meaning, Measured
from celloquy.evaluation._perturbation_metrics import pearson
from celloquy.evaluation._sides import column_of, in_memory, made_values, shared_genes
from celloquy.learn import log_normalise
from celloquy.roles import ReadOptions, read_block
from celloquy.text import default_rank_curve
from celloquy.text._fidelity import measure_reconstruction
from celloquy.text._reconstruct import UNS_KEY

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from typing import TypeAlias

    import scipy.sparse as sp
    from anndata import AnnData
    from numpy.typing import NDArray

    Source: TypeAlias = AnnData | str | os.PathLike[str]
    Floats = NDArray[np.float64]

MAX_OBS = 2_000
GENE_MEAN, RANKS = "mean of the gene", "curve on the true ranks"
EXPRESSED = "over the expressed genes of all cells"
MEANINGS = {
    "r2": Meaning(f"share of variance explained, {EXPRESSED}", "count", lowest=-float("inf")),
    "pearson": Meaning(f"correlation of values, {EXPRESSED}", "Pearson", lowest=-1.0),
    "spearman": Meaning(f"correlation of ranks of values, {EXPRESSED}", "Spearman", lowest=-1.0),
    "rmse": Meaning(
        f"root of the mean squared error in log1p units, {EXPRESSED}", "count",
        best=0.0, highest=float("inf"),
    ),
    "pearson_cell": Meaning(
        "correlation over all shared genes of a cell, zeros too, mean of cells", "Pearson",
        lowest=-1.0,
    ),
    "genes_given_back": Meaning("share of the expressed genes that are not zero", "count"),
    "genes_invented": Meaning(
        "share of the genes given back that the cell does not express", "count", best=0.0
    ),
}  # fmt: skip
"""What each metric says."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ReconstructionReport(Measured):
    """How much of real expression came back; ``str()`` of it reads well."""

    meanings: ClassVar[Mapping[str, Meaning]] = MEANINGS
    title: ClassVar[str] = "reconstructed"


def evaluate_reconstruction(
    reconstructed: Source,
    *,
    real: Source,
    group_key: str | None = None,
    read: ReadOptions | None = None,
    max_obs: int = MAX_OBS,
    seed: int = 0,
) -> ReconstructionReport:
    """Judge reconstructed cells by the real cells of the same names.

    :func:`celloquy.text.fidelity` tells how well ranks alone can do, on held-out cells of any
    source; this judges what came back, whatever made it.

    Parameters
    ----------
    reconstructed
        Cells that were given back: log1p of 10,000 molecules a cell, or whole counts.
    real
        The real cells, with the same names: counts or log1p values.
    group_key
        Column of the real cells' obs with the donor; intervals are drawn over donors.
    read
        Which slot of `real` is read.
    max_obs
        The most cells that are compared, drawn at random.
    seed
        Seed of the draw.

    Raises
    ------
    InputError
        If there is no cell, a name of a cell repeats, no cell or no gene is shared, a column is
        missing, or a value cannot be used.
    """
    made = in_memory(reconstructed)
    block, obs = read_block(real, read=read)
    shared = _shared_cells(made.obs_names, obs.index)
    notes = _cell_notes(made.n_obs, len(obs), len(shared)) + _value_notes(made)
    if len(shared) > max_obs:
        notes.append(f"{max_obs:,} of {len(shared):,} shared cells were drawn.")
        shared = [shared[i] for i in rng_for(seed, "reconstructed").permutation(len(shared))]
        shared = shared[:max_obs]
    values, kind = made_values(made, what="reconstructed")
    values = log_normalise(values, kind) if kind == "counts" else values
    genes = shared_genes(tuple(made.var_names.astype(str)), block.vocabulary.names)
    true = block.expression if block.kind == "log1p" else block.log_values
    told = _dense(values, made.obs_names.get_indexer(shared), made.var_names.get_indexer(genes))
    rows = pd.Index(obs.index).get_indexer(shared)
    truth = _dense(true, rows, block.vocabulary.find(genes).astype(np.int64))
    cells = {"reconstructed": _per_cell(told, truth)}
    rivals = {GENE_MEAN: _gene_means(truth, seed=seed), RANKS: _by_rank(truth)}
    intervals = {}
    if group_key is not None:
        groups = column_of(obs.iloc[rows], group_key, what="real cells")
        found = mean_interval(pd.Series(cells["reconstructed"]).groupby(groups).mean(), seed=seed)
        intervals = {} if found is None else {"pearson_cell": found}
    return ReconstructionReport(
        metrics=measure_cells(told, truth),
        intervals=intervals,
        baselines={name: measure_cells(rival, truth) for name, rival in rivals.items()},
        n={"cells": len(shared), "genes": len(genes), "values": int((truth > 0).sum())},
        notes=tuple(notes),
    )


def measure_cells(told: Floats, truth: Floats) -> dict[str, float]:
    """Compare reconstructed with real log1p values of the same cells.

    Parameters
    ----------
    told
        What came back; shape ``(n_obs, n_genes)``.
    truth
        The real values.

    Returns
    -------
    Numbers by the names of :data:`MEANINGS`.
    """
    expressed, given = truth > 0, told > 0
    found = measure_reconstruction(truth[expressed], told[expressed])
    n_expressed, n_given = int(expressed.sum()), int(given.sum())
    both = int((expressed & given).sum())
    return {
        **found,
        "pearson_cell": float(np.nanmean(_per_cell(told, truth))),
        "genes_given_back": both / n_expressed if n_expressed else float("nan"),
        "genes_invented": 1 - both / n_given if n_given else float("nan"),
    }


def _shared_cells(made: pd.Index, real: pd.Index) -> list[str]:
    """Give the names of the cells that both sides have, in the order of the real ones.

    Raises
    ------
    InputError
        If there are none, or a name repeats.
    """
    if not len(made):
        msg = "There are no reconstructed cells."
        raise InputError(msg, hint="pass a file with cells (`celloquy reconstruct` writes one).")
    for what, names in (("reconstructed", made), ("real", real)):
        repeated = names[names.duplicated()].unique()
        if len(repeated):
            msg = (
                f"Names of the {what} cells must be unique; {len(repeated):,} repeat, such as "
                f"{repeated[0]!r}."
            )
            hint = "run `adata.obs_names_make_unique()` on the real cells, then reconstruct them."
            raise InputError(msg, hint=hint)
    known = set(made)
    shared = [name for name in real if name in known]
    if not shared:
        msg = f"No cell is on both sides: one names {made[0]!r}, the other {real[0]!r}."
        raise InputError(msg, hint="reconstruct the cells that are compared.")
    return shared


def _per_cell(told: Floats, truth: Floats) -> Floats:
    """Correlate each cell over its genes; a cell that came back flat has 0."""
    found = np.array([pearson(one, other) for one, other in zip(told, truth, strict=True)])
    flat = np.isnan(found) & (truth.std(axis=1) > 0)
    return np.where(flat, 0.0, found)


def _gene_means(truth: Floats, *, seed: int) -> Floats:
    """Give each cell the mean of each gene over the half of the cells that it is not in."""
    order = rng_for(seed, "halves of cells").permutation(len(truth))
    found = np.zeros_like(truth)
    first, second = np.array_split(order, 2)
    if len(second):
        found[first], found[second] = truth[second].mean(axis=0), truth[first].mean(axis=0)
    return found


def _by_rank(truth: Floats) -> Floats:
    """Give each expressed gene what the packaged curve has at its true rank."""
    curve = default_rank_curve()
    found = np.zeros_like(truth)
    for cell, line in enumerate(truth):
        genes = np.argsort(-line, kind="stable")[: int((line > 0).sum())]
        found[cell, genes] = curve.predict(np.arange(len(genes)), n_expressed=len(genes))
    return found


def _dense(values: sp.csr_matrix, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Floats:
    return np.asarray(values[rows][:, columns].toarray(), dtype=np.float64)


def _value_notes(made: AnnData) -> list[str]:
    if dict(made.uns.get(UNS_KEY, {})).get("values") != "stored":
        return []
    return [
        "These values were kept beside the names and given back; they say nothing of what the "
        "order of genes keeps. Reconstruct with `rank_curve=`, or from text."
    ]


def _cell_notes(n_made: int, n_real: int, n_shared: int) -> list[str]:
    if n_shared == n_made == n_real:
        return []
    return [
        f"{n_shared:,} cells are on both sides, of {n_made:,} reconstructed and {n_real:,} real."
    ]
