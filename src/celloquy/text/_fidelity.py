"""How much of expression survives as a rank: fitted on some cells, measured on others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from celloquy._runtime import closest, rng_for
from celloquy.errors import InputError
from celloquy.io import CellStream, open_stream
from celloquy.text._rank import rank_cells
from celloquy.text._rank_curve import RankCurve, n_expressed_of, ranks_of, take_cells
from celloquy.text._ranked import RankedCells
from celloquy.text._vocabulary import Vocabulary

if TYPE_CHECKING:
    import os

    from anndata import AnnData
    from numpy.typing import NDArray

    from celloquy.text._rank_curve import RankCurveKind

N_POINTS = 20_000
"""Held-out values kept for drawing."""
LOG1P = "log1p"
CURVES: dict[str, RankCurveKind] = {"linear": "linear_log_rank", "monotone": "monotone"}
ALL_CELLS = "all"


@dataclass(frozen=True, eq=False)
class Fidelity:
    """What :func:`fidelity` measured."""

    table: pd.DataFrame
    """One row a curve, split and cell type (``"all"`` first). Columns: ``curve``
    (``"linear"``, ``"monotone"``, ``"given"``), ``split`` (``"fit"``: the cells that the
    curve was fitted on; ``"held_out"``), ``cell_type``, ``n_obs``, ``n_values``, ``r2``
    (share of variance explained: best 1, below 0 where the mean does better), ``pearson``,
    ``spearman`` (in [-1, 1], best 1) and ``rmse`` (in `unit`, best 0)."""
    curves: dict[str, RankCurve]
    """The curves by name."""
    points: pd.DataFrame
    """At most 20,000 held-out values for drawing: ``rank`` (0 = most expressed),
    ``n_expressed``, ``expression``, ``cell_type``, and one column a curve with what it
    predicts."""
    lines: pd.DataFrame
    """The curves at 200 ranks, for a cell of typical length: ``rank`` and one column each."""
    unit: str
    """Unit of the values."""

    def reconstruction(self, curve: str = "monotone") -> pd.DataFrame:
        """Give the points of one curve as columns ``measured`` and ``reconstructed``."""
        return pd.DataFrame(
            {"measured": self.points["expression"], "reconstructed": self.points[curve]}
        )

    def summary(self) -> str:
        """Say in one line a curve how well it does on held-out cells."""
        rows = self.table[(self.table["split"] == "held_out") & (self.table["cell_type"] == "all")]
        return "\n".join(
            f"{row.curve}: R2 {row.r2:.3f}, Pearson {row.pearson:.3f}, Spearman "
            f"{row.spearman:.3f} on {row.n_obs} held-out cells ({self.unit})"
            for row in rows.itertuples()
        )


def fidelity(
    source: AnnData | CellStream | str | os.PathLike[str],
    *,
    rank_curve: RankCurve | None = None,
    unit: str | None = None,
    label_key: str | None = None,
    group_key: str | None = None,
    max_obs: int = 4_000,
    seed: int = 0,
) -> Fidelity:
    """Measure how well ranks alone give expression back, on cells that no curve saw.

    Half of the cells (or of the groups) are held out. Cell2Sentence's line and the monotone
    curve are fitted on the other half and measured on both, over the expressed genes of
    full sentences.

    Parameters
    ----------
    source
        Cells by genes; X of an AnnData or file, or a stream of another slot.
    rank_curve
        A curve to measure beside the two, such as a packaged or a stored one.
    unit
        Unit of the values, such as ``"log1p"``; `None` takes whole numbers for counts, and
        measures natural log1p of counts scaled to 10^4 a cell.
    label_key
        Column of obs by whose values the held-out measures are also told.
    group_key
        Column of obs, such as the donor, whose values may not be on both sides.
    max_obs
        The most cells read, spread over the source.
    seed
        Seed of the split.

    Raises
    ------
    InputError
        If there are fewer than two cells (or groups) with expression, a column is missing,
        values cannot be ranked, or they are not whole numbers and `unit` is not told.

    Notes
    -----
    Cell2Sentence (Levine et al., ICML 2024) reports the same measures for its line on the
    cells that it was fitted on; ``split == "fit"`` compares with those.
    """
    columns = [key for key in dict.fromkeys((label_key, group_key)) if key is not None]
    ranked, obs = _read(source, columns, max_obs, seed)
    ranked, unit = _in_unit(ranked, unit)
    held_out = _held_out(obs[group_key] if group_key else None, ranked, seed)
    parts = {
        "fit": take_cells(ranked, np.flatnonzero(~held_out)),
        "held_out": take_cells(ranked, np.flatnonzero(held_out)),
    }
    curves = {
        name: RankCurve.fit(parts["fit"], unit=unit, kind=kind, seed=seed)
        for name, kind in CURVES.items()
    }
    if rank_curve is not None:
        curves["given"] = rank_curve
    labels = _labels(obs, label_key)
    values = {name: _values(part, curves) for name, part in parts.items()}
    values["held_out"]["cell_type"] = np.repeat(labels[held_out], parts["held_out"].lengths)
    table = _table(values, curves, by_type=label_key is not None)
    return Fidelity(table, curves, _points(values["held_out"], seed), _lines(ranked, curves), unit)


def log_values(ranked: RankedCells) -> RankedCells:
    """Turn counts of full sentences into natural log1p of counts scaled to 10^4 a cell.

    Raises
    ------
    InputError
        If genes were cut, so that the total of a cell is not known.
    """
    if ranked.cut.any():
        msg = f"{np.count_nonzero(ranked.cut)} cells were cut, so their totals are not known."
        raise InputError(msg, hint="rank with `n_top_genes=None`.")
    counts = ranked.values.astype(np.float64)
    cell = np.repeat(np.arange(ranked.n_obs), ranked.lengths)
    totals = np.bincount(cell, counts, minlength=ranked.n_obs)
    values = np.log1p(1e4 * counts / totals[cell]).astype(np.float32)
    return RankedCells(ranked.genes, ranked.offsets, values, ranked.cut, ranked.vocabulary)


def _read(
    source: AnnData | CellStream | str | os.PathLike[str],
    columns: list[str],
    max_obs: int,
    seed: int,
) -> tuple[RankedCells, pd.DataFrame]:
    """Rank a sample of the cells, and read the columns of obs that are needed.

    Raises
    ------
    InputError
        If a column is missing.
    """
    if not isinstance(source, CellStream):
        with open_stream(source) as stream:
            return _read(stream, columns, max_obs, seed)
    for column in columns:
        if column not in source.obs_columns:
            msg = f"obs has no column {column!r}{closest(column, source.obs_columns)}."
            listed = ", ".join(source.obs_columns) or "none"
            raise InputError(msg, hint=f"its columns are: {listed}.")
    chunk = source.sample(max_obs, seed=seed, columns=columns)
    # genes are places here: names may repeat, and only the order within ties would change
    vocabulary = Vocabulary(tuple(str(gene) for gene in range(source.n_vars)))
    return rank_cells(chunk, vocabulary), chunk.obs


def _in_unit(ranked: RankedCells, unit: str | None) -> tuple[RankedCells, str]:
    """Take values as they are told to be, or whole numbers for counts.

    Raises
    ------
    InputError
        If nothing is told and values are not whole.
    """
    if unit is not None:
        return ranked, unit
    fractions = np.flatnonzero(ranked.values % 1)
    if len(fractions):
        msg = f"The values are not whole numbers, such as {ranked.values[fractions[0]]:.6g}."
        raise InputError(msg, hint="say what they are, for example `unit='log1p'`.")
    return log_values(ranked), LOG1P


def _held_out(groups: pd.Series[Any] | None, ranked: RankedCells, seed: int) -> NDArray[np.bool_]:
    """Choose half of the cells, or groups of about half of them.

    Raises
    ------
    InputError
        If there are fewer than two.
    """
    rng = rng_for(seed, "fidelity")
    used = ranked.lengths > 0
    codes = np.arange(ranked.n_obs) if groups is None else pd.factorize(groups)[0]
    present = np.unique(codes[used])
    if len(present) < 2:
        what = "cells with expression" if groups is None else f"values of {groups.name!r}"
        msg = f"Holding out takes two {what} at least, and there are {len(present)}."
        raise InputError(msg, hint="pass more cells, or groups of which two hold cells.")
    order = rng.permutation(present)
    sizes = np.cumsum([np.count_nonzero(codes[used] == group) for group in order[:-1]])
    n_groups = 1 + int(np.argmin(np.abs(sizes - used.sum() / 2)))
    return np.isin(codes, order[:n_groups])


def _labels(obs: pd.DataFrame, label_key: str | None) -> NDArray[np.object_]:
    if label_key is None:
        return np.full(len(obs), ALL_CELLS, dtype=object)
    labels = obs[label_key].astype(object)
    return labels.where(labels.notna(), "").astype(str).to_numpy(dtype=object)


def _values(part: RankedCells, curves: dict[str, RankCurve]) -> pd.DataFrame:
    """Give every value of some cells, and what each curve predicts for it."""
    ranks = ranks_of(part)
    n_expressed = np.repeat(n_expressed_of(part), part.lengths)
    frame = pd.DataFrame(
        {
            "cell": np.repeat(np.arange(part.n_obs), part.lengths),
            "rank": ranks,
            "n_expressed": n_expressed,
            "expression": part.values.astype(np.float64),
        }
    )
    for name, curve in curves.items():
        frame[name] = curve.predict(ranks, n_expressed=n_expressed)
    return frame


def _table(
    values: dict[str, pd.DataFrame], curves: dict[str, RankCurve], *, by_type: bool
) -> pd.DataFrame:
    rows = []
    for curve in curves:
        for split, frame in values.items():
            if not (curve == "given" and split == "fit"):
                rows.append(_row(frame, curve, split, ALL_CELLS))
    if by_type:
        for cell_type, frame in values["held_out"].groupby("cell_type", sort=True):
            rows += [_row(frame, curve, "held_out", str(cell_type)) for curve in curves]
    return pd.DataFrame(rows)


def _row(frame: pd.DataFrame, curve: str, split: str, cell_type: str) -> dict[str, Any]:
    truth, predicted = frame["expression"].to_numpy(), frame[curve].to_numpy()
    return {
        "curve": curve,
        "split": split,
        "cell_type": cell_type,
        "n_obs": frame["cell"].nunique(),
        "n_values": len(frame),
        **measure_reconstruction(truth, predicted),
    }


def measure_reconstruction(
    truth: NDArray[np.float64], predicted: NDArray[np.float64]
) -> dict[str, float]:
    """Compare reconstructed with given expression: R2, Pearson, Spearman, RMSE.

    A measure that is not defined (no values, or all equal) is NaN.

    Examples
    --------
    >>> found = measure_reconstruction(np.array([3.0, 2.0, 1.0]), np.array([3.0, 2.5, 1.0]))
    >>> {name: round(value, 3) for name, value in found.items()}
    {'r2': 0.875, 'pearson': 0.961, 'spearman': 1.0, 'rmse': 0.289}
    """
    from scipy.stats import rankdata

    squares = float(np.sum((truth - predicted) ** 2))
    spread = float(np.sum((truth - truth.mean()) ** 2)) if len(truth) else 0.0
    return {
        "r2": 1.0 - squares / spread if spread else np.nan,
        "pearson": _correlation(truth, predicted),
        "spearman": _correlation(rankdata(truth), rankdata(predicted)),
        "rmse": float(np.sqrt(squares / len(truth))) if len(truth) else np.nan,
    }


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    if not len(first):
        return np.nan
    one, other = first - first.mean(), second - second.mean()
    norm = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / norm if norm else np.nan


def _points(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    if len(frame) > N_POINTS:
        rows = rng_for(seed, "fidelity points").choice(len(frame), N_POINTS, replace=False)
        frame = frame.iloc[np.sort(rows)]
    return frame.drop(columns="cell").reset_index(drop=True)


def _lines(ranked: RankedCells, curves: dict[str, RankCurve]) -> pd.DataFrame:
    lengths = n_expressed_of(ranked)[ranked.lengths > 0]
    ranks = np.logspace(0.0, np.log10(max(float(lengths.max()), 2.0)), 200) - 1.0
    typical = float(np.median(lengths))
    drawn = {name: curve.predict(ranks, n_expressed=typical) for name, curve in curves.items()}
    return pd.DataFrame({"rank": ranks, **drawn})
