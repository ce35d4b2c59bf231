"""Judge the cells that a model writes by the study that it never saw, beside real cells.

    python mini/measure_cells.py --build build/ --data FOLDER --held "Zheng 2017" --out cells.json

The first labelled file of the held-out study is the judge: of its blood cells of five coarse
types, each as a sentence of 64 genes, half recognise cells by the 15 nearest; the other half is
the ceiling. Cells are written as the model says (`drawing` in its `reading.json`), and by the
prompt alone at temperature 1; `--lm` takes another model than the package's.
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

import celloquy as cq
from celloquy.knowledge import read_known_genes
from celloquy.roles import GenerateOptions
from measure import COARSE, known, some
from prepare import Block, read_sources

TYPES = ("B cell", "CD14 monocyte", "CD4 T cell", "CD8 T cell", "natural killer cell")
N_GENES, N_JUDGES, N_NEIGHBOURS = 64, 2_400, 15


def main() -> None:
    """Write cells, and judge them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, required=True, help="what `prepare.py` made")
    parser.add_argument("--lm", default="celloquy-mini")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--held", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n", type=int, default=30, help="cells a type and seed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--candidates", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--temperature", type=float, help="instead of what the model says")
    parser.add_argument("--guidance-scale", type=float, help="instead of what the model says")
    asked = parser.parse_args()
    genes = read_known_genes(asked.build / "genes.tsv")
    scratch = asked.build / "held"
    scratch.mkdir(exist_ok=True)
    sources = [one for one in read_sources() if one.get("tissue") == "blood" and one.get("labels")]
    own = next(one for one in sources if one["study"] == asked.held)
    rng = np.random.default_rng(0)
    judge = Judge(at_most(known(own, asked.data, scratch, genes), rng), genes, rng)
    found: dict[str, Any] = {"held-out cells, other half": judge.ceiling()}
    for source in sources:
        if source["study"] != asked.held:
            cells = at_most(known(source, asked.data, scratch, genes), rng)
            found[f"real cells: {source['file']}"] = judge.of_real(cells)
    for name, values in found.items():
        print(name, json.dumps(values), flush=True)
    lm = cq.load_lm(asked.lm)
    told = {"temperature": asked.temperature, "guidance_scale": asked.guidance_scale}
    alone = {"temperature": 1.0, "guidance_scale": 1.0}
    said = {"cell_type": [label for label in TYPES for _ in range(asked.n)]}
    for how, drawn in (("as the model says", told), ("by the prompt alone", alone)):
        for n_candidates in asked.candidates:
            name = f"written {how}, {n_candidates} candidates"
            options = GenerateOptions(n_candidates=n_candidates, **drawn)
            found[name] = []
            for seed in range(asked.seeds):
                new = cq.generate("pseudo_cell", said, lm=lm, seed=seed, options=options)
                bad = new.obs[["n_unknown", "n_repeated"]].to_numpy().sum()
                found[name].append(judge.of_written(new) | {"not_valid": int(bad)})
                print(f"{name}, seed {seed}", json.dumps(found[name][-1]), flush=True)
    asked.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def at_most(block: Block, rng: Any) -> Block:
    """Keep cells of the five types, no more than are needed."""
    coarse = {COARSE[label] for label in TYPES}
    rows = np.flatnonzero([label in coarse for label in block.labels])
    return some(block, np.sort(rng.permutation(rows)[:N_JUDGES]))


class Judge:
    """Real cells of the held-out study, and what they say of others."""

    def __init__(self, cells: Block, genes: Any, rng: Any) -> None:
        from sklearn.neighbors import KNeighborsClassifier

        self.genes, self.cells = genes, cells
        self.labels = cells.labels.astype(str)
        self.types = sorted({*self.labels})
        self.level = np.array([genes.median_of[symbol] for symbol in genes.symbols])
        self.half = rng.random(len(self.labels)) < 0.5
        self.named = self.sentences(cells.values)
        self.nearest = KNeighborsClassifier(N_NEIGHBOURS, metric="cosine")
        self.nearest.fit(self.named[self.half], self.labels[self.half])

    def sentences(self, values: Any) -> Any:
        """Give 1 where a cell's sentence names a gene; shape ``(n_obs, n_genes)``."""
        ends = values.indptr
        kept = []
        for a, b in pairwise(ends):
            columns = values.indices[a:b]
            first = np.argsort(-values.data[a:b] / self.level[columns], kind="stable")[:N_GENES]
            kept.append(columns[first])
        rows = np.repeat(np.arange(len(kept)), [len(one) for one in kept])
        ones = np.ones(len(rows), dtype=np.float32)
        return sparse.csr_matrix((ones, (rows, np.concatenate(kept))), shape=values.shape)

    def recognised(self, named: Any, labels: Any) -> dict[str, float]:
        """Give the share of each type's cells whose neighbours are of it, and the mean."""
        told = self.nearest.predict(named)
        shares = {one: float((told[labels == one] == one).mean()) for one in self.types}
        alike = float(np.mean([self.likeness(named[labels == one]) for one in self.types]))
        return {"recognised": float(np.mean([*shares.values()])), "alike": alike} | shares

    def likeness(self, named: Any) -> float:
        """Give the share of genes that two cells have in common (Jaccard), mean of pairs."""
        few = named[:40]
        both = (few @ few.T).toarray()
        sizes = both.diagonal()
        either = sizes[:, None] + sizes - both
        return float((both / either)[np.triu_indices(len(sizes), 1)].mean())

    def changes(self, ours: Any, theirs: Any, genes: Any) -> float:
        """Correlate the changes between types, the mean over pairs of types."""
        pairs = [(i, j) for i in range(len(self.types)) for j in range(i)]
        each = [
            np.corrcoef((ours[i] - ours[j])[genes], (theirs[i] - theirs[j])[genes])[0, 1]
            for i, j in pairs
        ]
        return float(np.mean(each))

    def means(self, values: Any, labels: Any) -> Any:
        """Give the mean of each type's logarithms; shape ``(n_types, n_genes)``."""
        return np.stack([np.asarray(values[labels == t].mean(axis=0)).ravel() for t in self.types])

    def ceiling(self) -> dict[str, float]:
        """Judge the half of its own cells that recognises nothing."""
        other, logs = ~self.half, self.cells.values.log1p()
        ours = self.means(logs[other], self.labels[other])
        theirs = self.means(logs[self.half], self.labels[self.half])
        found = self.recognised(self.named[other], self.labels[other])
        return found | {"changes": self.changes(ours, theirs, self.cells.measured)}

    def of_real(self, cells: Block) -> dict[str, float]:
        """Judge real cells of another study."""
        labels = cells.labels.astype(str)
        both = cells.measured & self.cells.measured
        ours = self.means(cells.values.log1p(), labels)
        theirs = self.means(self.cells.values.log1p(), self.labels)
        found = self.recognised(self.sentences(cells.values), labels)
        return found | {"changes": self.changes(ours, theirs, both)}

    def of_written(self, new: Any) -> dict[str, float]:
        """Judge written cells: by the genes that they name, and by their expression."""
        place = {name: i for i, name in enumerate(new.var_names)}
        columns = [place[symbol] for symbol in self.genes.symbols]
        values = sparse.csr_matrix(new.X)[:, columns]
        named = sparse.csr_matrix(values > 0, dtype=np.float32)
        labels = np.array([COARSE[one] for one in new.obs["cell_type"].astype(str)])
        theirs = self.means(self.cells.values.log1p(), self.labels)
        changes = self.changes(self.means(values, labels), theirs, self.cells.measured)
        different = len({*new.obs["answer"].astype(str)}) / new.n_obs
        return self.recognised(named, labels) | {"changes": changes, "different": different}


if __name__ == "__main__":
    main()
