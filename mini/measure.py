"""Measure a model on the study that it never saw, beside methods that learn from the same cells.

    python mini/measure.py --build build/ --data FOLDER --held "Zheng 2017" --out result.json

Every labelled file of the held-out study is one test. Fine labels are rolled up to the six coarse
types of blood cells. Methods without a language model, and MiniLM, learn from the labelled blood
cells that the model was trained on, at most `--n-train` of them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression

import celloquy as cq
from celloquy.evaluation import coarse_blood_types, measure_annotation
from celloquy.knowledge import read_known_genes
from celloquy.learn import CellBlock, Recipe, fit_reference
from celloquy.roles import PredictOptions
from celloquy.text import Vocabulary
from prepare import DEPTH, Block, prepare_cells, read_sources

TYPES = (
    "B cell", "CD4 T cell", "CD8 T cell", "natural killer cell", "CD14 monocyte", "CD16 monocyte",
    "dendritic cell",
)  # fmt: skip
_COARSE = coarse_blood_types(TYPES)
COARSE = {
    label: coarse if _COARSE.count(coarse) > 1 else label
    for label, coarse in zip(TYPES, _COARSE, strict=True)
}
"""The coarse type of each label; one that no other label shares keeps the model's own name."""
N_QUERY = 1_200
PANELS = (1_000, 1_000, 1_000)


def main() -> None:
    """Measure one model on one study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--held", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n-train", type=int, default=8_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only-mini", action="store_true")
    asked = parser.parse_args()
    genes = read_known_genes(asked.build / "genes.tsv")
    lm = cq.load_lm(str(asked.build / "run" / "model"))
    scratch = asked.build / "held"
    scratch.mkdir(exist_ok=True)
    blood = [one for one in read_sources() if one.get("tissue") == "blood" and one.get("labels")]
    rng = np.random.default_rng(asked.seed)
    train = joined(
        [known(one, asked.data, scratch, genes) for one in blood if one["study"] != asked.held]
    )
    if len(train.labels) > asked.n_train:
        train = some(train, np.sort(rng.permutation(len(train.labels))[: asked.n_train]))
    print(f"{len(train.labels):,} labelled blood cells to learn from")
    wide = (
        None if asked.only_mini else balanced().fit(train.values.log1p(), train.labels.astype(str))
    )
    results: dict[str, Any] = {"held_out": asked.held, "n_train": len(train.labels), "tests": {}}
    for source in [one for one in blood if one["study"] == asked.held]:
        test = known(source, asked.data, scratch, genes)
        test = some(test, np.sort(rng.permutation(len(test.labels))[:N_QUERY]))
        found: dict[str, Any] = {"n_obs": len(test.labels)}
        panels = [("all genes", test.measured)]
        panels += [
            (f"{n:,} genes, draw {i + 1}", drawn(test.measured, n, rng))
            for i, n in enumerate(PANELS)
        ]
        for name, panel in panels:
            told = predictions(lm, test, panel, genes)
            if not asked.only_mini:
                told |= baselines(train, test, panel, genes=genes, wide=wide)
            if name == "all genes" and not asked.only_mini:
                told |= by_minilm(train, test, genes)
            found[name] = {m: scores(test.labels, labels) for m, labels in told.items()}
            for method, values in found[name].items():
                print(f"{source['file']}, {name}: {method}: macro-F1 {values['macro_f1']:.3f}, "
                      f"accuracy {values['accuracy']:.3f}", flush=True)  # fmt: skip
        results["tests"][source["file"]] = found
        asked.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def known(source: dict[str, Any], data: Path, scratch: Path, genes: Any) -> Block:
    """Read the cells of a source that have a coarse type."""
    block = prepare_cells(source, data / "cells", scratch, genes)
    block.labels = np.array([COARSE.get(label, "") for label in block.labels], dtype=object)
    return some(block, np.flatnonzero(block.labels.astype(str) != ""))


def some(block: Block, rows: Any) -> Block:
    """Keep some cells."""
    return Block(block.study, block.values[rows], list(block.labels[rows]), block.measured)


def joined(blocks: list[Block]) -> Block:
    """Put cells end to end; measured is what all measured."""
    return Block(
        "", sparse.csr_matrix(sparse.vstack([b.values for b in blocks])),
        [label for b in blocks for label in b.labels],
        np.all([b.measured for b in blocks], axis=0),
    )  # fmt: skip


def drawn(measured: Any, n: int, rng: Any) -> Any:
    """Draw a panel among the measured genes."""
    panel = np.zeros_like(measured)
    panel[rng.permutation(np.flatnonzero(measured))[:n]] = True
    return panel


def scaled(values: Any) -> Any:
    """Scale cells to one depth over the genes that are left."""
    total = np.maximum(np.asarray(values.sum(axis=1)).ravel(), 1e-9)
    return sparse.csr_matrix(sparse.diags(DEPTH / total) @ values)


def scores(truth: Any, labels: Any) -> dict[str, float]:
    """Give macro-F1 over the true types, accuracy and balanced accuracy."""
    found = measure_annotation(truth, labels)
    return {
        "macro_f1": found.macro_f1,
        "accuracy": found.accuracy,
        "balanced": found.balanced_accuracy,
    }


def predictions(lm: Any, test: Block, panel: Any, genes: Any) -> dict[str, Any]:
    """Ask the model."""
    import anndata as ad

    names = np.array(genes.symbols)[panel]
    adata = ad.AnnData(scaled(test.values[:, np.flatnonzero(panel)]))
    adata.var_names = names
    options = PredictOptions(min_score=0.0)
    found = cq.predict(adata, "cell_type", lm=lm, labels=list(TYPES), options=options)
    answers = found.table[found.key].astype(str)
    return {"celloquy-mini": np.array([COARSE.get(one, one) for one in answers], dtype=object)}


def balanced() -> LogisticRegression:
    """Make the logistic regression that stands beside."""
    return LogisticRegression(C=0.1, max_iter=300, class_weight="balanced")


def baselines(train: Block, test: Block, panel: Any, *, genes: Any, wide: Any) -> dict[str, Any]:
    """Learn from the same cells, and label the test's; `wide` has learnt on all genes."""
    told: dict[str, Any] = {}
    both = np.flatnonzero(panel & train.measured)
    every = np.flatnonzero(panel)
    labels = train.labels.astype(str)
    told["majority"] = np.full(len(test.labels), max(set(labels), key=list(labels).count))
    query = scaled(test.values[:, every]).log1p()
    filled = (query.data, every[query.indices], query.indptr)
    told["logistic regression, zero-filled"] = wide.predict(
        sparse.csr_matrix(filled, shape=test.values.shape)
    )
    head = balanced().fit(scaled(train.values[:, both]).log1p(), labels)
    told["logistic regression, shared genes"] = head.predict(scaled(test.values[:, both]).log1p())
    sides = [block_of(one, both, genes) for one in (train, test)]
    found = fit_reference(sides[0], labels.tolist()).annotate(sides[1])
    told["default of annotate, shared genes"] = likeliest(found, labels)
    bag = Recipe(representation="bag").new_model()
    names, codes = np.unique(labels, return_inverse=True)
    bag.fit(sides[0], codes, n_labels=len(names))
    told["bag of ranked genes, shared genes"] = names[bag.probabilities(sides[1]).argmax(axis=1)]
    return told


def likeliest(found: Any, labels: Any) -> Any:
    """Give the likeliest label of every cell, where the default may say that it does not know."""
    return np.unique(labels)[found.probabilities.argmax(axis=1)]


def block_of(cells: Block, columns: Any, genes: Any) -> CellBlock:
    """Give cells over some genes, as `celloquy.learn` takes them."""
    vocabulary = Vocabulary(tuple(np.array(genes.symbols)[columns]))
    return CellBlock(sparse.csr_matrix(cells.values[:, columns]), "cpm", vocabulary)


def by_minilm(train: Block, test: Block, genes: Any) -> dict[str, Any]:
    """Label by MiniLM's vectors: the nearest neighbour (CELLama's flow), and a linear head."""
    from sklearn.neighbors import KNeighborsClassifier

    lm, labels = cq.load_lm("st:minilm"), train.labels.astype(str)
    both = np.flatnonzero(test.measured & train.measured)
    vectors = []
    for side in (block_of(one, both, genes) for one in (train, test)):
        ranked, names = side.top(30), np.array(side.vocabulary.names)
        ends = zip(ranked.offsets[:-1], ranked.offsets[1:], strict=True)
        vectors.append(lm.embed([" ".join(names[ranked.genes[a:b]]) for a, b in ends]))
    nearest = KNeighborsClassifier(1, metric="cosine").fit(vectors[0], labels)
    linear = LogisticRegression(max_iter=500, class_weight="balanced").fit(vectors[0], labels)
    return {
        "MiniLM, 1-NN": nearest.predict(vectors[1]),
        "MiniLM, logistic regression": linear.predict(vectors[1]),
    }


if __name__ == "__main__":
    main()
