"""Reading 1,000 cells at a time: our stream beside anndata, on files of synthetic counts.

    python benchmarks/reading.py --cells 20000 --pairs 7

Makes its files in a temporary folder (20,000 cells: about 600 MB). Every ratio is the median
of alternated pairs, so that a busy machine disturbs both sides alike. The page cache is warm.
Peak memory is that of a fresh process a reader, above the same process that only imported.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import anndata as ad
import numpy as np

from _cells import make_counts
from celloquy.io import open_stream

CHUNK = 1_000


def ours(path: Path) -> int:
    with open_stream(path) as stream:
        return sum(chunk.n_obs for chunk in stream.chunks(CHUNK))


def backed(path: Path) -> int:
    if path.suffix == ".zarr":
        return sliced_zarr(path)
    adata = ad.read_h5ad(path, backed="r")
    rows = range(0, adata.n_obs, CHUNK)
    done = sum(adata.X[start : start + CHUNK].shape[0] for start in rows)
    adata.file.close()
    return done


def sliced_zarr(path: Path) -> int:
    import zarr

    matrix = ad.io.sparse_dataset(zarr.open_group(path, mode="r")["X"])
    rows = range(0, matrix.shape[0], CHUNK)
    return sum(matrix[start : start + CHUNK].shape[0] for start in rows)


def whole(path: Path) -> int:
    return (ad.read_zarr if path.suffix == ".zarr" else ad.read_h5ad)(path).n_obs


READERS = {"ours": ours, "anndata, chunks": backed, "anndata, whole": whole}


def make_files(folder: Path, n_obs: int) -> list[Path]:
    adata = ad.AnnData(make_counts(n_obs))
    adata.write_h5ad(folder / "plain.h5ad")
    adata.write_h5ad(folder / "gzip.h5ad", compression="gzip")
    for version in (2, 3):
        chosen = {"zarr_write_format": version, "auto_shard_zarr_v3": False}
        with ad.settings.override(**chosen):
            adata.write_zarr(folder / f"v{version}.zarr")
    return [folder / name for name in ("plain.h5ad", "gzip.h5ad", "v2.zarr", "v3.zarr")]


def peak_mb(reader: str, path: Path) -> float:
    """Peak memory of a fresh process, in MB."""
    command = [sys.executable, __file__, "--peak", reader, "--path", str(path)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_peak(reader: str, path: Path) -> None:
    if reader:
        READERS[reader](path)
    # not getrusage: its peak is inherited from the process that started this one
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    print(next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")))


def seconds(reader: str, path: Path) -> float:
    began = time.perf_counter()
    READERS[reader](path)
    return time.perf_counter() - began


def compare(path: Path, n_obs: int, pairs: int, base_mb: float) -> None:
    times: dict[str, list[float]] = {name: [] for name in READERS}
    for _ in range(pairs):
        for name in READERS:
            times[name].append(seconds(name, path))
    for name, found in times.items():
        speed = n_obs / statistics.median(found)
        ratios = [b / a for a, b in zip(times["ours"], found, strict=True)]
        peak = peak_mb(name, path) - base_mb
        print(
            f"| {path.name} | {name} | {speed:,.0f} | {interval(ratios)} | {peak:,.0f} |",
            flush=True,
        )


def interval(ratios: list[float]) -> str:
    """Give the median and its 90 % bootstrap interval."""
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(ratios, (2_000, len(ratios))), axis=1)
    low, high = np.quantile(medians, [0.05, 0.95])
    return f"{np.median(ratios):.1f} ({low:.1f} to {high:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.peak is not None:
        print_peak(options.peak, options.path)
        return
    with tempfile.TemporaryDirectory() as folder:
        files = make_files(Path(folder), options.cells)
        base_mb = peak_mb("", files[0])
        print("| file | reader | cells/s | times slower than ours (90 % interval) | peak MB |")
        print("|---|---|---|---|---|")
        for path in files:
            compare(path, options.cells, options.pairs, base_mb)


if __name__ == "__main__":
    main()
