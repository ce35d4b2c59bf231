"""How good generated cells are, beside real cells drawn again and a noise ceiling."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from celloquy.errors import InputError
from celloquy.evaluation._generated_baselines import BY_GENE, makers
from celloquy.evaluation._generated_cells import (
    LabelledCells,
    labels_of,
    over_genes,
    read_new,
    read_real,
    three_parts,
)
from celloquy.evaluation._generated_metrics import MEANINGS as COMPARED
from celloquy.evaluation._generated_metrics import Judge
from celloquy.evaluation._generated_words import MEANINGS as WORDS
from celloquy.evaluation._generated_words import measure_words
from celloquy.evaluation._intervals import Interval, mean_interval
from celloquy.evaluation._measured import Meaning, Measured, mean_of
from celloquy.evaluation._sides import shared_genes
from celloquy.learn import Compressed, LogValues

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from typing import TypeAlias

    from anndata import AnnData

    from celloquy.evaluation._generated_metrics import Embed

    Source: TypeAlias = AnnData | str | os.PathLike[str]

MAX_OBS = 500
N_SPLITS = 3
N_COMPONENTS = 50
HALF_AS_LONG = 0.5


@dataclass(frozen=True, kw_only=True)
class GeneratedOptions:
    """How generated and real cells are compared."""

    n_top_genes: int | None = None
    """Compare the first genes of each cell alone, in both with the values of the packaged rank
    curve: sentence with sentence. `None` compares whole cells by their expression."""
    embed: Embed | None = None
    """Gives vectors, shape ``(n_obs, d)``, of a block of cells; `None` fits a PCA of log counts
    on the real cells."""
    max_obs: int = MAX_OBS
    """The most cells of a side, drawn at random."""
    n_splits: int = N_SPLITS
    """How often the real cells are halved; numbers are means of these."""

    def __post_init__(self) -> None:
        for name in ("n_top_genes", "max_obs", "n_splits"):
            value = getattr(self, name)
            if value is not None and value < 1:
                msg = f"`{name}` must be at least 1, got {value}."
                raise InputError(msg)


@dataclass(frozen=True, eq=False, kw_only=True)
class GeneratedReport(Measured):
    """How good generated cells are; ``str()`` of it reads well."""

    meanings: ClassVar[Mapping[str, Meaning]] = WORDS | COMPARED
    title: ClassVar[str] = "generated"

    per_label: pd.DataFrame
    """One row a label: the metrics that labels have, and numbers of cells."""

    def to_dict(self) -> dict[str, object]:
        """Give everything for machines; what is no number is `None`."""
        rows = self.per_label.reset_index().astype(object)
        rows = rows.where(rows.notna(), None)
        return {**super().to_dict(), "per_label": rows.to_dict("records")}


def evaluate_generated(
    new: Source,
    *,
    real: Source,
    label_key: str | None = "cell_type",
    train: Source | None = None,
    group_key: str | None = None,
    options: GeneratedOptions | None = None,
    seed: int = 0,
) -> GeneratedReport:
    """Judge generated cells by real cells that their generator has not seen.

    A third of the real cells is set aside to fit the PCA, for cells that a PCA was fitted on lie
    further out than all others; the rest is halved. New cells are compared with the first half;
    so are the second half (the noise ceiling) and the baselines, which are made of `train`, or of
    the second half.

    Parameters
    ----------
    new
        Generated cells: counts, or log1p values as :func:`celloquy.generate` gives.
    real
        Unseen real cells: counts or log1p values.
    label_key
        Column of obs, of all sides, with the label that a cell was asked to have; `None` leaves
        out what needs one.
    train
        Cells that the generator was trained on, to look for copies.
    group_key
        Column of the real cells' obs with the donor: no donor is then in both halves.
    options
        Everything else.
    seed
        Seed of the halves and the baselines.

    Returns
    -------
    Metrics as means over the halvings; intervals, over labels, for what has a number a label.

    Raises
    ------
    InputError
        If no gene or no label is shared, a column is missing, or cells are too few.
    """
    options = options or GeneratedOptions()
    made, made_obs = read_new(new, label_key=label_key)
    known, known_obs = read_real(real, label_key=label_key)
    genes = shared_genes(made.block.vocabulary.names, known.block.vocabulary.names)
    notes = _gene_notes(made, known, n_shared=len(genes))
    words = measure_words(made, made_obs, known=set(known.block.vocabulary.names))
    seen = None
    if train is not None:
        seen, _ = read_real(train, label_key=label_key, what="training cells")
        genes = shared_genes(seen.block.vocabulary.names, tuple(genes))
    groups = None if group_key is None else labels_of(known_obs, group_key, what="real cells")
    made, known = over_genes(made, genes), over_genes(known, genes)
    seen = None if seen is None else over_genes(seen, genes)
    made, told = _with_known_labels(made, known, seen)
    notes += told + _length_notes(made, known, options)
    rounds = [
        _round(made, known, seen, groups=groups, options=options, seed=seed + number)
        for number in range(options.n_splits)
    ]
    return _report(rounds, words, made, notes + _label_notes(rounds[0].per_label))


@dataclass(frozen=True, eq=False)
class _Round:
    """What one halving gives."""

    metrics: dict[str, dict[str, float]]
    """Metrics of what was generated, the ceiling and each baseline, by name."""
    per_label: pd.DataFrame
    """The metrics of what was generated, by label."""
    n_real: int
    """Real cells that were compared with."""


NEW, CEILING = "generated", "noise ceiling"


def _round(
    made: LabelledCells,
    known: LabelledCells,
    seen: LabelledCells | None,
    *,
    groups: np.ndarray | None,
    options: GeneratedOptions,
    seed: int,
) -> _Round:
    """Halve the real cells once, and judge everything by the first half.

    Raises
    ------
    InputError
        If too few generated cells have a label of both halves.
    """
    parts = three_parts(known.labels, groups=groups, seed=seed)
    embedded, first, second = (known.rows(part) for part in parts)
    truth = first.drawn(options.max_obs, seed=seed, name="real")
    other = second
    made = made.drawn(options.max_obs, seed=seed, name="new")
    source = other if seen is None else seen
    usable = set(source.labels) & set(truth.labels)
    made = made.rows(np.flatnonzero(np.isin(made.labels, list(usable))))
    if made.n_obs < 2:
        msg = f"{made.n_obs} generated cells have a label of both halves of the real cells."
        raise InputError(msg, hint="compare with more real cells, or generate more.")
    sides = {NEW: made, CEILING: other.drawn(options.max_obs, seed=seed, name="ceiling")}
    for name, make in makers(source).items():
        sides[name] = make(made.labels, seed)
    if options.n_top_genes is not None:
        n = options.n_top_genes
        sides = {name: side.as_sentences(n) for name, side in sides.items()}
        truth = truth.as_sentences(n)
        embedded = embedded.as_sentences(n)
        seen = None if seen is None else seen.as_sentences(n)
    embed = options.embed or pca_of(embedded)
    judge = Judge(truth, embed, seen, has_labels=len(set(known.labels)) > 1)
    found = {name: judge.measure(side) for name, side in sides.items()}
    return _Round({name: one for name, (one, _) in found.items()}, found[NEW][1], truth.n_obs)


def pca_of(cells: LabelledCells) -> Embed:
    """Fit a PCA of log values on real cells."""
    pca = Compressed(LogValues(), n_components=N_COMPONENTS, centred=True).fit(cells.block)
    return pca.transform


def _report(
    rounds: list[_Round], words: dict[str, float], made: LabelledCells, notes: list[str]
) -> GeneratedReport:
    averaged = {
        name: mean_of(pd.DataFrame([one.metrics[name] for one in rounds]))
        for name in rounds[0].metrics
    }
    per_label = pd.concat([one.per_label for one in rounds])
    intervals: dict[str, Interval] = {}
    if len(per_label):
        per_label = per_label.groupby(level=0).mean()
        per_label = per_label.astype({"n_new": int, "n_real": int})
        for name in per_label.columns.drop(["n_new", "n_real"]):
            found = mean_interval(per_label[name])
            if found is not None and not str(name).startswith("knn"):
                intervals[str(name)] = found
    baselines = {name: one for name, one in averaged.items() if name not in {NEW, CEILING}}
    if BY_GENE not in baselines:
        notes.append(f"'{BY_GENE}' needs counts of real cells, and is left out.")
    return GeneratedReport(
        metrics=words | averaged[NEW],
        intervals=intervals,
        baselines=baselines,
        ceiling=averaged[CEILING],
        n={
            "generated cells": made.n_obs,
            "real cells a half": rounds[0].n_real,
            "shared genes": len(made.block.vocabulary),
            "halvings": len(rounds),
        },
        notes=tuple(notes),
        per_label=per_label,
    )


def _with_known_labels(
    made: LabelledCells, known: LabelledCells, seen: LabelledCells | None
) -> tuple[LabelledCells, list[str]]:
    """Leave out new cells of labels that no real cell has.

    Raises
    ------
    InputError
        If no label is shared.
    """
    usable = set(known.labels) if seen is None else set(known.labels) & set(seen.labels)
    strangers = Counter(label for label in made.labels if label not in usable)
    if not strangers:
        return made, []
    named = ", ".join(f"{label!r}" for label in sorted(strangers)[:5])
    if not set(made.labels) & usable:
        msg = f"No label is on both sides; new cells have {named}."
        raise InputError(msg, hint=f"real cells have: {', '.join(sorted(usable)[:20])}.")
    kept = np.flatnonzero([label in usable for label in made.labels])
    note = (
        f"{strangers.total():,} new cells have labels of no real cell, and are left out: {named}."
    )
    return made.rows(kept), [note]


def _gene_notes(made: LabelledCells, known: LabelledCells, *, n_shared: int) -> list[str]:
    n_made, n_known = len(made.block.vocabulary), len(known.block.vocabulary)
    if n_shared == n_known == n_made:
        return []
    return [
        f"{n_shared:,} genes are on both sides, of {n_made:,} generated and {n_known:,} real; "
        "cells are compared over these."
    ]


def _length_notes(
    made: LabelledCells, known: LabelledCells, options: GeneratedOptions
) -> list[str]:
    lengths = [float(np.median(np.diff(side.block.expression.indptr))) for side in (made, known)]
    if options.n_top_genes is None and lengths[0] < HALF_AS_LONG * lengths[1]:
        return [
            f"New cells express {lengths[0]:,.0f} genes at the median and real cells "
            f"{lengths[1]:,.0f}: `n_top_genes={lengths[0]:.0f}` compares sentence with sentence."
        ]
    return []


def _label_notes(per_label: pd.DataFrame) -> list[str]:
    if not len(per_label):
        return ["There is one label or none: nothing is said of labels and types."]
    few = per_label[(per_label["n_new"] < 5) | (per_label["n_real"] < 5)]
    if not len(few):
        return []
    return [f"Labels with fewer than 5 cells on a side: {', '.join(map(str, few.index))}."]
