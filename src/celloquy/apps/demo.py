"""The main job on real blood cells: check, write, embed, annotate, judge, draw."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from celloquy._runtime import refuse_existing
from celloquy.apps._demo_mini import tell_mini
from celloquy.apps._telling import table_lines
from celloquy.errors import InputError, MissingExtraError
from celloquy.evaluation import (
    METHODS,
    TEXT_METHODS,
    blood_types,
    coarse_blood_types,
    compare_across,
    compare_within,
    summarise,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

    from celloquy.learn import CellBlock

    Say = Callable[[str], None]

N_SPLITS = 5
MINILM = "st:minilm"
"""What reads cells for the methods that stand beside the default."""
MOST_CELLS = 1_200
"""Cells of a study that a demo across studies takes at most, so that it ends in minutes."""


@dataclass(frozen=True)
class DemoOptions:
    """What the demo reads and where it writes."""

    out: Path = Path("celloquy-demo")
    """Folder for pictures, tables and cells; made if it is missing."""
    reference: Path | None = None
    """Labelled cells of one study; `None` takes the cells that the scanpy package carries."""
    query: Path | None = None
    """Labelled cells of another study, to be labelled from `reference`."""
    label_key: str = "cell_type"
    """Column of the labels in both."""
    seed: int = 0
    """Seed of the splits and of the UMAP."""
    overwrite: bool = False
    """Whether files that exist in `out` are replaced."""


def run_demo(options: DemoOptions, *, say: Say) -> None:
    """Run the demo and tell each step.

    Parameters
    ----------
    options
        What is read and where results go.
    say
        Takes the lines that are told.

    Raises
    ------
    InputError
        If only one of `reference` and `query` is given, or `out` exists.
    """
    if (options.reference is None) != (options.query is None):
        msg = "A demo across studies needs a reference and a query, and one is missing."
        raise InputError(msg, hint="pass both `--reference` and `--query`, or neither.")
    refuse_existing(options.out, overwrite=options.overwrite)
    if options.reference is None or options.query is None:
        _one_study(options, say)
    else:
        _two_studies(options, options.reference, options.query, say)
    say(f"\nWritten to {options.out}/:")
    for path in sorted(options.out.iterdir()):
        say(f"  {path.name}")


def _one_study(options: DemoOptions, say: Say) -> None:
    from celloquy.io import read, write_h5ad

    adata = read(packaged_cells())
    options.out.mkdir(exist_ok=True)
    say("700 blood cells of Zheng et al. 2017 (10x Genomics, CC BY 4.0), carried by scanpy.")
    _tell_checks(adata, say)
    cells = adata.raw.to_adata()
    cells.obs["cell_type"] = pd.Categorical(coarse_blood_types(adata.obs["bulk_labels"]))
    _tell_sentences(cells, options, say)
    block = _embed(cells, say)
    say("\n4. Labels from labelled cells, beside baselines")
    say("   One study, split by cell: it shows that the parts work, not how they do elsewhere.")
    for key, title in (("cell_type", "six coarse types"), ("bulk_labels", "the ten labels")):
        known = np.flatnonzero(cells.obs[key].notna())
        labels = cells.obs[key].iloc[known].astype(str).tolist()
        table, kept = compare_within(
            block.rows(known), labels, methods={**METHODS, **TEXT_METHODS},
            n_splits=N_SPLITS, seed=options.seed,
        )  # fmt: skip
        kept.index = pd.Index(known[kept.index])
        _tell_comparison(table, kept, f"{title}: {len(kept)} cells", say)
        _write_comparison(options, key, table, kept)
        cells.obs[f"{key}_celloquy"] = pd.Categorical(
            kept["prediction"].reindex(range(cells.n_obs)).to_numpy()
        )
        cells.obs[f"{key}_celloquy_score"] = (
            kept["score"].reindex(range(cells.n_obs)).to_numpy(np.float32)
        )
    say("   The labels were computed from sorted cells of the same study, not observed, and three")
    say("   of the ten have fewer than 20 cells. CD34+ cells have no coarse type.")
    _draw_cells(cells, options)
    _tell_reconstruction(cells, options, say)
    tell_mini(cells, options.out, say=say, seed=options.seed, overwrite=options.overwrite)
    write_h5ad(cells, options.out / "annotated.h5ad", overwrite=options.overwrite)


def _two_studies(options: DemoOptions, reference: Path, query: Path, say: Say) -> None:
    from celloquy.roles import TextSource, read_block

    sides: list[tuple[CellBlock, list[str]]] = []
    for path in (reference, query):
        block, obs = read_block(path)
        labels = _labels_of(obs, options.label_key, path)
        rows = _some_rows(labels, options.seed)
        say(f"{path.name}: {len(labels):,} cells, {len(block.vocabulary):,} genes; {len(rows):,} "
            "cells are taken")  # fmt: skip
        sides.append((block.rows(rows), [str(labels[i]) for i in rows]))
    shared = sorted(set(sides[0][1]) & set(sides[1][1]))
    if len(shared) < 2:
        msg = f"The two studies share {len(shared)} labels."
        raise InputError(msg, hint="give both the same label names, in one column.")
    say(f"labels that both have: {', '.join(shared)}; other cells are left out")
    reader = TextSource(lm=MINILM).reader()
    (known, told), (asked, truth) = (_only(side, shared) for side in sides)
    genes = [g for g in known.vocabulary.names if g in asked.vocabulary.positions]
    say(f"{len(genes):,} genes are shared")
    known, asked = (
        reader.read(side.genes(side.vocabulary.find(genes).astype(np.int64)))
        for side in (known, asked)
    )
    table, kept = compare_across(
        known, asked, reference_labels=told, query_labels=truth,
        methods={**METHODS, **TEXT_METHODS}, n_splits=N_SPLITS, seed=options.seed,
    )  # fmt: skip
    options.out.mkdir(exist_ok=True)
    _tell_comparison(table, kept, f"{reference.stem} → {query.stem}: {len(kept)} cells", say)
    _write_comparison(options, "across", table, kept)


def _labels_of(obs: pd.DataFrame, key: str, path: Path) -> list[str | None]:
    """Take coarse blood types where the table knows most labels, else the labels themselves.

    Raises
    ------
    InputError
        If there is no such column.
    """
    if key not in obs:
        msg = f"`obs` of '{path.name}' has no column {key!r}."
        raise InputError(msg, hint=f"pass `--label-key` with one of: {', '.join(obs.columns)}.")
    named = obs[key].dropna().astype(str)
    if named.isin(list(blood_types())).mean() > 0.8:
        return coarse_blood_types(obs[key])
    return [None if pd.isna(label) else str(label) for label in obs[key]]


def _some_rows(labels: list[str | None], seed: int) -> np.ndarray:
    rows = np.flatnonzero([label is not None for label in labels])
    from celloquy._runtime import rng_for

    if len(rows) > MOST_CELLS:
        rows = np.sort(rng_for(seed, "demo").choice(rows, MOST_CELLS, replace=False))
    return rows


def _only(side: tuple[CellBlock, list[str]], shared: list[str]) -> tuple[CellBlock, list[str]]:
    block, labels = side
    rows = np.flatnonzero([label in shared for label in labels])
    return block.rows(rows), [labels[i] for i in rows]


def packaged_cells() -> Path:
    """Find the PBMC set that the scanpy package carries, without importing scanpy.

    Raises
    ------
    MissingExtraError
        If scanpy is not installed, or does not carry it.
    """
    found = importlib.util.find_spec("scanpy")
    path = (
        Path(found.origin).parent / "datasets" / "10x_pbmc68k_reduced.h5ad"
        if (found is not None and found.origin)
        else None
    )
    if path is None or not path.is_file():
        msg = "The demo reads the blood cells that the package `scanpy` carries: not found."
        raise MissingExtraError(msg, hint="pip install 'celloquy[demo]'")
    return path


def _tell_checks(adata: AnnData, say: Say) -> None:
    from celloquy.checks import check

    say("\n1. What is in the file (celloquy check)")
    refused, usable = check(adata), check(adata, use_raw=True)
    for problem in refused.problems:
        if problem.severity == "refuse":
            say(f"   X: refused. {problem.message}")
            say(f"      mend: {problem.mend}")
    say(f"   raw.X: {usable.kind.kind}, because {usable.kind.evidence}. It is used from here on.")


def _tell_sentences(cells: AnnData, options: DemoOptions, say: Say) -> None:
    from celloquy.text import sentences

    say("\n2. Cells as sentences (celloquy sentences)")
    written = sentences(cells, n_top_genes=200)
    for name, text in written.text.iloc[:3].items():
        label = cells.obs.loc[name, "bulk_labels"]
        say(f"   {label}: {' '.join(text.split()[:12])} …")
    cut = int((written.n_cut > 0).sum())
    say(f"   {len(written)} sentences of at most 200 genes; {cut} cells express more (counted)")
    written.write(options.out / "sentences.parquet", overwrite=options.overwrite)


def _embed(cells: AnnData, say: Say) -> CellBlock:
    from celloquy.roles import TextSource, encode, read_block

    say("\n3. Sentences as vectors (celloquy encode)")
    say(f"   {encode(cells)}")
    block, _ = read_block(cells)
    return TextSource(lm=MINILM).reader().read(block)


def _tell_comparison(table: pd.DataFrame, kept: pd.DataFrame, title: str, say: Say) -> None:
    say(f"\n   {title}, mean ± sd of {N_SPLITS} splits; the likeliest label of every cell")
    for line in table_lines(summarise(table)):
        say(f"   {line}")
    answered = kept["prediction"] != "unknown"
    right = (kept["prediction"] == kept["truth"])[answered].mean()
    say(f'   With "unknown": {answered.mean():.1%} of the cells get a label, {right:.1%} of those '
        "the right one")  # fmt: skip


def _write_comparison(
    options: DemoOptions, key: str, table: pd.DataFrame, kept: pd.DataFrame
) -> None:
    import celloquy.plotting as pl
    from celloquy._runtime import atomic_path

    with atomic_path(options.out / f"scores_{key}.tsv", overwrite=options.overwrite) as path:
        table.to_csv(path, sep="\t", index=False)
    pl.confusion(
        kept["truth"], kept["prediction"], save=options.out / f"confusion_{key}.png",
        overwrite=options.overwrite,
    )  # fmt: skip
    answered = kept[kept["prediction"] != "unknown"]
    pl.reliability(
        answered["score"], answered["truth"] == answered["prediction"],
        save=options.out / f"reliability_{key}.png", overwrite=options.overwrite,
    )  # fmt: skip


def _draw_cells(cells: AnnData, options: DemoOptions) -> None:
    import celloquy.plotting as pl

    for column in ("bulk_labels", "cell_type_celloquy", "cell_type_celloquy_score"):
        pl.umap(
            cells, color=column, seed=options.seed, save=options.out / f"umap_{column}.png",
            overwrite=options.overwrite,
        )  # fmt: skip
    pl.top_genes(
        cells, label_key="cell_type", save=options.out / "top_genes.png",
        overwrite=options.overwrite,
    )  # fmt: skip
    pl.composition(
        cells, label_key="cell_type_celloquy", groupby="bulk_labels",
        save=options.out / "composition.png", overwrite=options.overwrite,
    )  # fmt: skip


def _tell_reconstruction(cells: AnnData, options: DemoOptions, say: Say) -> None:
    import celloquy.plotting as pl
    from celloquy.text import fidelity

    say("\n5. Sentences back to expression (celloquy reconstruct)")
    measured = fidelity(cells, unit="log1p", seed=options.seed)
    for line in measured.summary().splitlines():
        say(f"   {line}")
    pl.rank_expression(
        measured.points, curves=measured.lines, save=options.out / "rank_expression.png",
        overwrite=options.overwrite,
    )  # fmt: skip
    pl.reconstruction(
        measured.reconstruction(), save=options.out / "reconstruction.png",
        overwrite=options.overwrite,
    )  # fmt: skip
