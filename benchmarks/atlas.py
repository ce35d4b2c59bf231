"""An h5ad of many cells on disk to Parquet: time a cell, and peak memory, as cells grow.

Run: python benchmarks/atlas.py CELLS.h5ad --folder FOLDER [--sizes 10000 100000 1000000]

Real cells (any h5ad of counts, such as 10x PBMC 3k) are repeated, each copy thinned by a
binomial draw so that no two are alike, and written piece by piece, once uncompressed and once
with gzip. Every measurement runs in a process of its own, with one run before it to warm the
compiled code; peak memory is that process's. FOLDER needs about 10 KB a cell.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import scipy.sparse as sp

PIECE = 5_000


def make_atlas(cells: Path, out: Path, n_obs: int, *, compression: str | None) -> None:
    """Write `n_obs` thinned copies of real cells, `PIECE` cells at a time."""
    real = ad.read_h5ad(cells)
    counts = sp.csr_matrix(real.X).astype(np.int64)
    rng = np.random.default_rng(0)
    empty = ad.AnnData(sp.csr_matrix((0, real.n_vars), dtype=np.float32), var=real.var[[]])
    empty.write_h5ad(out)
    options = {"maxshape": (None,), "chunks": (20_000,), "compression": compression}
    with h5py.File(out, "a") as file:
        x = file["X"]
        x.attrs["shape"] = (n_obs, real.n_vars)
        for name in ("data", "indices", "indptr"):
            del x[name]
        data = x.create_dataset("data", (0,), "f4", **options)
        indices = x.create_dataset("indices", (0,), "i4", **options)
        ends = [np.zeros(1, np.int64)]
        for start in range(0, n_obs, PIECE):
            piece = counts[rng.integers(0, counts.shape[0], min(PIECE, n_obs - start))]
            piece.data = rng.binomial(piece.data, 0.9)
            piece.eliminate_zeros()
            at = len(data)
            for dataset, values in ((data, piece.data), (indices, piece.indices)):
                dataset.resize(at + piece.nnz, axis=0)
                dataset[at:] = values
            ends.append(ends[-1][-1] + piece.indptr[1:].astype(np.int64))
        x["indptr"] = np.concatenate(ends)
        del file["obs"]
        names = np.array([f"cell{i}" for i in range(n_obs)])
        ad.io.write_elem(
            file, "obs", ad.AnnData(obs={"_": np.zeros(n_obs)}).obs.set_axis(names)[[]]
        )


def measure(source: Path, out: Path) -> None:
    """Write the sentences of one file; print seconds, CPU seconds and the peak memory in MB."""
    from celloquy.text import GeneOptions, WriteOptions, sentences, write_sentences

    with h5py.File(source) as file:
        n_vars = int(file["X"].attrs["shape"][1])
    warm = ad.AnnData(sp.random(2_000, n_vars, 0.01, format="csr", dtype=np.float32))
    sentences(warm).to_text()
    start, cpu_start = time.perf_counter(), time.process_time()
    genes = GeneOptions(collisions="sum")
    write_sentences(source, out, genes=genes, files=WriteOptions(overwrite=True))
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    print(seconds, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("cells", type=Path)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure is not None:
        measure(args.cells, args.measure)
        return
    print("| cells | compression | cells/s | CPU µs a cell | peak RSS, MB | file, MB |")
    print("|---|---|---|---|---|---|")
    for n_obs in args.sizes:
        for compression in (None, "gzip"):
            source = args.folder / f"atlas-{n_obs}-{compression}.h5ad"
            out = args.folder / "sentences.parquet"
            make_atlas(args.cells, source, n_obs, compression=compression)
            command = [sys.executable, __file__, str(source), "--folder", str(args.folder)]
            run = subprocess.run(
                [*command, "--measure", str(out)], check=True, capture_output=True, text=True
            )
            seconds, cpu, peak = map(float, run.stdout.split())
            size = source.stat().st_size / 1e6
            print(
                f"| {n_obs:,} | {compression or 'none'} | {n_obs / seconds:,.0f} "
                f"| {1e6 * cpu / n_obs:.0f} | {peak:,.0f} | {size:,.0f} |",
                flush=True,
            )
            source.unlink()
            out.unlink()


if __name__ == "__main__":
    main()
