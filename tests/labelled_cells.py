"""Small labelled cells for the tests of whole verbs: types that a few marker genes tell apart."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

N_GENES = 200
TYPES = ("B", "NK", "T")


def labelled_cells(n_each=40, *, seed=0, types=TYPES, n_genes=N_GENES):
    """Draw negative binomial counts; type number k has the genes 10 k to 10 k + 9 as markers."""
    level = np.random.default_rng(99).gamma(0.5, 1.0, n_genes) + 0.05  # of this kind of tissue
    rng = np.random.default_rng(seed)
    means = []
    for name in types:
        mean = level.copy()
        k = [*TYPES, "strange"].index(name)
        if name == "strange":  # a cell type that no reference of these tests holds
            mean = np.roll(level[::-1], 50)
            mean[150:190] += 80
        else:
            mean[10 * k : 10 * k + 10] += 8
        means.append(np.tile(mean, (n_each, 1)))
    mean = np.vstack(means)
    counts = rng.negative_binomial(2, 2 / (2 + mean)).astype(np.float32)
    adata = ad.AnnData(sp.csr_matrix(counts))
    adata.var_names = [f"GENE{i}" for i in range(n_genes)]
    adata.obs_names = [f"cell{seed}-{i}" for i in range(adata.n_obs)]
    adata.obs["cell_type"] = pd.Categorical(np.repeat(types, n_each))
    return adata


def log1p_of(adata):
    """Give the same cells as natural log1p of counts scaled to 10,000 a cell."""
    made = adata.copy()
    counts = adata.X.toarray().astype(np.float64)
    scaled = counts / counts.sum(axis=1, keepdims=True) * 1e4
    made.X = sp.csr_matrix(np.log1p(scaled).astype(np.float32))
    return made


def labels_of(annotation):
    """Give the labels of an annotation as plain text."""
    return annotation.labels.astype(str).tolist()
