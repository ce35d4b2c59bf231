"""What real cells, and what needs no model, get from the judges of embeddings, cells and effects.

The tables of the guides evaluate-embeddings, evaluate-generated and evaluate-perturbation: an
embedding of five technologies of pancreas, real blood cells in the place of generated ones, and
perturbed cells with their names shuffled in the place of a prediction. Each set is read from a
folder of public cells (`CELLOQUY_DATA`; benchmarks/data names the origin of each).

    CELLOQUY_DATA=folder python benchmarks/judging.py [embedding | generated | perturbation]

About two minutes on two cores. Needs the extras `evaluate` and `demo` (scanpy).
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import anndata as ad
import numpy as np

from celloquy.evaluation import evaluate_embedding, evaluate_generated, evaluate_perturbation


def read(file: str) -> ad.AnnData:
    return ad.read_h5ad(Path(os.environ["CELLOQUY_DATA"]) / "cells" / f"{file}.h5ad")


def embedding() -> object:
    """Judge a PCA of z-scored genes, the usual first step of a tutorial."""
    import scanpy as sc

    adata = read("pancreas_panc8_5tech_500_2000hvg")
    scaled = adata.copy()
    scaled.X = scaled.X.toarray()
    sc.pp.normalize_total(scaled, target_sum=1e4)
    sc.pp.log1p(scaled)
    sc.pp.scale(scaled)
    sc.pp.pca(scaled, n_comps=20, random_state=0)
    adata.obsm["X_pca"] = scaled.obsm["X_pca"]
    return evaluate_embedding(adata, rep="X_pca", batch_key="batch")


def generated() -> object:
    """Judge 400 real cells that nothing was fitted on."""
    adata = read("pbmc3k_10x_v1")
    adata = adata[adata.obs["cell_type"] != "unassigned"]
    order = np.random.default_rng(0).permutation(adata.n_obs)
    new, real, train = (adata[rows].copy() for rows in np.split(order, [400, 1_600]))
    return evaluate_generated(new, real=real, train=train)


def perturbation() -> object:
    """Judge cells whose perturbation is another's: what knows nothing."""
    adata = read("perturb_perturbench_devel_norman19_mcfaline23_500genes")
    real = adata[adata.obs["dataset"] == "norman19"].copy()
    shuffled = real[np.random.default_rng(0).permutation(real.n_obs)].copy()
    shuffled.obs["perturbation"] = real.obs["perturbation"].astype(str).to_numpy()
    return evaluate_perturbation(shuffled, real=real)


JUDGED = {"embedding": embedding, "generated": generated, "perturbation": perturbation}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", choices=[*JUDGED, []], help="one or more of them")
    for name in parser.parse_args().what or JUDGED:
        print(f"## {name}\n\n{JUDGED[name]()}\n", flush=True)


if __name__ == "__main__":
    main()
