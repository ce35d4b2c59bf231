"""The byte-identical order of Cell2Sentence, timed beside Cell2Sentence itself.

Both sides start from the same counts (20,000 cells by 36,000 genes, about 2,000 genes a cell)
in chunks of rows and write text columns to disk as Arrow. Cell2Sentence normalises, orders and
saves a data set, as its tutorials do; celloquy orders the raw counts, whose ranks are the same.
A second comparison leaves normalising and saving out on both sides. Sentences are compared byte
by byte before anything is timed. Parsing of generated sentences is timed as well.

    pip install --no-deps --target c2s cell2sentence==1.2.0
    python benchmarks/compat.py --cell2sentence c2s

About ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import platform
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pyarrow as pa

from _cells import make_counts
from celloquy.text import compat, render_text

if TYPE_CHECKING:
    from collections.abc import Callable

    import scipy.sparse as sp

SLOPE, INTERCEPT = -0.6756886579917628, 2.237853249084892


class _Anything(types.ModuleType):
    """Stands in for the drawing package that Cell2Sentence imports and nothing here calls."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def load_cell2sentence(folder: Path) -> Any:
    sys.path.append(str(folder))
    sys.modules.setdefault("plotnine", _Anything("plotnine"))
    import cell2sentence

    return cell2sentence


@contextlib.contextmanager
def quiet() -> Any:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def theirs_flow(c2s: Any, counts: sp.csr_matrix, names: list[str], folder: Path) -> Any:
    import scanpy as sc

    adata = ad.AnnData(counts.copy())
    adata.var_names = names
    with quiet():
        sc.pp.normalize_total(adata)
        sc.pp.log1p(adata, base=10)
        table, vocabulary = c2s.CSData.adata_to_arrow(adata, random_state=42)
        c2s.CSData.csdata_from_arrow(table, vocabulary, str(folder), "cells")
    return table


def theirs_order(c2s: Any, adata: ad.AnnData) -> list[str]:
    with quiet():
        vocabulary = c2s.utils.generate_vocabulary(adata)
        return c2s.utils.generate_sentences(adata, vocabulary)


def ours_text(counts: sp.csr_matrix, names: list[str], chunk_size: int) -> list[pa.Array]:
    order = compat.Cell2SentenceOrder()
    parts = []
    for start in range(0, counts.shape[0], chunk_size):
        rows = counts[start : start + chunk_size]
        ranked = compat.cell2sentence_rank(rows, names, order=order)
        parts.append(render_text(ranked, style="cell2sentence"))
    return parts


def ours_flow(counts: sp.csr_matrix, names: list[str], path: Path, chunk_size: int) -> None:
    order = compat.Cell2SentenceOrder()
    schema = pa.schema([("cell_name", pa.large_string()), ("cell_sentence", pa.large_string())])
    compat.cell2sentence_vocabulary(counts, names=names)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for start in range(0, counts.shape[0], chunk_size):
            rows = counts[start : start + chunk_size]
            ranked = compat.cell2sentence_rank(rows, names, order=order)
            cells = pa.array([str(start + i) for i in range(rows.shape[0])], pa.large_string())
            text = render_text(ranked, style="cell2sentence")
            writer.write_batch(pa.record_batch([cells, text], schema=schema))


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds on the clock, and seconds of processor time of all threads."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


def compare(title: str, theirs: Callable[[], Any], ours: Callable[[], Any], n: tuple[int, int]):
    """Time both sides in turn; print the median ratio of the pairs, with a bootstrap interval.

    Rates are per second of `n[0]` things; `n[1]` pairs are timed.
    """
    pairs = np.array([(timed(theirs), timed(ours)) for _ in range(n[1])])  # (pairs, sides, clocks)
    rates = n[0] / np.median(pairs[:, :, 0], axis=0)
    ratios = pairs[:, 0] / pairs[:, 1]
    drawn = np.random.default_rng(0).integers(n[1], size=(10_000, n[1]))
    low, high = np.quantile(np.median(ratios[drawn], axis=1), [0.05, 0.95], axis=0)
    told = " | ".join(
        f"{np.median(ratios[:, clock]):.1f} [{low[clock]:.1f}, {high[clock]:.1f}]"
        for clock in (0, 1)
    )
    print(f"| {title} | {rates[0]:,.0f} | {rates[1]:,.0f} | {told} |", flush=True)


def check_equal(c2s: Any, counts: sp.csr_matrix, names: list[str], chunk_size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        theirs = theirs_flow(c2s, counts, names, Path(folder))["cell_sentence"]
    ours = [text.as_py() for part in ours_text(counts, names, chunk_size) for text in part]
    equal = sum(a == b for a, b in zip(theirs, ours, strict=True))
    print(f"equal sentences: {equal:,} of {len(ours):,}\n", flush=True)


def parse_theirs(c2s: Any, sentences: list[str], vocabulary: list[str]) -> None:
    for sentence in sentences:
        words, _ = c2s.utils.post_process_generated_cell_sentences(sentence, vocabulary)
        c2s.utils.reconstruct_expression_from_cell_sentence(
            " ".join(words), " ", vocabulary, SLOPE, INTERCEPT
        )


def parse_ours(sentences: list[str], vocabulary: list[str]) -> sp.csr_matrix:
    repaired = compat.cell2sentence_repair(sentences, names=vocabulary)
    return compat.cell2sentence_reconstruct(
        [" ".join(words) for words, _ in repaired],
        names=vocabulary,
        slope=SLOPE,
        intercept=INTERCEPT,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cell2sentence", type=Path, required=True, help="its install folder")
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--cells-a-pair", type=int, default=2_000, help="rows timed in a pair")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--chunk-size", type=int, default=1_000)
    args = parser.parse_args()
    c2s = load_cell2sentence(args.cell2sentence)
    counts = make_counts(args.cells)
    names = [f"GENE{i}" for i in range(counts.shape[1])]
    print(
        f"{platform.machine()}, {args.cells:,} cells, {counts.nnz / args.cells:,.0f} genes a cell"
    )
    check_equal(c2s, counts, names, args.chunk_size)

    rows = counts[: args.cells_a_pair]
    adata = ad.AnnData(rows.copy())
    adata.var_names = names
    logged = compat.cell2sentence_normalise(rows).astype(np.float32)
    n = (rows.shape[0], args.pairs)
    print("| what | Cell2Sentence a second | celloquy a second | ratio [90 %] | CPU ratio [90 %] |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        compare(
            "counts to sentences on disk, cells",
            lambda: theirs_flow(c2s, rows, names, place),
            lambda: ours_flow(rows, names, place / "ours.arrow", args.chunk_size),
            n,
        )
    compare(
        "counts to sentences in memory, cells",
        lambda: theirs_order(c2s, adata),
        lambda: ours_text(rows, names, args.chunk_size),
        n,
    )
    theirs_logged = ad.AnnData(logged)
    theirs_logged.var_names = names
    compare(
        "log values to sentences in memory, cells",
        lambda: theirs_order(c2s, theirs_logged),
        lambda: ours_text(logged, names, args.chunk_size),
        n,
    )
    compare(
        "counts to ordered gene ids, cells",
        lambda: theirs_order(c2s, adata),
        lambda: compat.Cell2SentenceOrder().order(rows),
        n,
    )
    top = compat.cell2sentence_rank(rows[:100], names).top(200)
    generated = [" ".join([*words, words[3], "NONSENSE"]) for words in top]
    compare(
        "repair and reconstruct 200 generated genes, sentences",
        lambda: parse_theirs(c2s, generated, names),
        lambda: parse_ours(generated, names),
        (len(generated), args.pairs),
    )


if __name__ == "__main__":
    main()
