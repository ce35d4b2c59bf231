"""How well the effect of perturbations was predicted, beside what needs no model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from celloquy.errors import InputError
from celloquy.evaluation._intervals import mean_interval
from celloquy.evaluation._measured import Meaning, Measured, mean_of
from celloquy.evaluation._perturbation_baselines import (
    MEAN,
    baseline_predictions,
    mean_changes,
    mean_of_others,
    measure_halves,
    target_genes,
)
from celloquy.evaluation._perturbation_cells import (
    Cells,
    Context,
    contexts_of,
    mean_of_cells,
    read_predicted,
    read_real,
)
from celloquy.evaluation._perturbation_metrics import MEANINGS, measure_effects
from celloquy.evaluation._sides import shared_genes

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from anndata import AnnData
    from numpy.typing import NDArray

    from celloquy.roles import ReadOptions

N_SPLITS = 3
FEW_CONTROLS = 200
FEW_CELLS = 10
COMPARING = ["pearson_centred", "discrimination", "centroid_accuracy"]
"""Metrics that take a second perturbation."""


@dataclass(frozen=True, eq=False, kw_only=True)
class PerturbationReport(Measured):
    """How well the effect of perturbations was predicted; ``str()`` of it reads well."""

    meanings: ClassVar[Mapping[str, Meaning]] = MEANINGS
    title: ClassVar[str] = "prediction"

    per_perturbation: pd.DataFrame
    """One row a context and perturbation: every metric, and numbers of cells and genes."""

    def to_dict(self) -> dict[str, object]:
        """Give everything for machines; what is no number is `None`."""
        rows = self.per_perturbation.astype(object)
        rows = rows.where(self.per_perturbation.notna(), None)
        return {**super().to_dict(), "per_perturbation": rows.to_dict("records")}


def evaluate_perturbation(
    pred: AnnData | str | os.PathLike[str],
    *,
    real: AnnData | str | os.PathLike[str],
    control: str = "control",
    perturbation_key: str = "perturbation",
    context_key: str | None = None,
    separator: str = "+",
    read: ReadOptions | None = None,
    seed: int = 0,
) -> PerturbationReport:
    """Judge predicted effects of perturbations, beside baselines and the noise ceiling.

    Parameters
    ----------
    pred
        Predicted cells, or one predicted mean profile a perturbation, as log1p of 10,000
        molecules a cell (whole numbers are taken for counts); control cells in it are left out.
    real
        Real cells with controls: counts, or log1p values on the scale of `pred`. Perturbations
        that only it has are taken for what a model was trained on.
    control
        Name of the control in `perturbation_key`.
    perturbation_key
        Column of obs, of both sides, with the perturbation.
    context_key
        Column of obs, of both sides, with the cell line or condition: each has its own control.
    separator
        What stands between the single perturbations of a combination.
    read
        Which slot of `real` is read.
    seed
        Seed of the halves of the noise ceiling.

    Returns
    -------
    Metrics as means over perturbations (contexts of one averaged first), with intervals over
    perturbations.

    Raises
    ------
    InputError
        If a column, the control or the shared genes are missing, no perturbation is on both
        sides, or a predicted value is infinite or missing.

    Notes
    -----
    The change is taken from the mean of the real control cells on both sides. cell-eval takes
    a prediction's change from the controls within the prediction; with the real controls there,
    the two agree.
    """
    measured = read_real(
        real, perturbation_key=perturbation_key, context_key=context_key, read_options=read
    )
    told = read_predicted(pred, perturbation_key=perturbation_key, context_key=context_key)
    genes = shared_genes(told.genes, measured.genes)
    notes = _gene_notes(told, measured, len(genes))
    told, measured = told.over(genes), measured.over(genes)
    contexts = contexts_of(measured, control=control)
    asked = [_asked(told, context) for context in contexts]
    if not sum(map(len, asked)):
        told_names = ", ".join(sorted(set(told.perturbations))[:5])
        msg = f"No perturbation is on both sides; predicted are {told_names}."
        raise InputError(msg, hint="compare the names, and those of the contexts.")
    parts = [
        _measure(context, here, told=told, contexts=contexts, separator=separator, seed=seed)
        for context, here in zip(contexts, asked, strict=True)
        if len(here)
    ]
    rows = pd.concat([part.rows for part in parts], ignore_index=True)
    return _report(parts, rows, notes + _notes(rows, told, contexts, control=control))


@dataclass(frozen=True, eq=False)
class _Part:
    """The rows of one context."""

    rows: pd.DataFrame
    baselines: dict[str, pd.DataFrame]
    halves: pd.DataFrame


def _asked(told: Cells, context: Context) -> NDArray[np.int64]:
    predicted = set(told.perturbations[told.contexts == context.name])
    found = [i for i, name in enumerate(context.perturbations) if name in predicted]
    return np.array(found, dtype=np.int64)


def _measure(
    context: Context,
    asked: NDArray[np.int64],
    *,
    told: Cells,
    contexts: list[Context],
    separator: str,
    seed: int,
) -> _Part:
    names = [context.perturbations[i] for i in asked]
    here = told.contexts == context.name
    predicted = np.stack(
        [mean_of_cells(told.values[here & (told.perturbations == name)]) for name in names]
    )
    means = context.means
    reference = mean_of_others(means, asked, control=context.control)
    changed = np.stack([context.changed(context.cells[i]) for i in asked])
    targets = target_genes(names, context.genes, separator=separator)

    def judge(profiles: NDArray[np.float64]) -> pd.DataFrame:
        found = measure_effects(
            profiles, means, asked=asked, control=context.control, reference=reference,
            changed=changed, targets=targets,
        )  # fmt: skip
        if len(means) < 2:  # nothing to centre on, nothing to tell apart
            found[COMPARING] = np.nan
        found.insert(0, "perturbation", names)
        return found.iloc[np.flatnonzero(~np.isnan(profiles).any(axis=1))]

    rows = judge(predicted)
    rows.insert(0, "context", context.name)
    rows["n_obs"] = [context.cells[i].shape[0] for i in asked]
    rows["n_control"] = context.control_cells.shape[0]
    rows["n_changed"] = changed.sum(axis=1)
    cheap = baseline_predictions(
        context, asked, separator=separator, elsewhere=mean_changes(contexts, without=context.name)
    )
    halves = measure_halves(context, asked, separator=separator, n_splits=N_SPLITS, seed=seed)
    if len(halves):
        unchanged = rows.set_index("perturbation")["n_changed"].reindex(halves.index) == 0
        halves.loc[unchanged, ["direction_match", "de_overlap"]] = np.nan
        if len(means) < 2:
            halves[COMPARING] = np.nan
        halves = halves.rename_axis("perturbation").reset_index()
    return _Part(rows, {name: judge(profiles) for name, profiles in cheap.items()}, halves)


def _report(parts: list[_Part], rows: pd.DataFrame, notes: list[str]) -> PerturbationReport:
    columns = list(MEANINGS)
    averaged = _by_perturbation(rows)
    intervals = {name: mean_interval(averaged[name]) for name in columns}
    baselines: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(name for part in parts for name in part.baselines):
        found = pd.concat([part.baselines[name] for part in parts if name in part.baselines])
        if len(found):
            baselines[name] = mean_of(_by_perturbation(found))
            if len(found) < len(rows):
                notes.append(_on_the_same(name, found, rows, parts))
    halves = pd.concat([part.halves for part in parts])
    n = {
        "perturbations": len(averaged),
        "contexts": int(rows["context"].nunique()),
        "real cells": int(rows["n_obs"].sum()),
    }
    n = {name: value for name, value in n.items() if (name, value) != ("contexts", 1)}
    return PerturbationReport(
        metrics=mean_of(averaged),
        intervals={name: found for name, found in intervals.items() if found is not None},
        baselines=baselines,
        ceiling=mean_of(_by_perturbation(halves)) if len(halves) else {},
        n=n,
        notes=tuple(notes),
        per_perturbation=rows,
    )


def _by_perturbation(rows: pd.DataFrame) -> pd.DataFrame:
    """Average the contexts of a perturbation, which are no independent groups."""
    found: pd.DataFrame = rows.groupby("perturbation")[list(MEANINGS)].mean()
    return found


def _on_the_same(name: str, found: pd.DataFrame, rows: pd.DataFrame, parts: list[_Part]) -> str:
    """Say what the prediction has where a baseline had an answer."""
    same = [
        part.rows[part.rows["perturbation"].isin(part.baselines[name]["perturbation"])]
        for part in parts
        if name in part.baselines
    ]
    here = mean_of(_by_perturbation(pd.concat(same)))
    return (
        f"'{name}' answers {len(found)} of {len(rows)} perturbations and contexts; on these the "
        f"prediction has pearson_delta {here['pearson_delta']:.3f} and pearson_centred "
        f"{here['pearson_centred']:.3f}."
    )


def _gene_notes(told: Cells, real: Cells, n_shared: int) -> list[str]:
    if n_shared == len(real.genes):
        return []
    return [
        f"{n_shared:,} genes are on both sides, of {len(real.genes):,} measured and "
        f"{len(told.genes):,} predicted; the others are left out."
    ]


def _notes(rows: pd.DataFrame, told: Cells, contexts: list[Context], *, control: str) -> list[str]:
    known = {(context.name, name) for context in contexts for name in context.perturbations}
    done = set(zip(rows["context"], rows["perturbation"], strict=True))
    predicted = set(zip(told.contexts, told.perturbations, strict=True))
    strangers = sorted(
        {name for place, name in predicted if name != control} - {p for _, p in known}
    )
    notes = []
    if strangers:
        named = ", ".join(strangers[:5])
        notes.append(f"{len(strangers)} predicted perturbations were not measured: {named}.")
    if known == done:
        notes.append(
            f"Every measured perturbation was predicted, so '{MEAN}' is the mean of all the "
            "others (leave one out): of the profiles, it is unlike the one asked for, and its "
            "discrimination lies below 0.5."
        )
    fewest = int(rows["n_control"].min())
    if fewest < FEW_CONTROLS:
        notes.append(
            f"A control has {fewest} cells only, and its noise is in the predicted and in the real "
            f"change: that alone raises pearson_delta, also of '{MEAN}'. pearson_centred is free "
            "of it."
        )
    few = rows[rows["n_obs"] < FEW_CELLS]
    if len(few):
        notes.append(
            f"{len(few)} of {len(rows)} perturbations have fewer than {FEW_CELLS} cells, one "
            f"{int(few['n_obs'].min())} cells: their real effect is mostly noise."
        )
    silent = int((rows["n_changed"] == 0).sum())
    if silent:
        notes.append(
            f"{silent} of {len(rows)} perturbations change no gene at 5 % false discovery; they "
            "have no direction_match and no de_overlap."
        )
    return notes
