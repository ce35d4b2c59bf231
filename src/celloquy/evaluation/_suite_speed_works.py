"""What is timed: work on the same cells by this package, and by a few plain lines."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp

from celloquy._runtime import require
from celloquy._runtime._devices import pick_device
from celloquy.checks import check
from celloquy.io import open_stream
from celloquy.learn import CellBlock, fit_reference
from celloquy.text import sentences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from celloquy.evaluation._suite_cells import SetCells
    from celloquy.lm import LanguageModel

OURS = "celloquy"
CHUNK = 1_000
N_NAMED = 200
TOTAL = 1e4
MAX_ITERATIONS = 1_000


class SpeedCells:
    """Cells of a set in every form that work starts from.

    Parameters
    ----------
    cells
        The cells, with labels.
    folder
        Folder that files are written to.
    n_read
        Genes of a cell that a sentence encoder reads.
    """

    def __init__(self, cells: SetCells, folder: Path, *, n_read: int) -> None:
        self.block = cells.block
        self.labels = cells.labels
        self.folder = folder
        self.n_read = n_read

    @property
    def n_obs(self) -> int:
        """Number of cells."""
        return self.block.n_obs

    @cached_property
    def adata(self) -> ad.AnnData:
        """The cells in memory: float32 CSR."""
        names = [f"cell {i}" for i in range(self.n_obs)]
        made = ad.AnnData(
            sp.csr_matrix(self.block.expression, dtype=np.float32),
            obs=pd.DataFrame({"cell_type": self.labels}, index=pd.Index(names)),
            var=pd.DataFrame(index=pd.Index(self.block.vocabulary.names)),
        )
        made.obs["cell_type"] = made.obs["cell_type"].astype("category")
        return made

    @cached_property
    def path(self) -> Path:
        """The cells in a file, not compressed."""
        path = self.folder / "cells.h5ad"
        self.adata.write_h5ad(path)
        return path

    @cached_property
    def texts(self) -> list[str]:
        """The sentences that an encoder reads."""
        return sentences(self.adata, n_top_genes=self.n_read, style="cellama").text.tolist()

    def halves(self) -> tuple[CellBlock, CellBlock]:
        """Give every other cell to learn from, and the others; nothing is known of their logs."""
        rows = np.arange(self.n_obs)
        return self.block.rows(rows[::2]), self.block.rows(rows[1::2])


@dataclass(frozen=True)
class Work:
    """One thing to do, and the ways to do it; the first one that is not ours is the plain one."""

    title: str
    """What is done, in words."""
    n_cells: str
    """Setting that says on how many cells; empty for what the suite says."""
    ways: dict[str, Callable[[SpeedCells], object]]
    """Ways by name of the method."""


def works() -> list[Work]:
    """List what needs no language model."""
    return [
        Work("sentences of all genes", "", {
            OURS: lambda cells: sentences(cells.adata, n_top_genes=None).to_text(),
            "numpy": lambda cells: named(cells.adata, None),
        }),
        Work(f"sentences of {N_NAMED} genes", "", {
            OURS: lambda cells: sentences(cells.adata, n_top_genes=N_NAMED).to_text(),
            "numpy": lambda cells: named(cells.adata, N_NAMED),
        }),
        Work(f"{N_NAMED} gene ids a cell, to an Arrow file", "", {
            OURS: ids_ranked, "numpy": ids_by_row,
        }),
        Work("reading a file", "", {OURS: read_by_chunk, "anndata": read_whole}),
        Work("checking a file", "", {
            OURS: lambda cells: check(cells.path), "anndata": look_at_values,
        }),
        Work("labels: half of the cells learnt, half labelled", "n_annotated", {
            OURS: annotated, "scikit-learn": by_plain_logistic,
        }),
    ]  # fmt: skip


def embedding(name: str, lm: LanguageModel, *, device: str) -> Work:
    """Make the work of giving vectors; MiniLM has a plain way beside.

    Parameters
    ----------
    name
        What the language model is asked for by.
    lm
        The language model.
    device
        Where the plain way runs.
    """
    ways: dict[str, Callable[[SpeedCells], object]] = {OURS: lambda cells: lm.embed(cells.texts)}
    if name == "st:minilm":
        plain = plain_encoder(lm, device=device)
        ways["sentence-transformers"] = lambda cells: plain.encode(cells.texts)
    return Work(f"sentences to vectors by {lm.name}", "n_embedded", ways)


def plain_encoder(lm: Any, *, device: str) -> Any:  # noqa: ANN401 (untyped package)
    """Load the weights of a sentence encoder as sentence-transformers does, in fp32."""
    module = require("sentence_transformers", extra="train", why="to time the plain way beside")
    folder = str(lm.modules.backbone)
    return module.SentenceTransformer(folder, device=pick_device(device), local_files_only=True)


def named(adata: ad.AnnData, n_top_genes: int | None) -> list[str]:
    """Write the genes of each row, most expressed first."""
    names = adata.var_names.to_numpy()
    return [" ".join(names[genes]) for genes in _sorted_rows(adata.X, n_top_genes)]


def _sorted_rows(values: sp.csr_matrix, n_top_genes: int | None) -> Iterable[NDArray[np.int32]]:
    for start, stop in pairwise(values.indptr):
        order = np.argsort(-values.data[start:stop], kind="stable")[:n_top_genes]
        yield values.indices[start:stop][order]


def ids_ranked(cells: SpeedCells) -> None:
    """Rank all cells and write gene numbers."""
    ranked = sentences(cells.adata, n_top_genes=N_NAMED).ranked
    offsets = pa.array(ranked.offsets.astype(np.int32))
    _write(pa.ListArray.from_arrays(offsets, pa.array(ranked.genes)), cells.folder)


def ids_by_row(cells: SpeedCells) -> None:
    """Sort each row and write gene numbers."""
    rows = list(_sorted_rows(cells.adata.X, N_NAMED))
    _write(pa.array(rows, type=pa.list_(pa.int32())), cells.folder)


def _write(column: pa.Array, folder: Path) -> None:
    table = pa.table({"genes": column})
    with (
        pa.OSFile(str(folder / "ids.arrow"), "wb") as file,
        pa.ipc.new_file(file, table.schema) as out,
    ):
        out.write_table(table)


def read_by_chunk(cells: SpeedCells) -> int:
    """Read 1,000 cells at a time."""
    with open_stream(cells.path) as stream:
        return sum(chunk.n_obs for chunk in stream.chunks(CHUNK))


def read_whole(cells: SpeedCells) -> int:
    """Read all cells into memory."""
    return int(ad.read_h5ad(cells.path).n_obs)


def look_at_values(cells: SpeedCells) -> dict[str, bool]:
    """Read all cells and look for what most often is wrong."""
    adata = ad.read_h5ad(cells.path)
    values = adata.X.data
    return {
        "missing or infinite": not np.isfinite(values).all(),
        "negative": bool((values < 0).any()),
        "not counts": bool((values % 1 != 0).any()),
        "empty cells": bool((np.diff(adata.X.indptr) == 0).any()),
        "names repeat": not (adata.var_names.is_unique and adata.obs_names.is_unique),
    }


def annotated(cells: SpeedCells) -> NDArray[np.float64]:
    """Fit the default of `annotate` and give probabilities."""
    known, asked = cells.halves()
    fitted = fit_reference(known, cells.labels[::2].tolist())
    return np.asarray(fitted.annotate(asked).probabilities)


def by_plain_logistic(cells: SpeedCells) -> NDArray[np.float64]:
    """Fit scikit-learn's logistic regression, as it comes, on log counts of all genes."""
    from sklearn.linear_model import LogisticRegression

    known, asked = (_logs(block.expression) for block in cells.halves())
    fitted = LogisticRegression(max_iter=MAX_ITERATIONS).fit(known, cells.labels[::2].astype(str))
    return np.asarray(fitted.predict_proba(asked))


def _logs(counts: sp.csr_matrix) -> sp.csr_matrix:
    totals = np.maximum(np.asarray(counts.sum(axis=1), dtype=np.float64).ravel(), 1.0)
    scaled = sp.diags_array(TOTAL / totals) @ counts
    return sp.csr_matrix(scaled.log1p())
