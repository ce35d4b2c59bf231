"""How a cell should be written for the sentence encoder, and what bf16 costs.

How to run, from the root of the repository (about fifteen minutes on two cores):

    CELLOQUY_DATA=FOLDER python benchmarks/encoding.py --cells 300

Three independent PBMC studies (10x PBMC 3k; Zheng 2017, bead-sorted; Kang 2018 control) are
embedded pair by pair over the genes that both measure; labels of one are learnt and given to
the other. Six coarse types, nearest neighbour (CELLama's way) and logistic regression.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from celloquy._runtime import rng_for
from celloquy.evaluation import coarse_blood_types, measure_annotation
from celloquy.learn import CellBlock, Recipe, fit_reference
from celloquy.roles import TextSource, read_block

FILES = {
    "10x PBMC 3k": ("pbmc3k_10x_v1", None),
    "Zheng 2017": ("pbmc_zheng_facs_fastTopics", None),
    "Kang 2018": ("kang_ifnb_scgen_valid_counts_recovered", "control"),
}
WAYS = {
    "names, 30": TextSource(n_top_genes=30, style="celloquy"),
    "names, 50": TextSource(n_top_genes=50, style="celloquy"),
    "CELLama's form, 30": TextSource(n_top_genes=30, style="cellama"),
    "CELLama's form, 30, bf16": TextSource(n_top_genes=30, style="cellama", precision="bf16"),
}
HEADS = {
    "1-NN": Recipe("text", "knn", n_neighbours=1),
    "logistic": Recipe("text", "logistic"),
}


def load(name: str, n_cells: int, seed: int) -> tuple[CellBlock, list[str]]:
    """Read at most `n_cells` cells of known type."""
    file, condition = FILES[name]
    block, obs = read_block(Path(os.environ["CELLOQUY_DATA"]) / "cells" / f"{file}.h5ad")
    labels = coarse_blood_types(obs["cell_type"])
    known = [
        i
        for i, label in enumerate(labels)
        if label and (condition is None or obs["condition"].iloc[i] == condition)
    ]
    rows = np.sort(rng_for(seed, name).choice(known, min(n_cells, len(known)), replace=False))
    return block.rows(rows), [str(labels[i]) for i in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    options = parser.parse_args()
    ways = {name: WAYS[name] for name in options.ways}
    sets = {name: load(name, options.cells, options.seed) for name in FILES}
    scores: dict[tuple[str, str, str], float] = {}
    speed: dict[str, float] = {}
    for way, source in ways.items():
        reader, embedded, began = source.reader(), 0, time.process_time()
        for first, second in itertools.combinations(FILES, 2):
            (one, labels), (two, truths) = sets[first], sets[second]
            genes = [g for g in one.vocabulary.names if g in two.vocabulary.positions]
            sides = [
                reader.read(side.genes(side.vocabulary.find(genes).astype(np.int64)))
                for side in (one, two)
            ]
            embedded += one.n_obs + two.n_obs
            pairs = ((first, second, sides, labels, truths),
                     (second, first, sides[::-1], truths, labels))  # fmt: skip
            for reference, query, (known, asked), told, truth in pairs:
                both = set(told) & set(truth)
                rows = np.flatnonzero([label in both for label in truth])
                for head, recipe in HEADS.items():
                    fitted = fit_reference(replace(known), told, recipe=recipe)
                    found = fitted.annotate(asked.rows(rows))
                    names = np.array(found.labels, dtype=object)[found.codes]
                    metrics = measure_annotation([truth[i] for i in rows], names)
                    scores[way, head, f"{reference} → {query}"] = metrics.macro_f1
        speed[way] = embedded / (time.process_time() - began)
    table = sorted({pair for _, _, pair in scores})
    print("| reference → query | " + " | ".join(f"{w}, {h}" for w in ways for h in HEADS) + " |")
    print("|---" * (1 + len(ways) * len(HEADS)) + "|")
    for pair in table:
        row = [f"{scores[w, h, pair]:.3f}" for w in ways for h in HEADS]
        print(f"| {pair} | " + " | ".join(row) + " |")
    means = [np.mean([scores[w, h, p] for p in table]) for w in ways for h in HEADS]
    print("| mean | " + " | ".join(f"{m:.3f}" for m in means) + " |")
    for way, rate in speed.items():
        print(f"{way}: {rate:.1f} cells a CPU second")


if __name__ == "__main__":
    main()
