"""The demo's last step: celloquy-mini labels and writes cells of a study that it never saw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from celloquy.evaluation import coarse_blood_types, measure_annotation
from celloquy.roles._taught import reading_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from anndata import AnnData
    from numpy.typing import NDArray

    from celloquy.lm import LanguageModel
    from celloquy.text import RankedCells

    Say = Callable[[str], None]

N_NEW = 20
"""Cells of each type that are written."""
N_CANDIDATES = 4
"""Cells that are written for each that is kept."""
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


def blood_labels(lm: LanguageModel) -> dict[str, str]:
    """Give the coarse type of each blood type that the model was taught, by its label."""
    reading = reading_of(lm)
    taught = () if reading is None else reading.labels.get("cell_type", ())
    found = zip(taught, coarse_blood_types(taught), strict=True)
    return {label: coarse for label, coarse in found if coarse is not None}


class Shares(NamedTuple):
    """How many cells are recognised as their type."""

    new: float
    """Of the cells that were written."""
    real: float
    """Of real cells, the mean over types."""


def _label(cells: AnnData, lm: LanguageModel, say: Say) -> None:
    from celloquy.roles import PredictOptions, predict

    known = cells[cells.obs["cell_type"].notna()].copy()
    options, offered = PredictOptions(min_score=0.0), blood_labels(lm)
    asked = predict(
        known, "cell_type", lm=lm, labels=list(offered), key_added="mini", options=options
    )
    found = asked.table["mini"].astype(str).map(offered)
    cells.obs["cell_type_mini"] = pd.Categorical(found.reindex(cells.obs_names))
    truth = known.obs["cell_type"].astype(str)
    majority = measure_annotation(truth, np.full(known.n_obs, truth.mode()[0]))
    measured = measure_annotation(truth, found)
    say(
        f"   Labels without a labelled cell of this study: macro-F1 {measured.macro_f1:.3f}, "
        f"accuracy {measured.accuracy:.3f} on {known.n_obs} cells"
    )
    say(
        f"   (majority class: {majority.macro_f1:.3f}, {majority.accuracy:.3f}; methods that learn "
        "from labelled cells of this study stand in step 4)"
    )


def _write(
    cells: AnnData, lm: LanguageModel, path: Path, *, say: Say, seed: int, overwrite: bool
) -> None:
    from celloquy.io import write_h5ad
    from celloquy.roles import GenerateOptions, TextSource, generate, read_block

    labels = {coarse: label for label, coarse in blood_labels(lm).items()}
    block, _ = read_block(cells)
    read = TextSource(lm=lm).reader().rank(block)
    said = [label for label in labels.values() for _ in range(N_NEW)]
    truth = np.repeat(list(labels), N_NEW)
    names = list(read.vocabulary.names)
    options = GenerateOptions(genes=names, n_candidates=N_CANDIDATES)
    new = generate(
        "pseudo_cell", {"cell_type": said}, n=len(said), lm=lm, seed=seed, options=options
    )
    n_bad = int(new.obs["n_unknown"].sum() + new.obs["n_repeated"].sum())
    say(
        f"   {new.n_obs} new cells, {N_NEW} a type, each the surest of {N_CANDIDATES}; words that "
        f"are no gene, or repeat one: {n_bad}"
    )
    shares = _recognised(new, truth, read, cells.obs["cell_type"])
    say(
        f"   {N_NEIGHBOURS} nearest real cells of this study recognise {shares.new:.1%} of them as "
        f"their type, and {shares.real:.1%} of the real cells"
    )
    write_h5ad(new, path, overwrite=overwrite)


def _recognised(
    new: AnnData, truth: NDArray[np.str_], read: RankedCells, labels: pd.Series[Any]
) -> Shares:
    """Give the share of new cells, and of real ones, whose neighbours are of their type.

    Real cells are read as the model reads them: the same number of genes, in its order.
    """
    from sklearn.neighbors import KNeighborsClassifier

    is_labelled = labels.notna().to_numpy()
    types = labels[is_labelled].astype(str).to_numpy()
    place = {name: i for i, name in enumerate(new.var_names)}
    columns = np.array([place.get(name, -1) for name in read.vocabulary.names])[read.genes]
    is_known = columns >= 0
    rows = np.repeat(np.arange(len(read)), read.lengths)[is_known]
    ones = np.ones(len(rows), dtype=np.float32)
    named = sparse.csr_matrix((ones, (rows, columns[is_known])), shape=(len(read), new.n_vars))
    judge = KNeighborsClassifier(N_NEIGHBOURS, metric="cosine").fit(named[is_labelled], types)
    names, codes = np.unique(types, return_inverse=True)
    own = codes[judge.kneighbors(return_distance=False)]  # a cell is no neighbour of its own
    votes = np.stack([(own == i).sum(axis=1) for i in range(len(names))], axis=1)
    is_right = names[votes.argmax(axis=1)] == types
    of_real = np.mean([is_right[types == label].mean() for label in names])
    written = sparse.csr_matrix(new.X, copy=True)
    written.data[:] = 1
    return Shares(float((judge.predict(written) == truth).mean()), float(of_real))
