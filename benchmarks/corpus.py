"""Corpora: examples per second, and memory, as a corpus grows.

Device: any CPU with two cores; about two minutes. Synthetic counts are written once; a larger
corpus names the file several times, as so many studies.

    python benchmarks/corpus.py --out docs/benchmarks/corpus.md

Each size runs in a process of its own, so that its peak memory is its own. All is timed: looking
at the files, drawing, ranking, varying, writing, dealing into a random order, and the look for
near duplicates. The rate of the growth leaves out what every corpus costs once.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from _cells import make_counts
from celloquy.training import build_corpus, make_corpus_recipe

N_VARS = 36_000
TASKS = ("cell_type", "pseudo_cell", "masked_genes", "next_genes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--files", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    parser.add_argument("--one", type=int, help="measure one size in the folder of --cells-file")
    parser.add_argument("--cells-file", type=Path)
    parser.add_argument("--varied", action="store_true")
    options = parser.parse_args()
    if options.one:
        measure(options.one, options.cells_file, is_varied=options.varied)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cells.h5ad"
        write_cells(path, options.cells)
        sizes = [(n, False) for n in options.files] + [(options.files[-1], True)]
        rows = [run(n, path, is_varied=varied) for n, varied in sizes]
    report = written(rows, options)
    if options.out:
        options.out.write_text(report)
    print(report)


def write_cells(path: Path, n: int) -> None:
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(rng.choice([f"type {i}" for i in range(12)], n)),
            "donor": pd.Categorical(rng.choice([f"d{i}" for i in range(10)], n)),
        },
        index=[f"c{i}" for i in range(n)],
    )
    genes = pd.DataFrame(index=[f"GEN{i}" for i in range(N_VARS)])
    ad.AnnData(make_counts(n, n_vars=N_VARS), obs, genes).write_h5ad(path)


def measure(n_files: int, path: Path, *, is_varied: bool) -> None:
    varied = {"gene_dropout": 0.1, "n_genes": [100, 200], "panels": 0.25}
    recipe = make_corpus_recipe(
        {
            "source": [
                {
                    "path": str(path),
                    "study": f"study {i}",
                    "columns": {"cell_type": "cell_type", "donor": "donor"},
                    "values": {"organism": "human"},
                }
                for i in range(n_files)
            ],
            "task": [{"name": name} for name in TASKS],
            "split": {"by": "donor", "test": 0.1, "leaks": "report"},
            "augment": varied if is_varied else {},
        }
    )
    warm = recipe.model_copy(update={"n_train": 100, "source": recipe.source[:1]})
    out = path.parent / f"corpus-{n_files}-{is_varied}"
    build_corpus(warm, out.with_name(f"{out.name}-warm"))  # compiled code is loaded
    before, cpu = time.perf_counter(), time.process_time()
    corpus = build_corpus(recipe, out)
    seconds, cpu = time.perf_counter() - before, time.process_time() - cpu
    n = corpus.n("train") + corpus.n("test")
    size = sum(file.stat().st_size for file in out.rglob("*.parquet"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"n": n, "s": seconds, "cpu": cpu, "peak": peak, "bytes": size}))


def run(n_files: int, path: Path, *, is_varied: bool) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", str(n_files), "--cells-file", str(path)]
    done = subprocess.run(
        [*command, *(["--varied"] if is_varied else [])],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    return {**found, "files": n_files, "varied": is_varied}


def written(rows: list[dict[str, float]], options: argparse.Namespace) -> str:
    plain = [row for row in rows if not row["varied"]]
    lines = [
        "# Corpora: examples per second",
        "",
        f"Synthetic counts, {options.cells:,} cells x {N_VARS:,} genes a file, four tasks "
        f"({', '.join(TASKS)}), 200 genes a cell; every cell once a task. "
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{datetime.now(UTC):%Y-%m-%d}.",
        "",
        "Made by `python benchmarks/corpus.py`; the module says what is timed. One run of each.",
        "",
        "| cells | varied | examples | seconds | examples/s | of CPU time | peak MB | bytes each |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['files'] * options.cells:,.0f} | {'yes' if row['varied'] else 'no'} "
        f"| {row['n']:,} | {row['s']:.1f} | {row['n'] / row['s']:,.0f} "
        f"| {row['n'] / row['cpu']:,.0f} | {row['peak']:,.0f} | {row['bytes'] / row['n']:,.0f} |"
        for row in rows
    ]
    first, last = plain[0], plain[-1]
    more = (last["n"] - first["n"]) / max(last["s"] - first["s"], 1e-9)
    lines += [
        "",
        f"From {first['n']:,} to {last['n']:,} examples: {more:,.0f} examples/s (target 20,000), "
        f"and {last['peak'] - first['peak']:,.0f} MB more at the peak.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
