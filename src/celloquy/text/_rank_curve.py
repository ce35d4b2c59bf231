"""Rank curves: the expression to expect at a rank, fitted once and only applied afterwards."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from celloquy._runtime import atomic_path, rng_for
from celloquy.errors import InputError
from celloquy.text._ranked import RankedCells

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

RankCurveKind = Literal["linear_log_rank", "monotone"]
SCHEMA = "celloquy.rank_curve"
VERSION = 1
MAX_LOG_RANK = 3.0
"""Cell2Sentence fits its line below this log10 rank, and applies it everywhere."""
N_LENGTHS = 16
"""At most so many curves stand side by side, by number of expressed genes."""
OBS_A_LENGTH = 20
"""A curve of its own takes at least so many cells."""
DEFAULT_CURVE = Path(__file__).with_name("rank_curve_default.json")


@dataclass(frozen=True, eq=False)
class RankCurve:
    """Expression as a function of rank (0 first), and of how many genes the cell expresses.

    Make one with :meth:`fit` or :meth:`load`.
    """

    kind: RankCurveKind
    """``"linear_log_rank"``: ``intercept + slope * log10(1 + rank)``, after Cell2Sentence.
    ``"monotone"``: falling through knots, straight between them in log rank."""
    unit: str
    """Unit of the values, such as ``"log1p"``: natural log1p of counts scaled to 10^4."""
    slope: float = 0.0
    """Of the line; 0 for a monotone curve."""
    intercept: float = 0.0
    """Of the line; 0 for a monotone curve."""
    log_ranks: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    """Knots, ``log10(1 + rank)``, rising; shape ``(n_knots,)``."""
    values: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    """Values at the knots over all cells, falling; shape ``(n_knots,)``."""
    log_lengths: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    """log10 of the expressed genes that each curve of `values_by_length` stands for, rising;
    shape ``(n_lengths,)``. Empty where the sample was too small to tell them apart."""
    values_by_length: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))
    """Values at the knots for cells of one length; shape ``(n_lengths, n_knots)``."""
    fitted_on: Mapping[str, Any] = field(default_factory=dict)
    """What it was fitted on: numbers of cells and values, seed, and whatever was told."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(RankCurveKind):
            msg = f"A rank curve is 'linear_log_rank' or 'monotone', got {self.kind!r}."
            raise InputError(msg)
        if not np.isfinite([self.slope, self.intercept]).all():
            msg = f"The line {self.intercept} + {self.slope} * log10(1 + rank) is not finite."
            raise InputError(msg)
        if self.kind == "monotone" and not _is_falling(self):
            msg = "The knots of a monotone rank curve must have finite, falling values."
            raise InputError(msg, hint="fit the curve again with `RankCurve.fit`.")

    def predict(
        self, ranks: ArrayLike, *, n_expressed: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """Give the expression at ranks.

        Parameters
        ----------
        ranks
            Ranks, 0 for the most expressed gene; any shape.
        n_expressed
            Genes that the cell expresses, where known; one number or one a rank. A monotone
            curve then reads the curves of cells of that length.

        Returns
        -------
        Expression in `unit`, shape of `ranks`. A line goes below zero far down.
        """
        log_ranks = np.log10(1.0 + np.asarray(ranks, dtype=np.float64))
        if self.kind == "linear_log_rank":
            return np.asarray(self.intercept + self.slope * log_ranks)
        if n_expressed is None or len(self.log_lengths) < 2:
            return np.asarray(np.interp(log_ranks, self.log_ranks, self.values))
        lengths = np.log10(np.maximum(np.asarray(n_expressed, dtype=np.float64), 1.0))
        places = np.interp(lengths, self.log_lengths, np.arange(len(self.log_lengths)))
        return self._between(log_ranks, np.broadcast_to(places, log_ranks.shape))

    def _between(
        self, log_ranks: NDArray[np.float64], places: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Read the table of curves between its knots and its lengths, straight in both."""
        knots = np.interp(log_ranks, self.log_ranks, np.arange(len(self.log_ranks)))
        row = np.minimum(places.astype(np.int64), len(self.log_lengths) - 2)
        column = np.minimum(knots.astype(np.int64), len(self.log_ranks) - 2)
        down, along = places - row, knots - column
        table = self.values_by_length
        upper = table[row, column] * (1 - along) + table[row, column + 1] * along
        lower = table[row + 1, column] * (1 - along) + table[row + 1, column + 1] * along
        return np.asarray(upper * (1 - down) + lower * down)

    @classmethod
    def fit(
        cls,
        ranked: RankedCells,
        *,
        unit: str,
        kind: RankCurveKind = "monotone",
        max_log_rank: float = MAX_LOG_RANK,
        max_obs: int = 50_000,
        seed: int = 0,
        fitted_on: Mapping[str, Any] | None = None,
    ) -> RankCurve:
        """Fit a curve to ranked cells and their values.

        The line is the least-squares line below `max_log_rank`. The monotone curve is the
        isotonic regression of mean values at ranks (the first 32 one by one, then 48 a
        tenfold), over all cells and, where there are enough, for up to 16 groups of cells by
        number of expressed genes: a cell of few molecules has higher shares at every rank.

        Parameters
        ----------
        ranked
            Cells with their values.
        unit
            Unit of the values, such as ``"log1p"``.
        kind
            Which curve.
        max_log_rank
            The log10 rank from which on the line is not fitted; only for the line.
        max_obs
            The most cells read; more are sampled.
        seed
            Seed of the sample.
        fitted_on
            What else to record, such as the origin of the cells.

        Raises
        ------
        InputError
            If `kind` is unknown, or the cells have values at fewer than two ranks.

        Notes
        -----
        The line is Cell2Sentence's (Levine et al., ICML 2024).
        """
        ranked = _sampled(ranked, max_obs, seed)
        ranks = ranks_of(ranked)
        record = {"n_obs": ranked.n_obs, "n_values": len(ranks), "seed": seed, **(fitted_on or {})}
        log_ranks, values = np.log10(1.0 + ranks), ranked.values.astype(np.float64)
        if kind == "linear_log_rank":
            low = log_ranks < max_log_rank
            slope, intercept = _line(log_ranks[low], values[low])
            record["max_log_rank"] = max_log_rank
            return cls(kind, unit, slope=slope, intercept=intercept, fitted_on=record)
        _refuse_too_few(ranks)
        knots = _knots(int(ranks.max()))
        lengths, table = _fit_by_length(ranked, ranks, knots)
        return cls(
            kind,
            unit,
            log_ranks=np.log10(1.0 + knots),
            values=_fit_knots(ranks, values, knots).round(6),
            log_lengths=lengths.round(9),
            values_by_length=table.round(6),
            fitted_on=record,
        )

    def as_dict(self) -> dict[str, Any]:
        """Give the curve as plain JSON values, with schema and version."""
        plain: dict[str, Any] = {
            "schema": SCHEMA,
            "version": VERSION,
            "kind": self.kind,
            "unit": self.unit,
        }
        if self.kind == "linear_log_rank":
            plain |= {"slope": self.slope, "intercept": self.intercept}
        else:
            plain |= {
                name: getattr(self, name).tolist()
                for name in ("log_ranks", "values", "log_lengths", "values_by_length")
            }
        return plain | {"fitted_on": dict(self.fitted_on)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> RankCurve:
        """Make the curve that :meth:`as_dict` wrote.

        Raises
        ------
        InputError
            If it is no rank curve, or of a version that this celloquy does not know.
        """
        if not hasattr(plain, "get") or plain.get("schema") != SCHEMA:
            msg = f"This is no rank curve: its schema is not {SCHEMA!r}."
            raise InputError(msg, hint="write one with `RankCurve.save`.")
        if plain.get("version") != VERSION:
            msg = f"The rank curve has version {plain.get('version')!r}; {VERSION} is known."
            raise InputError(msg, hint="update celloquy.")
        try:
            shape: dict[str, Any] = {
                name: np.array(plain[name], dtype=np.float64)
                for name in ("log_ranks", "values", "log_lengths", "values_by_length")
                if name in plain
            }
            shape |= {name: float(plain[name]) for name in ("slope", "intercept") if name in plain}
            return cls(plain["kind"], str(plain["unit"]), fitted_on=plain["fitted_on"], **shape)
        except (KeyError, TypeError, ValueError) as error:
            msg = f"The rank curve is damaged: {error}"
            raise InputError(msg, hint="write it again with `RankCurve.save`.") from error

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the curve as JSON.

        Raises
        ------
        InputError
            If `path` exists and `overwrite` is false, or cannot be written.
        """
        with atomic_path(path, overwrite=overwrite) as temporary:
            temporary.write_text(json.dumps(self.as_dict()) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> RankCurve:
        """Read a curve that :meth:`save` wrote.

        Raises
        ------
        InputError
            If there is no such file, or it holds no rank curve of a known version.
        """
        try:
            plain = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            msg = f"The rank curve '{path}' cannot be read: {error.strerror}."
            raise InputError(msg, hint="name a file that `RankCurve.save` wrote.") from error
        except ValueError as error:
            msg = f"'{path}' is not JSON, so it is no rank curve."
            raise InputError(msg, hint="write one with `RankCurve.save`.") from error
        return cls.from_dict(plain)


def default_rank_curve() -> RankCurve:
    """Give the packaged monotone curve: log1p, fitted on public droplet data.

    Its `fitted_on` names the studies. A curve fitted on the data at hand is better.

    Raises
    ------
    InputError
        If the packaged file was damaged.
    """
    return RankCurve.load(DEFAULT_CURVE)


def ranks_of(ranked: RankedCells) -> NDArray[np.int64]:
    """Give the rank of each gene in its cell, 0 first; shape ``(n_kept,)``."""
    return np.arange(len(ranked.genes)) - np.repeat(ranked.offsets[:-1], ranked.lengths)


def n_expressed_of(ranked: RankedCells) -> NDArray[np.int64]:
    """Give the expressed genes of each cell, kept or cut; shape ``(n_obs,)``."""
    return ranked.lengths + ranked.cut


def take_cells(ranked: RankedCells, cells: NDArray[np.int64]) -> RankedCells:
    """Give some cells, in the order asked for."""
    lengths = ranked.lengths[cells]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    take = np.arange(offsets[-1]) + np.repeat(ranked.offsets[:-1][cells] - offsets[:-1], lengths)
    return RankedCells(
        ranked.genes[take], offsets, ranked.values[take], ranked.cut[cells], ranked.vocabulary
    )


def _sampled(ranked: RankedCells, max_obs: int, seed: int) -> RankedCells:
    if ranked.n_obs <= max_obs:
        return ranked
    cells = rng_for(seed, "rank_curve").choice(ranked.n_obs, max_obs, replace=False)
    return take_cells(ranked, np.sort(cells))


def _refuse_too_few(ranks: NDArray[Any]) -> None:
    if not len(ranks) or ranks.min() == ranks.max():
        msg = f"A rank curve needs values at two ranks, and {len(ranks)} values give fewer."
        raise InputError(msg, hint="give cells with at least two expressed genes.")


def _line(log_ranks: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[float, float]:
    _refuse_too_few(log_ranks)
    centred = log_ranks - log_ranks.mean()
    slope = float(centred @ values / (centred @ centred))
    return slope, float(values.mean() - slope * log_ranks.mean())


def _knots(last_rank: int) -> NDArray[np.int64]:
    """Ranks at which the curve is told: the first 32, then 48 a tenfold, then the last."""
    steps = np.arange(np.log10(33.0), np.log10(last_rank + 2.0), 1 / 48)
    ranks = np.concatenate([np.arange(32), np.round(10**steps).astype(np.int64) - 1])
    return np.unique(np.append(ranks[ranks <= last_rank], last_rank))


def _fit_knots(
    ranks: NDArray[np.int64], values: NDArray[np.float64], knots: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Isotonic regression of the mean between knots, read at the knots."""
    from scipy.optimize import isotonic_regression

    between = np.searchsorted(knots, ranks, side="right") - 1
    n_values = np.bincount(between, minlength=len(knots))
    some = n_values > 0
    mean = np.bincount(between, values, minlength=len(knots))[some] / n_values[some]
    place = np.bincount(between, np.log10(1.0 + ranks), minlength=len(knots))[some]
    falling = isotonic_regression(mean, weights=n_values[some], increasing=False).x
    return np.asarray(np.interp(np.log10(1.0 + knots), place / n_values[some], falling))


def _fit_by_length(
    ranked: RankedCells, ranks: NDArray[np.int64], knots: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit a curve for each group of cells of about the same number of expressed genes."""
    lengths = n_expressed_of(ranked)
    used = ranked.lengths > 0
    n_groups = min(N_LENGTHS, int(used.sum()) // OBS_A_LENGTH)
    nothing = np.empty(0), np.empty((0, 0))
    if n_groups < 2:
        return nothing
    inner = np.quantile(lengths[used], np.arange(1, n_groups) / n_groups)
    group = np.searchsorted(np.unique(inner), lengths, side="right")
    present = np.unique(group[used])
    if len(present) < 2:
        return nothing
    log_lengths = [np.log10(lengths[used & (group == one)]).mean() for one in present]
    group_of_value = np.repeat(group, ranked.lengths)
    values = ranked.values.astype(np.float64)
    table = [
        _fit_knots(ranks[group_of_value == one], values[group_of_value == one], knots)
        for one in present
    ]
    return np.array(log_lengths), np.stack(table)


def _is_falling(curve: RankCurve) -> bool:
    """Say whether knots rise, values fall, all are finite, and shapes fit."""
    n_lengths, n_knots = len(curve.log_lengths), len(curve.log_ranks)
    if n_knots < 2 or curve.values.shape != (n_knots,):
        return False
    if n_lengths and curve.values_by_length.shape != (n_lengths, n_knots):
        return False
    rising = np.concatenate([np.diff(curve.log_ranks), np.diff(curve.log_lengths)])
    steps = np.concatenate([np.diff(curve.values), np.diff(curve.values_by_length).ravel()])
    finite = np.isfinite(curve.values).all() and np.isfinite(curve.values_by_length).all()
    return bool(finite and (rising > 0).all() and (steps <= 0).all())
