"""Small files of cells, tables and networks for the tests of corpora."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd

from celloquy.training._recipe_corpus import make_corpus_recipe

N_GENES = 60
TYPES = ("B cell", "NK cell", "T cell")


def cells(n: int = 90, *, seed: int = 0, prefix: str = "c", genes=None) -> ad.AnnData:
    """Make cells of three types and three donors; each type has ten genes of its own."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(1.0, (n, N_GENES)).astype(np.float32)
    kind = np.arange(n) % 3
    for i in range(3):
        counts[np.ix_(kind == i, range(10 * i, 10 * i + 10))] += rng.poisson(
            6.0, (sum(kind == i), 10)
        )
    names = [f"{prefix}{i}" for i in range(n)]
    obs = pd.DataFrame(
        {
            "type": pd.Categorical([TYPES[i] for i in kind]),
            "donor": pd.Categorical([f"d{i % 5}" for i in range(n)]),
            "drug": pd.Categorical(["none" if i % 2 else "IFN-beta" for i in range(n)]),
            "site": pd.Categorical(["lung" if i % 7 else "blood" for i in range(n)]),
        },
        index=names,
    )
    genes = [f"GENE{i}" for i in range(N_GENES)] if genes is None else genes
    return ad.AnnData(counts, obs, pd.DataFrame(index=genes))


def source(path, **more):
    """Say what a recipe says of such a file."""
    columns = {"cell_type": "type", "donor": "donor"}
    return {"path": str(path), "columns": columns, "values": {"organism": "human"}, **more}


def recipe(sources, tasks, **more):
    """Make a recipe; tasks are names or tables."""
    listed = [{"name": task} if isinstance(task, str) else task for task in tasks]
    return make_corpus_recipe({"source": sources, "task": listed, "n_top_genes": 30, **more})
