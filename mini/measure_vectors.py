"""Judge a model's vectors of cells by a study that it never saw, beside MiniLM's.

    python mini/measure_vectors.py --build build/ --data FOLDER --held "Zheng 2017"

Seven labelled sets of blood of three studies, at most 400 cells a set, six coarse types, each set
from its own genes. Labels of the held-out study's cells come from the nearest cells of the others.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

import celloquy as cq
from celloquy.evaluation import load_suite, measure_annotation
from celloquy.evaluation._suite_cells import labels_of_set
from celloquy.roles import EncodeOptions, ReadOptions, TextSource

N_CELLS = 400
NEIGHBOURS = (1, 15)


def main() -> None:
    """Print macro-F1 of each model and number of neighbours, and its mean over the held sets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, required=True, help="what `prepare.py` made")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--held", required=True)
    asked = parser.parse_args()
    sets = read_sets(asked.data / "cells")
    for name in (f"hf:{asked.build / 'run' / 'model'}", "st:minilm"):
        vectors = [encoded(cells, cq.load_lm(name)) for cells, _ in sets]
        known = [i for i, (_, study) in enumerate(sets) if study != asked.held]
        held = [i for i, (_, study) in enumerate(sets) if study == asked.held]
        labels = [cells.obs["type"].astype(str).to_numpy() for cells, _ in sets]
        for n in NEIGHBOURS:
            nearest = KNeighborsClassifier(n, metric="cosine")
            nearest.fit(np.vstack([vectors[i] for i in known]),
                        np.concatenate([labels[i] for i in known]))  # fmt: skip
            each = [
                measure_annotation(labels[i], nearest.predict(vectors[i])).macro_f1 for i in held
            ]
            told = ", ".join(f"{one:.3f}" for one in each)
            shown = "celloquy-mini" if name.startswith("hf:") else "MiniLM"
            print(f"{asked.held}: {shown}, {n}-NN: {np.mean(each):.3f} ({told})", flush=True)


def read_sets(folder: Path) -> list[tuple[Any, str]]:
    """Read the sets of the suite pbmc-transfer, each with its study."""
    found, suite = [], load_suite("pbmc-transfer")
    for each in suite.sets:
        cells = cq.read(folder / each.file)
        cells.obs["type"], keep = labels_of_set(each, cells.obs, suite=suite)
        rows = np.random.default_rng(0).permutation(np.flatnonzero(keep))[:N_CELLS]
        found.append((cells[np.sort(rows)].copy(), each.study))
    return found


def encoded(cells: Any, lm: Any) -> Any:
    """Give the cells' vectors."""
    options = EncodeOptions(text=TextSource(lm=lm), read=ReadOptions(collisions="sum"))
    return cq.encode(cells, overwrite=True, options=options).vectors


if __name__ == "__main__":
    main()
