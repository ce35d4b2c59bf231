"""Counts to sentences and gene ids on disk, beside Cell2Sentence and a CELLama-style builder.

Device: any CPU; about five minutes on two cores. Cell2Sentence is installed apart, because it
asks for packages that celloquy does without, and never into the package's environment:

    pip install --no-deps --target DIR cell2sentence==1.2.0
    python benchmarks/ranking.py --cell2sentence DIR --out docs/benchmarks/ranking.md

Every round times each way once, so that a busy machine hits all alike. A ratio is the median
over rounds of one way's cells per second over the other's, with a 90 % bootstrap interval.
CPU time counts all threads together: it is what is left to read where other programs take the
cores, and it hides what a second thread is worth.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import platform
import sys
import tempfile
import time
import types
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq

from _cells import make_counts
from celloquy._runtime import Drain
from celloquy.io import RowChunk
from celloquy.text import RankBuffers, RankOptions, Vocabulary, rank_cells, render_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import scipy.sparse as sp

    from celloquy.text import RankedCells

CHUNK_SIZE = 1_000
N_VARS = 36_000


def main() -> None:
    options = read_options()
    counts = make_counts(options.cells, n_vars=N_VARS)
    vocabulary = Vocabulary(tuple(f"GEN{i}" for i in range(N_VARS)))
    with tempfile.TemporaryDirectory() as folder:
        report = measure(counts, vocabulary, options, Path(folder))
    if options.out:
        options.out.write_text(report)
    print(report)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--baseline-cells", type=int, default=1_000)
    parser.add_argument("--cell2sentence", type=Path, help="folder it was installed into")
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    return parser.parse_args()


def measure(
    counts: sp.csr_matrix, vocabulary: Vocabulary, options: argparse.Namespace, folder: Path
) -> str:
    few, logs = counts[: options.baseline_cells], log_values(counts)
    own: dict[str, Callable[[sp.csr_matrix], object]] = {
        "full sentences": lambda cells: texts(cells, vocabulary, folder, None),
        "top-200 sentences": lambda cells: texts(cells, vocabulary, folder, 200),
        "top-30, CELLama's form": lambda cells: texts(
            cells, vocabulary, folder, 30, style="cellama"
        ),
        "full gene ids, Parquet": lambda cells: ids(cells, vocabulary, folder, None),
        "top-200 gene ids, Parquet": lambda cells: ids(cells, vocabulary, folder, 200),
        "full ranks": lambda cells: ranks(cells, vocabulary, None),
        "top-200 ranks": lambda cells: ranks(cells, vocabulary, 200),
        "top-30 ranks": lambda cells: ranks(cells, vocabulary, 30),
    }
    others: dict[str, Callable[[sp.csr_matrix], object]] = {
        "CELLama-style builder": lambda cells: cellama_style(cells, vocabulary, folder),
        "numpy lexsort a row, ids": lambda cells: lexsorted(cells, vocabulary),
    }
    if options.cell2sentence:
        sys.path.append(str(options.cell2sentence))
        others["cell2sentence 1.2.0"] = lambda cells: cell2sentence(cells, vocabulary, folder)
    memory = {name: memory_above(run, counts) for name, run in own.items()}
    ways = {"read the CSR arrays once": (counts, read_once)}
    ways |= {name: (counts, run) for name, run in own.items()}
    ways["full ranks, log1p values"] = (logs, own["full ranks"])
    ways |= {name: (few, run) for name, run in others.items()}
    for _, run in ways.values():
        run(few)
    rates = {name: np.empty((options.rounds, 2)) for name in ways}
    for n in range(options.rounds):
        for name, (cells, run) in ways.items():
            begin = np.array([time.perf_counter(), time.process_time()])
            run(cells)
            taken = np.array([time.perf_counter(), time.process_time()]) - begin
            rates[name][n] = cells.shape[0] / taken
    return write_report(rates, memory, counts, options)


def log_values(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Natural log1p of counts per 10,000, as float32."""
    totals = np.repeat(np.asarray(counts.sum(axis=1)).ravel(), np.diff(counts.indptr))
    logs = counts.copy()
    logs.data = np.log1p(counts.data * (1e4 / totals)).astype(np.float32)
    return logs


# --- our ways ---------------------------------------------------------------------------------


def chunks(cells: sp.csr_matrix) -> Iterator[RowChunk]:
    for start in range(0, cells.shape[0], CHUNK_SIZE):
        stop = min(start + CHUNK_SIZE, cells.shape[0])
        begin, end = cells.indptr[start], cells.indptr[stop]
        yield RowChunk(
            cells.indptr[start : stop + 1] - begin,
            cells.indices[begin:end],
            cells.data[begin:end],
            cells.shape[1],
            start,
            pd.DataFrame(index=pd.RangeIndex(start, stop)),
        )


def ranks(cells: sp.csr_matrix, vocabulary: Vocabulary, n_top_genes: int | None) -> int:
    """Rank all chunks, the threads working on one chunk together."""
    buffers, options = RankBuffers(), RankOptions(n_top_genes=n_top_genes)
    return sum(
        len(rank_cells(chunk, vocabulary, options=options, buffers=buffers).genes)
        for chunk in chunks(cells)
    )


@cache
def kept_buffers(count: int) -> list[RankBuffers]:
    """Make buffers once: a long run meets fresh memory as rarely as these do."""
    return [RankBuffers(n_threads=1) for _ in range(count)]


def in_order(
    cells: sp.csr_matrix,
    vocabulary: Vocabulary,
    n_top_genes: int | None,
    make: Callable[[RankedCells, RankBuffers], pa.Array],
) -> Iterator[pa.Array]:
    """Rank and make a column chunk by chunk, each thread on a chunk of its own."""
    options = RankOptions(n_top_genes=n_top_genes)
    n_threads = os.cpu_count() or 1
    buffers = kept_buffers(n_threads + 1)

    def work(number: int, chunk: RowChunk) -> pa.Array:
        own = buffers[number % len(buffers)]
        return make(rank_cells(chunk, vocabulary, options=options, buffers=own), own)

    with ThreadPoolExecutor(n_threads) as pool:
        waiting = []
        for number, chunk in enumerate(chunks(cells)):
            waiting.append(pool.submit(work, number, chunk))
            if len(waiting) == len(buffers):
                yield waiting.pop(0).result()
        for last in waiting:
            yield last.result()


@contextlib.contextmanager
def new_file(folder: Path, name: str) -> Iterator[Path]:
    """Give a file that does not exist yet, and remove it afterwards, in the time that is taken.

    Every way writes to a new file: a file written over is first emptied, for which the file
    system waits until its old content has reached the disk.
    """
    with tempfile.TemporaryDirectory(dir=folder) as inside:
        yield Path(inside) / name


def texts(
    cells: sp.csr_matrix,
    vocabulary: Vocabulary,
    folder: Path,
    n_top_genes: int | None,
    *,
    style: str = "celloquy",
) -> None:
    schema = pa.schema([("cell_sentence", pa.large_string())])

    def make(ranked: RankedCells, own: RankBuffers) -> pa.Array:
        return render_text(ranked, style=style, buffers=own)

    with (
        new_file(folder, "own.arrow") as path,
        pa.OSFile(str(path), "wb") as file,
        pa.ipc.new_file(file, schema) as out,
        Drain(path) as drain,
    ):
        for column in in_order(cells, vocabulary, n_top_genes, make):
            out.write_batch(pa.record_batch([column], schema=schema))
            drain.flow()


def ids(
    cells: sp.csr_matrix, vocabulary: Vocabulary, folder: Path, n_top_genes: int | None
) -> None:
    places = pa.list_(pa.field("element", pa.uint16(), nullable=False))
    schema = pa.schema([pa.field("genes", places, nullable=False)])

    def make(ranked: RankedCells, own: RankBuffers) -> pa.Array:
        del own  # these are new arrays
        offsets = pa.array(ranked.offsets.astype(np.int32))
        return pa.ListArray.from_arrays(
            offsets, pa.array(ranked.genes.astype(np.uint16)), type=places
        )

    options = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    with (
        new_file(folder, "own.parquet") as path,
        pq.ParquetWriter(path, schema, **options) as out,
        Drain(path) as drain,
    ):
        for column in in_order(cells, vocabulary, n_top_genes, make):
            out.write_batch(pa.record_batch([column], schema=schema))
            drain.flow()


# --- other ways -------------------------------------------------------------------------------


def read_once(counts: sp.csr_matrix) -> int:
    """Read values and columns once with all threads: the bound that memory sets."""
    n_threads = os.cpu_count() or 1
    halves = [
        half
        for values in (counts.data.view(np.int32), counts.indices)
        for half in np.array_split(values, n_threads)
    ]
    with ThreadPoolExecutor(n_threads) as pool:
        return max(pool.map(np.max, halves))


def cell2sentence(cells: sp.csr_matrix, vocabulary: Vocabulary, folder: Path) -> None:
    """Run Cell2Sentence's own flow: normalise, log10(1 + x), to Arrow, to disk."""
    with contextlib.suppress(ImportError):
        import plotnine  # noqa: F401 (asked for at import, used for its plots only)
    sys.modules.setdefault("plotnine", _Absent("plotnine"))
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        import anndata as ad
        import cell2sentence as other
        import scanpy as sc

        adata = ad.AnnData(cells.copy(), var=pd.DataFrame(index=list(vocabulary.names)))
        sc.pp.normalize_total(adata)
        sc.pp.log1p(adata, base=10)
        dataset, names = other.CSData.adata_to_arrow(
            adata, random_state=42, sentence_delimiter=" ", label_col_names=[]
        )
        with tempfile.TemporaryDirectory(dir=folder) as target:
            other.CSData.csdata_from_arrow(
                arrow_dataset=dataset,
                vocabulary=names,
                save_dir=target,
                save_name="own",
                dataset_backend="arrow",
            )


class _Absent(types.ModuleType):
    """Stands for a package that Cell2Sentence imports and this flow never calls."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return None


def cellama_style(cells: sp.csr_matrix, vocabulary: Vocabulary, folder: Path) -> None:
    """Name the top 30 of each row made dense and sorted whole, as CELLama is described to do."""
    names = np.array(vocabulary.names, dtype=object)
    written = []
    for row in range(cells.shape[0]):
        top = names[np.argsort(-cells[row].toarray().ravel())[:30]]
        written.append(f"Top genes are {', '.join(top[:-1])}, and {top[-1]}.")
    with new_file(folder, "other.arrow") as path:
        pa.feather.write_feather(pa.table({"cell_sentence": written}), path)


def lexsorted(cells: sp.csr_matrix, vocabulary: Vocabulary) -> list[np.ndarray]:
    """Sort each row by value and place with numpy."""
    place = vocabulary.place
    rows = zip(cells.indptr[:-1], cells.indptr[1:], strict=True)
    return [
        cells.indices[a:b][np.lexsort((place[cells.indices[a:b]], -cells.data[a:b]))]
        for a, b in rows
    ]


# --- what is reported -------------------------------------------------------------------------


def memory_above(run: Callable[[sp.csr_matrix], object], counts: sp.csr_matrix) -> float:
    """Peak memory above what was held before, in MB, the code being compiled (Linux; else NaN).

    What an earlier way left to the allocator is not counted again: the first is the one to read.
    """
    run(counts[:10])
    try:
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        run(counts)
        return (_status("VmHWM") - before) / 1e3
    except OSError:
        return float("nan")


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith(field)).split()[1])


def interval(ratios: np.ndarray) -> str:
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(ratios, (2_000, len(ratios))), axis=1)
    low, high = np.quantile(medians, [0.05, 0.95])
    return f"{np.median(ratios):.1f} ({low:.1f} to {high:.1f})"


def write_report(
    rates: dict[str, np.ndarray],  # a column by the clock, one by CPU time
    memory: dict[str, float],
    counts: sp.csr_matrix,
    options: argparse.Namespace,
) -> str:
    n_obs = counts.shape[0]
    size = (counts.data.nbytes + counts.indices.nbytes) / n_obs
    bound = rates["read the CSR arrays once"]
    lines = [
        "# Ranking and rendering: cells per second",
        "",
        f"Synthetic counts, {n_obs:,} cells x {counts.shape[1]:,} genes, "
        f"{counts.nnz / n_obs:,.0f} genes and {counts.sum() / n_obs:,.0f} molecules a cell, "
        f"CSR of {size / 1e3:.1f} KB a cell, chunks of {CHUNK_SIZE:,} cells. {machine()}",
        "",
        "Made by `python benchmarks/ranking.py "
        f"--cells {options.cells} --rounds {options.rounds} "
        f"--baseline-cells {options.baseline_cells}"
        f"{' --cell2sentence DIR' if options.cell2sentence else ''}`; "
        "the module says what each way does. "
        f"Programs ready to run at the end: {os.getloadavg()[0]:.1f}, this one included.",
        "",
        "| way | cells/s | cells/s of CPU time | share of the memory bound, CPU time "
        "| peak MB above the input |",
        "|---|---|---|---|---|",
    ]
    for name, rate in rates.items():
        held = f"{max(0, memory[name]):.0f}" if name in memory else ""
        share = f"{100 * np.median(rate[:, 1] / bound[:, 1]):.0f} %"
        clock, cpu = np.median(rate, axis=0)
        lines.append(f"| {name} | {clock:,.0f} | {cpu:,.0f} | {share} | {held} |")
    lines += [
        "",
        "| ratio | by the clock (90 % interval) | by CPU time | target |",
        "|---|---|---|---|",
    ]
    for way, other, target in (
        ("full sentences", "cell2sentence 1.2.0", "25"),
        ("top-200 sentences", "cell2sentence 1.2.0", "60"),
        ("top-200 gene ids, Parquet", "top-200 sentences", "more than 1"),
        ("full gene ids, Parquet", "full sentences", "more than 1"),
        ("top-30, CELLama's form", "CELLama-style builder", "20"),
        ("full ranks", "numpy lexsort a row, ids", ""),
        ("full ranks", "full ranks, log1p values", "at most 2"),
    ):
        if other in rates:
            clock, cpu = (rates[way] / rates[other]).T
            lines.append(f"| {way} / {other} | {interval(clock)} | {interval(cpu)} | {target} |")
    return "\n".join(lines) + "\n"


def machine() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        model = platform.processor()
    python, day = platform.python_version(), time.strftime("%F")
    return f"{model}, {os.cpu_count()} cores, Python {python}, {day}."


if __name__ == "__main__":
    main()
