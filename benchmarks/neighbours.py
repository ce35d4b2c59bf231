"""Exact nearest neighbours against scikit-learn, alternated in one process.

How to run, from the root of the repository, on CPU:

    python benchmarks/neighbours.py --out table.md

Vectors are synthetic: clusters in 384 dimensions at unit length, like sentence embeddings.
Both sides answer the same queries; a ratio is the median over alternated pairs, with a
bootstrap interval. Recall is measured against a float64 search over all pairs.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from pathlib import Path

import numpy as np
from sklearn.neighbors import NearestNeighbors

from celloquy.learn import NeighbourIndex

N_DIMENSIONS = 384
K = 15


def clustered(n, *, rng, centres, noise=0.7):
    """Draw unit vectors around centres; float32, shape ``(n, d)``."""
    drawn = centres[rng.integers(0, len(centres), n)]
    drawn = drawn + noise * rng.standard_normal(drawn.shape, dtype=np.float32)
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def seconds(function):
    """Wall time of one call."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def interval(ratios, *, rng, share=0.9, draws=10_000):
    """Bootstrap interval of the median."""
    medians = np.median(rng.choice(ratios, size=(draws, len(ratios))), axis=1)
    return np.quantile(medians, [(1 - share) / 2, (1 + share) / 2])


def peak_memory(function):
    """Peak of memory that numpy asks for during one call, in MB."""
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def recall(rows, queries, reference, metric):
    """Share of the true neighbours that were found, by a float64 search over all pairs."""
    queries, reference = queries.astype(np.float64), reference.astype(np.float64)
    if metric == "cosine":
        queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
        reference = reference / np.linalg.norm(reference, axis=1, keepdims=True)
    hits = 0
    for query, found in zip(queries, rows, strict=True):
        distances = np.square(reference - query).sum(axis=1)
        hits += len(set(np.argsort(distances, kind="stable")[: len(found)]) & set(found.tolist()))
    return hits / rows.size


def compare(metric, options, rng):
    """Give one row of the table."""
    centres = rng.standard_normal((300, N_DIMENSIONS), dtype=np.float32)
    reference = clustered(options.reference, rng=rng, centres=centres)
    queries = clustered(options.queries, rng=rng, centres=centres)
    ours = NeighbourIndex(reference, metric=metric)
    theirs = NearestNeighbors(n_neighbors=K, metric=metric, algorithm="brute").fit(reference)
    sides = {
        "celloquy": lambda: ours.search(queries, k=K),
        "scikit-learn": lambda: theirs.kneighbors(queries),
    }
    for side in sides.values():
        side()
    taken = {name: [] for name in sides}
    for pair in range(options.pairs):
        order = list(sides) if pair % 2 else list(sides)[::-1]
        for name in order:
            taken[name].append(seconds(sides[name]))
    ratios = np.array(taken["scikit-learn"]) / np.array(taken["celloquy"])
    low, high = interval(ratios, rng=rng)
    speed = {name: options.queries / np.median(each) for name, each in taken.items()}
    memory = {name: peak_memory(side) for name, side in sides.items()}
    judged = queries[: options.judged]
    found = ours.search(judged, k=K).rows
    return (
        f"| {metric} | {speed['celloquy']:,.0f} | {speed['scikit-learn']:,.0f} "
        f"| {np.median(ratios):.1f} ({low:.1f} to {high:.1f}) "
        f"| {recall(found, judged, reference, metric):.4f} "
        f"| {memory['celloquy']:.0f} / {memory['scikit-learn']:.0f} |"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--reference", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--judged", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=7)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    lines = [
        "| metric | celloquy, queries/s | scikit-learn, queries/s | ratio (90 % interval) "
        "| recall@15 | peak memory of a search, MB |",
        "|---|---|---|---|---|---|",
    ]
    for metric in ("euclidean", "cosine"):
        lines.append(compare(metric, options, rng))
        print(lines[-1], flush=True)
    if options.out:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
