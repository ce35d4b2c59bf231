"""How well ranks give expression back: Cell2Sentence's line and the monotone curve, held out.

Each set is read from a folder of public cells (`CELLOQUY_DATA`; docs/benchmarks/reconstruction.md
names the origin of each). Half of at most 1,500 cells is held out, five times. The last column
is a curve that was fitted on the other studies only, as the packaged one is for a user's data.

    CELLOQUY_DATA=folder python benchmarks/reconstruction.py
    CELLOQUY_DATA=folder python benchmarks/reconstruction.py --write-default curve.json

About two minutes on two cores.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from celloquy.io import open_stream
from celloquy.text import RankedCells, Vocabulary, rank_cells
from celloquy.text._fidelity import _held_out, log_values, measure_reconstruction
from celloquy.text._rank_curve import RankCurve, n_expressed_of, ranks_of, take_cells

N_OBS = 1_500
N_DEFAULT = 600
N_SPLITS = 5


@dataclass(frozen=True)
class Cells:
    """A public set, and the study it belongs to."""

    title: str
    file: str
    study: str
    in_default: bool = False
    """Whether the packaged curve is fitted on it: CC BY, or GEO without stated restriction."""


SETS = (
    Cells("10x PBMC 3k", "pbmc3k_10x_v1", "10x_pbmc3k", in_default=True),
    Cells("10x PBMC 1k v2", "pbmc1k_10x_v2_unlabelled", "10x_pbmc1k", in_default=True),
    Cells("Zheng 2017, sorted PBMC", "pbmc_zheng_facs_fastTopics", "zheng2017", in_default=True),
    Cells(
        "Lung cancer lines, CEL-seq2 and Drop-seq (GSE118767)",
        "cellmix_lung_lines_celseq2_dropseq_5batches",
        "sc_mixology",
        in_default=True,
    ),
    Cells(
        "PC9 with erlotinib, Drop-seq (GSE149383)",
        "drug_pc9_day11_erlotinib_vs_control",
        "aissa2021",
        in_default=True,
    ),
    Cells("Mimitou 2019, ECCITE-seq PBMC", "pbmc_eccite_500", "mimitou2019"),
    Cells("Baccin 2019, mouse bone marrow", "mouse_bone_marrow_baccin_362", "baccin2019"),
    Cells("Pollen 2014, SMART-seq reads", "pollen2014_smartseq_299", "pollen2014"),
)


def read_ranked(folder: Path, cells: Cells, n_obs: int) -> RankedCells:
    """Rank a sample of one set and give it log1p values; genes are bare numbers."""
    with open_stream(folder / "cells" / f"{cells.file}.h5ad") as stream:
        names = Vocabulary(tuple(str(gene) for gene in range(stream.n_vars)))
        return log_values(rank_cells(stream.sample(n_obs, seed=0), names))


def measure(curve: RankCurve, ranked: RankedCells, *, with_length: bool = True) -> dict[str, float]:
    n_expressed = np.repeat(n_expressed_of(ranked), ranked.lengths) if with_length else None
    predicted = curve.predict(ranks_of(ranked), n_expressed=n_expressed)
    return measure_reconstruction(ranked.values.astype(np.float64), predicted)


def measure_splits(ranked: RankedCells) -> dict[str, list[dict[str, float]]]:
    """Fit on one half and measure on the other, `N_SPLITS` times."""
    found: dict[str, list[dict[str, float]]] = {
        "line": [],
        "line, all ranks": [],
        "monotone, length unknown": [],
        "monotone": [],
    }
    for seed in range(N_SPLITS):
        held_out = _held_out(None, ranked, seed)
        fit = take_cells(ranked, np.flatnonzero(~held_out))
        test = take_cells(ranked, np.flatnonzero(held_out))
        line = RankCurve.fit(fit, unit="log1p", kind="linear_log_rank")
        whole = RankCurve.fit(fit, unit="log1p", kind="linear_log_rank", max_log_rank=np.inf)
        monotone = RankCurve.fit(fit, unit="log1p")
        found["line"].append(measure(line, test))
        found["line, all ranks"].append(measure(whole, test))
        found["monotone, length unknown"].append(measure(monotone, test, with_length=False))
        found["monotone"].append(measure(monotone, test))
    return found


def fit_default(ranked: dict[str, RankedCells], *, without: str = "") -> RankCurve:
    """Fit a curve on equal numbers of cells of the sets that may be shipped."""
    used = [cells for cells in SETS if cells.in_default and cells.study != without]
    parts = [
        take_cells(ranked[cells.file], np.arange(min(N_DEFAULT, ranked[cells.file].n_obs)))
        for cells in used
    ]
    empty = Vocabulary(())
    merged = RankedCells.concatenate(
        [RankedCells(p.genes, p.offsets, p.values, p.cut, empty) for p in parts]
    )
    return RankCurve.fit(
        merged, unit="log1p", fitted_on={"studies": [cells.title for cells in used]}
    )


def spread(rows: list[dict[str, float]], metric: str) -> str:
    values = [row[metric] for row in rows]
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write-default", type=Path, help="write the packaged curve here and stop")
    write_default = parser.parse_args().write_default
    folder = Path(os.environ["CELLOQUY_DATA"])
    if write_default is not None:
        ranked = {
            cells.file: read_ranked(folder, cells, N_DEFAULT) for cells in SETS if cells.in_default
        }
        fit_default(ranked).save(write_default, overwrite=True)
        return
    ranked = {cells.file: read_ranked(folder, cells, N_OBS) for cells in SETS}
    spread_out = {
        cells.file: read_ranked(folder, cells, N_DEFAULT) for cells in SETS if cells.in_default
    }
    print("| set | genes a cell | line | line, all ranks | monotone, length unknown |", end=" ")
    print("monotone | its Pearson | its Spearman | other studies' curve |")
    print("|---|---|---|---|---|---|---|---|---|")
    for cells in SETS:
        here = ranked[cells.file]
        found = measure_splits(here)
        foreign = measure(fit_default(spread_out, without=cells.study), here)
        columns = [
            cells.title,
            f"{np.median(n_expressed_of(here)):,.0f}",
            *(spread(rows, "r2") for rows in found.values()),
            spread(found["monotone"], "pearson"),
            spread(found["monotone"], "spearman"),
            f"{foreign['r2']:.3f}",
        ]
        print("| " + " | ".join(columns) + " |", flush=True)


if __name__ == "__main__":
    main()
