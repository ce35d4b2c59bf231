"""The demo's last step: celloquy-mini labels and writes cells of a study that it never saw."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from celloquy.evaluation import measure_annotation

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from anndata import AnnData

    from celloquy.lm import CellReading, LanguageModel

    Say = Callable[[str], None]

ASKED = {
    "B cell": "B",
    "CD4 T cell": "CD4 T",
    "CD8 T cell": "CD8 T",
    "natural killer cell": "NK",
    "CD14 monocyte": "monocyte",
    "CD16 monocyte": "monocyte",
    "dendritic cell": "dendritic",
}
"""The coarse type of each label that the model is offered."""
N_NEW = 40
"""Cells of each type that are written."""
N_NEIGHBOURS = 15


def tell_mini(cells: AnnData, out: Path, *, say: Say, seed: int, overwrite: bool) -> None:
    """Let the model label and write cells, and tell how good both are.

    Parameters
    ----------
    cells
        Cells with their coarse type in ``obs["cell_type"]``; gets ``cell_type_mini``.
    out
        Folder for the cells that are written.
    say
        Takes the lines that are told.
    seed
        Seed of what is written.
    overwrite
        Whether a file that exists is replaced.
    """
    from celloquy.lm import load_lm
    from celloquy.lm._mini import MINI

    say("\n6. A language model, offline (celloquy predict, celloquy generate)")
    say("   celloquy-mini learned from other studies; no cell or donor of this one.")
    lm = load_lm(MINI)
    _label(cells, lm, say)
    _write(cells, lm, out / "generated.h5ad", say=say, seed=seed, overwrite=overwrite)


class Shares(NamedTuple):
    """How many cells are recognised as their type."""

    new: float
    """Of the cells that were written."""
    real: float
    """Of real cells, the mean over types."""


def _label(cells: AnnData, lm: LanguageModel, say: Say) -> None:
    from celloquy.roles import PredictOptions, predict

    known = cells[cells.obs["cell_type"].notna()].copy()
    options = PredictOptions(min_score=0.0)
    asked = predict(
        known, "cell_type", lm=lm, labels=list(ASKED), key_added="mini", options=options
    )
    found = asked.table["mini"].astype(str).map(ASKED)
    cells.obs["cell_type_mini"] = pd.Categorical(found.reindex(cells.obs_names))
    measured = measure_annotation(known.obs["cell_type"].astype(str), found)
    say(
        f"   Labels without a labelled cell of this study: macro-F1 {measured.macro_f1:.3f}, "
        f"accuracy {measured.accuracy:.3f} on {known.n_obs} cells"
    )


def _write(
    cells: AnnData, lm: LanguageModel, path: Path, *, say: Say, seed: int, overwrite: bool
) -> None:
    from celloquy.io import write_h5ad
    from celloquy.roles import GenerateOptions, generate

    reading: CellReading = lm.reading  # type: ignore[attr-defined]
    labels = {coarse: label for label, coarse in ASKED.items()}
    said = [label for label in labels.values() for _ in range(N_NEW)]
    truth = np.repeat(list(labels), N_NEW)
    known = set(reading.known.symbols if reading.known is not None else ())
    options = GenerateOptions(genes=[name for name in cells.var_names if name in known])
    new = generate(
        "pseudo_cell", {"cell_type": said}, n=len(said), lm=lm, seed=seed, options=options
    )
    n_bad = int(new.obs["n_unknown"].sum() + new.obs["n_repeated"].sum())
    say(f"   {new.n_obs} new cells, {N_NEW} a type; words that are no gene, or repeat one: {n_bad}")
    shares = _recognised(new, truth, cells, reading)
    say(
        f"   {N_NEIGHBOURS} nearest real cells of this study recognise {shares.new:.1%} of them as "
        f"their type, and {shares.real:.1%} of the real cells"
    )
    write_h5ad(new, path, overwrite=overwrite)


def _recognised(new: AnnData, truth: np.ndarray, cells: AnnData, reading: CellReading) -> Shares:
    """Give the share of new cells, and of real ones, whose neighbours are of their type.

    Real cells are read as the model reads them: the same number of genes, in its order.
    """
    from sklearn.neighbors import KNeighborsClassifier

    from celloquy.text import GeneOptions, sentences

    real = cells[cells.obs["cell_type"].notna()]
    types = real.obs["cell_type"].astype(str).to_numpy()
    genes = GeneOptions(rank_by=reading.rank_by, known=reading.known)
    read = sentences(real, n_top_genes=reading.n_top_genes, genes=genes).ranked
    place = {name: i for i, name in enumerate(new.var_names)}
    columns = np.array([place.get(name, -1) for name in read.vocabulary.names])[read.genes]
    is_known = columns >= 0
    rows = np.repeat(np.arange(len(read)), read.lengths)[is_known]
    ones = np.ones(len(rows), dtype=np.float32)
    named = sparse.csr_matrix((ones, (rows, columns[is_known])), shape=(len(read), new.n_vars))
    judge = KNeighborsClassifier(N_NEIGHBOURS, metric="cosine").fit(named, types)
    labels, codes = np.unique(types, return_inverse=True)
    own = codes[judge.kneighbors(return_distance=False)]  # a cell is no neighbour of its own
    votes = np.stack([(own == i).sum(axis=1) for i in range(len(labels))], axis=1)
    is_right = labels[votes.argmax(axis=1)] == types
    of_real = np.mean([is_right[types == label].mean() for label in labels])
    written = sparse.csr_matrix(new.X, copy=True)
    written.data[:] = 1
    return Shares(float((judge.predict(written) == truth).mean()), float(of_real))
