"""Sentence embedding beside CELLama's flow: speed, agreement and memory, in one process.

CPU, two to four minutes on two cores:

    python benchmarks/embedding.py

The cells are the 700 that the scanpy package carries (raw, log1p), written as sentences of 30
genes in CELLama's form; each pair of timings embeds other cells, and the order alternates.
CELLama's flow is one list of texts through `SentenceTransformer.encode` with its defaults,
fp32, then Python lists and back, as LangChain's class does it. Loading is not timed; the first
cells warm every side up.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import torch

from celloquy._runtime._devices import processor
from celloquy.lm import load_lm
from celloquy.text import RankOptions, Vocabulary, rank_cells, render_text

if TYPE_CHECKING:
    from collections.abc import Callable

    Embed = Callable[[list[str]], np.ndarray]

SIDES = ("CELLama", "celloquy fp32", "celloquy bf16")


def cell_sentences(seed: int) -> list[str]:
    """Write the cells of the scanpy package as sentences, in a shuffled order."""
    scanpy = Path(importlib.util.find_spec("scanpy").origin).parent
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the file is of an old version of anndata
        raw = ad.read_h5ad(scanpy / "datasets" / "10x_pbmc68k_reduced.h5ad").raw
    vocabulary = Vocabulary(tuple(raw.var_names))
    ranked = rank_cells(raw.X.tocsr(), vocabulary, options=RankOptions(n_top_genes=30))
    texts = np.array(render_text(ranked, style="cellama").to_pylist(), dtype=object)
    return np.random.default_rng(seed).permutation(texts).tolist()


def load(side: str) -> Embed:
    """Load one side."""
    minilm = load_lm("st:minilm", device="cpu", precision=side[-4:] if side != SIDES[0] else "fp32")
    if side != SIDES[0]:
        return minilm.embed
    from sentence_transformers import SentenceTransformer

    folder = str(minilm.modules.backbone)
    encoder = SentenceTransformer(folder, device="cpu", local_files_only=True)
    del minilm
    return lambda texts: np.array(encoder.encode(texts).tolist())


def interval(ratios: np.ndarray) -> tuple[float, float, float]:
    """Median of the ratios, and its 90 % bootstrap interval."""
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(ratios, (10_000, len(ratios))), axis=1)
    return float(np.median(ratios)), *(float(q) for q in np.quantile(medians, [0.05, 0.95]))


def peak_memory(side: str, seed: int) -> str:
    """Peak resident memory of a process that embeds all cells with one side, in MB."""
    command = [sys.executable, __file__, "--peak-of", side, "--seed", str(seed)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def measure(n_pairs: int, n_cells: int, seed: int) -> None:
    """Time all sides on the same cells, pair by pair, and print the table."""
    texts = cell_sentences(seed)
    embed = {side: load(side) for side in SIDES}
    for one in embed.values():
        one(texts[:n_cells])
    seconds = {side: [] for side in SIDES}
    cpu_seconds = dict.fromkeys(SIDES, 0.0)
    cosines = {side: [] for side in SIDES}
    for pair in range(n_pairs):
        some = [texts[i % len(texts)] for i in range(pair * n_cells, (pair + 1) * n_cells)]
        vectors = {}
        for side in SIDES if pair % 2 else SIDES[::-1]:
            start, cpu_start = time.perf_counter(), time.process_time()
            vectors[side] = embed[side](some)
            seconds[side].append(time.perf_counter() - start)
            cpu_seconds[side] += time.process_time() - cpu_start
        for side in SIDES:
            cosines[side].append((vectors[side] * vectors[SIDES[0]]).sum(axis=1).min())
    cpu = {side: 1000 * spent / (n_pairs * n_cells) for side, spent in cpu_seconds.items()}
    report(seconds, cpu, cosines, n_cells=n_cells, seed=seed)


def report(
    seconds: dict[str, list[float]],
    cpu_ms: dict[str, float],
    cosines: dict[str, list[float]],
    *,
    n_cells: int,
    seed: int,
) -> None:
    """Print where it ran and the table."""
    cpu = processor()
    features = f"avx512_bf16 {cpu.has_avx512_bf16}, amx_bf16 {cpu.has_amx_bf16}"
    print(f"{cpu.name}, {cpu.n_cores} cores, {torch.get_num_threads()} threads, {features}")
    packages = ("torch", "transformers", "sentence-transformers")
    print(", ".join(f"{name} {version(name)}" for name in packages))
    print(f"{len(seconds[SIDES[0]])} pairs of {n_cells} cells, 30 genes each, seed {seed}\n")
    print(
        "| side | cells/s | times CELLama (90 % interval) | CPU ms/cell | least cosine "
        "| peak memory, MB |\n|---|---|---|---|---|---|"
    )
    first = np.array(seconds[SIDES[0]])
    for side in SIDES:
        median, low, high = interval(first / np.array(seconds[side]))
        ratio = "1" if side == SIDES[0] else f"{median:.2f} ({low:.2f} to {high:.2f})"
        rate = n_cells / np.median(seconds[side])
        memory = peak_memory(side, seed)
        print(
            f"| {side} | {rate:.1f} | {ratio} | {cpu_ms[side]:.1f} | {min(cosines[side]):.6f} "
            f"| {memory} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=11)
    parser.add_argument("--cells", type=int, default=64, help="cells of one timing")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peak-of", choices=SIDES, help="embed only, and print the peak memory")
    asked = parser.parse_args()
    if asked.peak_of is None:
        measure(asked.pairs, asked.cells, asked.seed)
        return
    load(asked.peak_of)(cell_sentences(asked.seed)[:256])
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    print(int(status.partition("VmHWM:")[2].split()[0]) // 1024)


if __name__ == "__main__":
    main()
