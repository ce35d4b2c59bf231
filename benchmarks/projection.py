"""What a projection fitted on labelled cells does to cells of a study that it never saw.

How to run, from the root of the repository (about fifteen minutes on one core, most of it for
the sentence encoder; `--cache` keeps vectors for the next time). Needs the extra `evaluate`.

    CELLOQUY_DATA=FOLDER python benchmarks/projection.py --out RESULTS.json

Blood: the seven labelled sets of three studies of the suite pbmc-transfer, six coarse types, at
most 400 cells a set. Pancreas: five studies, a technology each, six types, 100 cells a study. A
study is left out whole, or one study alone is learned from. Each set is encoded from its own
genes. Batches are donors where they are known, else sets.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

import celloquy as cq
from celloquy._runtime import rng_for
from celloquy.evaluation import (
    evaluate_embedding,
    load_suite,
    mean_interval,
    measure_annotation,
)
from celloquy.evaluation._suite_cells import labels_of_set
from celloquy.learn import (
    LogisticRegression,
    NearestNeighbours,
    label_codes,
    log_normalise,
    project_labels,
)
from celloquy.roles import EncodeOptions, ReadOptions, TextSource
from celloquy.text import GeneOptions

MINILM, MINI, TFIDF = "MiniLM", "celloquy-mini", "TF-IDF + SVD 100"
MODELS = {MINILM: "st:minilm", MINI: "celloquy-mini"}
SEEN_BY_MINI = ("10x PBMC 3k", "Kang 2018")  # and the pancreas
PANCREAS = "pancreas_panc8_5tech_500_2000hvg.h5ad"
FEW = 10
N_NEIGHBOURS = 15
Move = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Fold:
    """What is learned from, and what is judged."""

    tissue: str
    kind: str
    train: tuple[ad.AnnData, ...]
    held: tuple[ad.AnnData, ...]

    @property
    def study(self) -> str:
        """Study that is judged."""
        return self.held[0].obs["study"].iloc[0]


def load(n_cells: int) -> dict[str, list[ad.AnnData]]:
    """Read the sets of both tissues, with label, batch and study of each cell."""
    folder = Path(os.environ["CELLOQUY_DATA"]) / "cells"
    blood = []
    suite = load_suite("pbmc-transfer")
    for each in suite.sets:
        adata = cq.read(folder / each.file)
        adata.obs["label"], keep = labels_of_set(each, adata.obs, suite=suite)
        rows = rng_for(0, "projection", each.name).permutation(np.flatnonzero(keep))[:n_cells]
        adata = adata[np.sort(rows)].copy()
        donors = adata.obs["donor"].astype(str) if "donor" in adata.obs else each.name
        adata.obs = adata.obs[["label"]].assign(
            batch=each.name + " " + donors, study=each.study, set=each.name
        )
        blood.append(adata)
    whole = cq.read(folder / PANCREAS)
    of = whole.obs["batch"].astype(str)
    whole.obs = pd.DataFrame(
        {"label": whole.obs["cell_type"].astype(str), "batch": of, "study": of, "set": of}
    )
    return {"blood": blood, "pancreas": [whole[of == one].copy() for one in sorted(set(of))]}


def encode(sets: list[ad.AnnData], models: list[str], *, cache: bool) -> None:
    """Put the vectors of each language model, and the sentences, into the sets."""
    read = ReadOptions(collisions="sum")
    for name in models:
        text = TextSource(lm=cq.load_lm(MODELS[name]), cache=cache)
        for adata in sets:
            told = cq.encode(adata, key_added=name, options=EncodeOptions(text=text, read=read))
            print(told, flush=True)
    for adata in sets:
        written = cq.sentences(adata, n_top_genes=30, genes=GeneOptions(collisions="sum"))
        adata.obs["text"] = np.asarray(written.text, dtype=object)


def folds(tissues: dict[str, list[ad.AnnData]]) -> Iterator[Fold]:
    """Leave each study out of all, and learn each from each other."""
    for tissue, sets in tissues.items():
        studies = list(dict.fromkeys(one.obs["study"].iloc[0] for one in sets))
        by_study = {s: [a for a in sets if a.obs["study"].iloc[0] == s] for s in studies}
        for held in studies:
            others = [a for s in studies if s != held for a in by_study[s]]
            yield Fold(tissue, "all others", tuple(others), tuple(by_study[held]))
            for one in studies:
                if one != held:
                    yield Fold(tissue, "one study", tuple(by_study[one]), tuple(by_study[held]))


def vectors_of(fold: Fold, encoder: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """Give vectors of the cells to learn from, and of each held set."""
    if encoder != TFIDF:
        return np.vstack([a.obsm[encoder] for a in fold.train]), [
            a.obsm[encoder] for a in fold.held
        ]
    words = TfidfVectorizer(lowercase=False, token_pattern=r"\S+")
    space = make_pipeline(words, TruncatedSVD(100, random_state=0))
    train = space.fit_transform(np.concatenate([a.obs["text"] for a in fold.train]))
    return train, [space.transform(a.obs["text"]) for a in fold.held]


def column(sets: tuple[ad.AnnData, ...], key: str) -> np.ndarray:
    return np.concatenate([a.obs[key].astype(str).to_numpy(dtype=object) for a in sets])


def moves(train: np.ndarray, labels: np.ndarray, batches: np.ndarray) -> dict[str, Move]:
    """Fit what may be done to vectors, on the cells to learn from alone."""
    width = len(set(labels)) - 1
    several = batches if len(set(batches)) > 1 else None
    return {
        "as they are": lambda given: given,
        "PCA of the same width": PCA(width, random_state=0).fit(train).transform,
        "projection, no batches told": project_labels(train, labels=labels).transform,
        "projection": project_labels(train, labels=labels, batches=several).transform,
    }


def macro_f1(truth: np.ndarray, told: np.ndarray, known: np.ndarray) -> float:
    """Judge the cells whose label could be learned."""
    inside = np.isin(truth, known)
    return measure_annotation(truth[inside], told[inside]).macro_f1


def heads(train: np.ndarray, labels: np.ndarray, held: np.ndarray) -> dict[str, np.ndarray]:
    """Label held cells by their neighbours, and by the nearest mean of a label."""
    names, codes = label_codes(labels)
    told = np.array(names, dtype=object)
    knn = NearestNeighbours(n_neighbours=N_NEIGHBOURS).fit(train, codes, n_labels=len(names))
    means = np.stack([train[codes == i].mean(axis=0) for i in range(len(names))])
    nearest = np.square(held[:, None] - means[None]).sum(axis=2).argmin(axis=1)
    return {"15-NN": told[knn.probabilities(held).argmax(axis=1)], "nearest mean": told[nearest]}


def regression(train: sp.csr_matrix, labels: np.ndarray, held: sp.csr_matrix) -> np.ndarray:
    """Label held cells by balanced logistic regression."""
    names, codes = label_codes(labels)
    fitted = LogisticRegression().fit(train, codes, n_labels=len(names))
    return np.array(names, dtype=object)[fitted.probabilities(held).argmax(axis=1)]


def of_counts(fold: Fold, labels: np.ndarray) -> float:
    """Regress on log counts of the held set's genes; what was not measured is 0."""
    found = []
    for one in fold.held:
        parts = []
        for a in fold.train:
            place = pd.Index(one.var_names).get_indexer(a.var_names)
            shared = np.flatnonzero(place >= 0)
            onto = sp.csr_matrix(
                (np.ones(len(shared)), (shared, place[shared])), (a.n_vars, one.n_vars)
            )
            parts.append(log_normalise(sp.csr_matrix(a.X), "counts") @ onto)
        told = regression(
            sp.vstack(parts).tocsr(), labels, log_normalise(sp.csr_matrix(one.X), "counts")
        )
        found.append(macro_f1(one.obs["label"].to_numpy(dtype=object), told, np.unique(labels)))
    return float(np.mean(found))


def untaught(fold: Fold, train: np.ndarray, held: np.ndarray, *, projected: bool) -> float:
    """F1 of a label by neighbours of the held study, when the projection was never taught it."""
    labels, batches, truth = (
        column(fold.train, "label"), column(fold.train, "batch"), column(fold.held, "label")
    )  # fmt: skip
    names, codes = label_codes(truth)
    found = []
    for left in sorted(set(truth) & set(labels)):
        if (truth == left).sum() < FEW:
            continue
        taught = labels != left
        move = moves(train[taught], labels[taught], batches[taught])
        given = move["projection"](held) if projected else held
        knn = NearestNeighbours(n_neighbours=N_NEIGHBOURS).fit(given, codes, n_labels=len(names))
        told = knn.vote(knn.index.leave_one_out(k=N_NEIGHBOURS)).argmax(axis=1) == names.index(left)
        is_it = truth == left
        found.append(2 * (told & is_it).sum() / (told.sum() + is_it.sum()))
    return float(np.mean(found))


def structure(fold: Fold, held: list[np.ndarray]) -> dict[str, float]:
    """Judge the held study alone; Kang 2018 by its set with donors, as others share its cells."""
    sets = [(a, v) for a, v in zip(fold.held, held, strict=True)
            if fold.study != "Kang 2018" or a.obs["batch"].nunique() > 1]  # fmt: skip
    cells = ad.AnnData(obs=pd.concat([a.obs[["label", "batch"]] for a, _ in sets]))
    cells.obs_names_make_unique()
    cells.obsm["found"] = np.vstack([v for _, v in sets])
    batch_key = "batch" if cells.obs["batch"].nunique() > 1 else None
    report = evaluate_embedding(
        cells, rep="found", label_key="label", batch_key=batch_key, baselines=False
    )
    wanted = ("bio_conservation", "batch_correction", "kmeans_nmi", "silhouette_label", "ilisi")
    return {name: report.metrics[name] for name in wanted if name in report.metrics}


def measure(fold: Fold, encoder: str) -> list[dict[str, object]]:
    """Measure everything of one fold and encoder."""
    train, held = vectors_of(fold, encoder)
    labels, batches = column(fold.train, "label"), column(fold.train, "batch")
    truths = [a.obs["label"].to_numpy(dtype=object) for a in fold.held]
    where = {"tissue": fold.tissue, "kind": fold.kind, "encoder": encoder, "study": fold.study}
    rows = []
    for name, move in moves(train, labels, batches).items():
        moved, moved_held = move(train), [move(one) for one in held]
        scores: dict[str, list[float]] = {}
        for truth, given in zip(truths, moved_held, strict=True):
            for head, told in heads(moved, labels, given).items():
                scores.setdefault(head, []).append(macro_f1(truth, told, np.unique(labels)))
        row = {**where, "method": name, **{k: float(np.mean(v)) for k, v in scores.items()}}
        if fold.kind == "all others":
            row |= structure(fold, moved_held)
            if name in {"as they are", "projection"}:
                every = np.vstack(held)
                row["untaught"] = untaught(fold, train, every, projected=name == "projection")
        rows.append(row)
    told = [regression(train, labels, one) for one in held]
    scores = [macro_f1(t, p, np.unique(labels)) for t, p in zip(truths, told, strict=True)]
    return [*rows, {**where, "method": "logistic regression", "15-NN": float(np.mean(scores))}]


def shown(table: pd.DataFrame) -> str:
    """Write a table in Markdown."""
    flat = table.reset_index()
    lines = ["| " + " | ".join(map(str, flat.columns)) + " |", "|---" * flat.shape[1] + "|"]
    for row in flat.itertuples(index=False):
        cells = [f"{v:.3f}" if isinstance(v, float) else str(v) for v in row]
        lines.append("| " + " | ".join(cells).replace("nan", "") + " |")
    return "\n".join(lines) + "\n"


def report(table: pd.DataFrame) -> None:
    """Print means over folds, each study, and the gain of the projection with intervals."""
    keys = ["tissue", "kind", "encoder", "method"]
    numbers = [c for c in table.columns if c not in {*keys, "study"}]
    print(shown(table.groupby(keys, sort=False)[numbers].mean()))
    whole = table[table["kind"] == "all others"]
    for number in ("15-NN", "bio_conservation"):
        by = whole.pivot(index=["encoder", "method"], columns="study", values=number)
        print(number, shown(by), sep="\n\n")
    for (kind, encoder), part in table.groupby(["kind", "encoder"], sort=False):
        for number in numbers:
            by = part.pivot_table(index="study", columns="method", values=number)
            for other in [c for c in by if c != "projection" and "projection" in by]:
                gain = (by["projection"] - by[other]).dropna()
                said = f"{gain.mean():+.3f} {mean_interval(gain.to_numpy()) or ''}"
                ahead = f"ahead in {(gain > 0).sum()} of {len(gain)} studies"
                print(f"{kind} | {encoder} | {number} | minus {other}: {said}, {ahead}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cells", type=int, default=400)
    parser.add_argument("--cache", action="store_true")
    parser.add_argument("--held", nargs="+", help="studies that are left out in turn; else all")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    tissues = load(asked.cells)
    for tissue, sets in tissues.items():
        encode(sets, [MINILM, MINI] if tissue == "blood" else [MINILM], cache=asked.cache)
    rows = []
    for fold in folds(tissues):
        if asked.held and fold.study not in asked.held:
            continue
        own = [MINILM, TFIDF]
        if fold.tissue == "blood" and fold.study not in SEEN_BY_MINI:
            own.append(MINI)
        for encoder in own:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                rows += measure(fold, encoder)
        where = {"tissue": fold.tissue, "kind": fold.kind, "study": fold.study}
        score = of_counts(fold, column(fold.train, "label"))
        rows.append({**where, "encoder": "log counts", "method": "logistic regression",
                     "15-NN": score})  # fmt: skip
        print(fold.tissue, fold.kind, fold.study, flush=True)
        asked.out.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    report(pd.DataFrame(rows))


if __name__ == "__main__":
    main()
