"""Labels carried from one PBMC study to another: representations x heads, every ordered pair.

How to run, from the root of the repository, on CPU (about ten minutes on two cores):

    CELLOQUY_DATA=FOLDER python benchmarks/transfer.py --seeds 10 --out all.md
    CELLOQUY_DATA=FOLDER python benchmarks/transfer.py --seeds 11 12 13 --fast --out fast.md
    python benchmarks/transfer.py --join all.csv fast.csv --out table.md

The folder holds the sets as h5ad files with raw counts in `X` and labels in
`obs["cell_type"]`; their public origins are named in SETS. A pair is scored on the types
that both sets have; every method sees the same cells and the genes that both sets share.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from celloquy.evaluation import coarse_blood_types, measure_annotation
from celloquy.learn import (
    CellBlock,
    LogisticRegression,
    LogValues,
    NearestNeighbours,
    Recipe,
    TextVectors,
    fit_reference,
)
from celloquy.learn._model import Model
from celloquy.roles import TextSource
from celloquy.text import Vocabulary


@dataclass(frozen=True)
class CellSet:
    """One labelled set: its name in the table, its study, its file and the part of it."""

    name: str
    study: str
    file: str
    condition: str | None = None


SETS = {
    "3k": CellSet("10x PBMC 3k", "10x", "pbmc3k_10x_v1"),
    "sorted A": CellSet("Zheng 2017 (bead-sorted)", "Zheng", "pbmc_zheng_facs_fastTopics"),
    "sorted B": CellSet("Zheng 2017 (bead-sorted, T-rich)", "Zheng", "pbmc_zheng_sorted_casi"),
    "68k": CellSet("Zheng 2017 (68k, 765 genes)", "Zheng", "pbmc68k_reduced_counts_700"),
    "Kang 8": CellSet(
        "Kang 2018 control (8 donors, 1,287 genes)", "Kang", "kang_pbmc_ctrl_8donors_1287genes"
    ),
    "Kang c": CellSet(
        "Kang 2018 control", "Kang", "kang_ifnb_scgen_valid_counts_recovered", "control"
    ),
    "Kang s": CellSet(
        "Kang 2018 stimulated", "Kang", "kang_ifnb_scgen_valid_counts_recovered", "stimulated"
    ),
}
SHARED_CELLS = {frozenset({"Kang 8", "Kang c"})}
"""Pairs that hold the same cells: left out."""


class Majority:
    """The most frequent label of the reference, for every cell."""

    def fit(self, cells, codes, *, n_labels):
        """Count labels."""
        self.shares = np.bincount(codes, minlength=n_labels) / len(codes)
        return self

    def probabilities(self, block):
        """Give the reference's shares of labels to every cell."""
        return np.tile(self.shares, (block.n_obs, 1))


def plain_logistic():
    return Model([(LogValues(), LogisticRegression(inverse_penalty=0.1, balanced=False))])


def recipe(representation, head="logistic", **settings):
    return lambda: Recipe(representation=representation, head=head, **settings).new_model()


METHODS = {
    "majority class": (Majority, False),
    "log values, logistic regression, unbalanced (baseline)": (plain_logistic, False),
    "log values, logistic regression": (recipe("log", n_markers=None), False),
    "log values of 200 markers a label, logistic regression": (recipe("log"), False),
    "ranked bag, logistic regression": (recipe("bag"), False),
    "TF-IDF, logistic regression": (recipe("tfidf"), False),
    "**log values of markers + ranked bag, logistic regression (default)**": (
        lambda: Recipe().new_model(), False),
    "PCA 50, 15-NN (baseline)": (recipe("pca", "knn"), False),
    "PCA 50, logistic regression": (recipe("pca"), False),
    "PCA 50, boosted trees": (recipe("pca", "trees"), True),
    "PCA 50, neural net": (recipe("pca", "mlp"), True),
    "ranked bag, SVD 50, 15-NN": (recipe("bag-svd", "knn"), False),
    "TF-IDF, SVD 50, 15-NN (same sentence as a bag)": (recipe("tfidf-svd", "knn"), False),
    "MiniLM, 1-NN (CELLama's way)": (
        lambda: Model([(TextVectors(), NearestNeighbours(n_neighbours=1, metric="cosine"))]),
        True),
    "MiniLM, 15-NN": (recipe("text", "knn"), True),
    "MiniLM, logistic regression": (recipe("text"), True),
    "MiniLM, neural net (CELLama's, corrected)": (recipe("text", "mlp"), True),
    "fusion of MiniLM and PCA, 15-NN": (recipe("fusion", "knn"), True),
    "fusion of MiniLM and PCA, logistic regression": (recipe("fusion"), True),
    "default + MiniLM logistic regression": (recipe("log+bag+text"), True),
}  # fmt: skip
"""Name, what makes the unfitted model, and whether it is slow: then the first seed only."""


def read_set(key, folder):
    """Read one set: counts, gene names, coarse types, cell names."""
    known = SETS[key]
    adata = ad.read_h5ad(folder / "cells" / f"{known.file}.h5ad")
    types = np.array([coarse or "" for coarse in coarse_blood_types(adata.obs["cell_type"])])
    keep = types != ""
    if known.condition:
        keep &= (adata.obs["condition"] == known.condition).to_numpy()
    names = adata.var_names.to_numpy(dtype=str)
    once = np.sort(np.unique(names, return_index=True)[1])
    counts = sp.csr_matrix(adata.X)[keep][:, once].astype(np.float32)
    return CellBlock(counts, "counts", Vocabulary(tuple(names[once]))), types[keep]


class Reader:
    """MiniLM, which reads CELLama's sentences of 30 genes among those that a pair shares."""

    def __init__(self, precision):
        source = TextSource(style="cellama", n_top_genes=30, precision=precision)
        self.reader = source.reader()
        self.known = {}

    def read(self, block, key):
        """Give a block its text vectors; what was read before is remembered."""
        if key not in self.known:
            self.known[key] = self.reader.read(block).text
        return replace(block, text=self.known[key])


def choose(sets, n_cells, seed):
    """Draw at most `n_cells` of each set, at random."""
    chosen = {}
    for number, (key, (block, types)) in enumerate(sets.items()):
        order = np.random.default_rng([seed, number]).permutation(block.n_obs)
        rows = np.sort(order[:n_cells])
        chosen[key] = (block.rows(rows), types[rows])
    return chosen


def shared_genes(one, other):
    """Cut both blocks to the genes that both have."""
    there = other.vocabulary.find(one.vocabulary.names)
    here = np.flatnonzero(there >= 0)
    return one.genes(here), other.genes(there[here])


def score_pair(sets, one, other, *, methods, reader):
    """Score every method on one pair, on the types that both sets have."""
    (block, types), (asked, truth) = sets[one], sets[other]
    block, asked = shared_genes(block, asked)
    if reader is not None:
        pair = frozenset({one, other})
        block, asked = reader.read(block, (pair, one)), reader.read(asked, (pair, other))
    names, codes = np.unique(types, return_inverse=True)
    rows = np.flatnonzero(np.isin(truth, names))
    asked, truth = asked.rows(rows), truth[rows]
    for method, make in methods.items():
        began = time.perf_counter()
        told = make().fit(block, codes, n_labels=len(names)).probabilities(asked)
        seconds = time.perf_counter() - began
        metrics = measure_annotation(truth, names[told.argmax(axis=1)])
        yield {"method": method, "seconds": seconds, "coverage": 1.0, **_of(metrics)}
    told = fit_reference(block, types).annotate(asked)
    yield {"method": WITH_UNKNOWN, **_of(measure_annotation(truth, told.names))}


WITH_UNKNOWN = "the default, with unknown"


def _of(metrics):
    kept = ("macro_f1", "accuracy", "coverage", "accuracy_answered")
    return {name: getattr(metrics, name) for name in kept}


def pair_kind(one, other):
    """Say whether two sets are of independent studies, of one study, or share cells."""
    if frozenset({one, other}) in SHARED_CELLS:
        return "shared cells"
    return "one study" if SETS[one].study == SETS[other].study else "independent"


def measure(sets, *, n_cells, seeds, reader):
    """Score all pairs; after each seed, give one row a seed, pair and method so far."""
    rows = []
    for seed in seeds:
        with_slow = seed == seeds[0] and reader is not None
        methods = {name: make for name, (make, slow) in METHODS.items() if with_slow or not slow}
        chosen = choose(sets, n_cells, seed)
        for one in SETS:
            for other in SETS:
                kind = pair_kind(one, other)
                if one == other or kind == "shared cells":
                    continue
                place = {"seed": seed, "reference": one, "query": other, "kind": kind}
                rows += [
                    {**place, **row}
                    for row in score_pair(
                        chosen,
                        one,
                        other,
                        methods=methods,
                        reader=reader if with_slow else None,
                    )
                ]
        print(f"seed {seed} done", flush=True)
        yield pd.DataFrame(rows)


def summary(table, kind):
    """Mean over pairs, and the standard deviation of that mean over seeds, as Markdown."""
    part = table[table["kind"] == kind]
    by_seed = part.groupby(["method", "seed"])[["macro_f1", "accuracy"]].mean()
    mean, sd = by_seed.groupby("method").mean(), by_seed.groupby("method").std()
    lines = [
        "| representation, head | macro-F1 | accuracy | fit + predict, s |",
        "|---|---|---|---|",
    ]
    seconds = part.groupby("method")["seconds"].mean()
    for method in [*METHODS, WITH_UNKNOWN]:
        if method not in mean.index:
            continue
        cells = [
            f"{mean.loc[method, m]:.3f}"
            + ("" if np.isnan(sd.loc[method, m]) else f" ± {sd.loc[method, m]:.3f}")
            for m in ("macro_f1", "accuracy")
        ]
        took = "" if method == WITH_UNKNOWN else f"{seconds[method]:.2f}"
        lines.append(f"| {method} | {cells[0]} | {cells[1]} | {took} |")
    return "\n".join(lines)


def pair_table(table, kind):
    """Macro-F1 of every pair for the methods that matter, as Markdown."""
    shown = {
        "default": next(name for name in METHODS if "(default)" in name),
        "log values LR": next(name for name in METHODS if "unbalanced" in name),
        "PCA 15-NN": next(name for name in METHODS if name.startswith("PCA 50, 15-NN")),
        "bag 15-NN": next(name for name in METHODS if "same sentence" in name),
        "MiniLM 1-NN": next(name for name in METHODS if "1-NN (CELLama" in name),
        "majority": "majority class",
    }
    part = table[table["kind"] == kind]
    wide = part.pivot_table(index=["reference", "query"], columns="method", values="macro_f1")
    shown = {short: name for short, name in shown.items() if name in wide.columns}
    known = part[part["method"] == WITH_UNKNOWN].groupby(["reference", "query"])
    known = known[["coverage", "accuracy_answered"]].mean()
    lines = [f"| reference | query | {' | '.join(shown)} | coverage | accuracy of answered |"]
    lines.append("|" + "---|" * (len(shown) + 4))
    for pair in wide.index:
        values = [wide.loc[pair].get(name, np.nan) for name in shown.values()]
        best = np.nanmax(values)
        cells = [f"**{v:.3f}**" if v == best else f"{v:.3f}" for v in values]
        rest = f"{known.loc[pair, 'coverage']:.3f} | {known.loc[pair, 'accuracy_answered']:.3f}"
        lines.append(
            f"| {SETS[pair[0]].name} | {SETS[pair[1]].name} | {' | '.join(cells)} | {rest} |"
        )
    return "\n".join(lines)


def every_pair(table):
    """Macro-F1 of every method on every pair, means over seeds, as Markdown."""
    known = [name for name in METHODS if (table["method"] == name).any()]
    wide = table.pivot_table(index=["kind", "reference", "query"], columns="method",
                             values="macro_f1")  # fmt: skip
    lines = [f"{number}. {name}" for number, name in enumerate(known, start=1)]
    heads = " | ".join(str(number) for number in range(1, len(known) + 1))
    lines += ["", f"| pairs | reference | query | {heads} |", "|---" * (len(known) + 3) + "|"]
    for (kind, one, other), row in wide.iterrows():
        cells = " | ".join(f"{row[name]:.2f}" for name in known)
        lines.append(f"| {kind} | {SETS[one].name} | {SETS[other].name} | {cells} |")
    return "\n".join(lines)


def write(table, path):
    """Write the tables of both kinds of pairs as Markdown."""
    kinds = (("independent", "## Independent studies"), ("one study", "## Inside one study"))
    parts = [
        f"{title}\n\n{summary(table, kind)}\n\n{pair_table(table, kind)}" for kind, title in kinds
    ]
    parts.append(f"## Every method on every pair\n\n{every_pair(table)}")
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cells", type=int, default=400)
    parser.add_argument("--precision", default="fp32", help="of MiniLM: fp32 or bf16")
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12])
    parser.add_argument("--fast", action="store_true", help="leave out what is slow, and MiniLM")
    parser.add_argument("--join", type=Path, nargs="+", help="only join earlier tables")
    options = parser.parse_args()
    if options.join:
        write(pd.concat([pd.read_csv(path) for path in options.join]), options.out)
        return
    folder = Path(os.environ["CELLOQUY_DATA"])
    sets = {key: read_set(key, folder) for key in SETS}
    reader = None if options.fast else Reader(options.precision)
    for table in measure(sets, n_cells=options.cells, seeds=options.seeds, reader=reader):
        table.to_csv(options.out.with_suffix(".csv"), index=False)
        write(table, options.out)


if __name__ == "__main__":
    main()
