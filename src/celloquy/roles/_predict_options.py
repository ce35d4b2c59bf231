"""How cells are predicted: what the model reads, and what is made of its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from celloquy.errors import InputError
from celloquy.roles._cells import ReadOptions

if TYPE_CHECKING:
    import os

    from celloquy.learn import AnswerCalibration, Normalise

    Parents: TypeAlias = "Mapping[str, str | Sequence[str]] | str | os.PathLike[str]"
    """Child to parent, or the path of a table with the columns child and parent."""


PREDICT_GENES = 200
"""Genes of a cell that are named where neither the user nor the model says how many."""


@dataclass(frozen=True)
class PredictOptions:
    """How cells are predicted; nothing here is random.

    Raises
    ------
    InputError
        If a number is out of its range, or two options contradict each other.
    """

    n_top_genes: int | None = None
    """The most genes of a cell that are named; what does not fit into the model's tokens is cut
    from the end and counted. `None` takes what the model was taught, else 200."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Inputs of the task with one value for all cells: ``{"drug": "Erlotinib"}``."""
    obs_fields: Mapping[str, str] | Sequence[str] = ()
    """Inputs of the task that are columns of obs: ``{"tissue": "organ"}``, or the names alone
    where inputs and columns are called alike. No other column is read."""
    template: int | None = None
    """Which of the task's templates is used; `None` takes the model's, else the first."""
    group_by: str | None = None
    """For tasks about several cells: the column of obs whose values make the groups."""
    n_cells: int = 5
    """The most cells of a group that are read, drawn by `seed`; the answer counts for all."""
    seed: int = 0
    """Chooses the cells of a group and the cells of a calibration."""
    min_score: float = 0.5
    """Cells whose likeliest answer has a smaller probability are "unknown"."""
    top_n: int = 2
    """How many of the likeliest answers are kept, the answer and its runner-up among them."""
    probabilities: bool = False
    """Whether the probability of every answer is kept, in ``obsm``."""
    best_only: bool = False
    """Whether only the likeliest answer is searched: the same one, faster, without a
    probability, so that no answer can be "unknown"."""
    normalise: Normalise = "none"
    """``"tokens"`` divides scores by the number of tokens, so that long answers are not behind."""
    prior_corrected: bool = False
    """Whether what the model answers to a prompt without genes is taken off first."""
    calibration: AnswerCalibration | str | os.PathLike[str] | None = None
    """What :func:`celloquy.roles.calibrate` gave, or its file."""
    parents: Parents | None = None
    """Where children are uncertain, their parent is answered: child to parent, or the path of
    a tab-separated table with the columns ``child`` and ``parent``."""
    too_long: Literal["cut", "refuse"] = "cut"
    """``"refuse"`` stops, before anything is asked, if genes of a cell would have to be cut."""
    shard_size: int = 500
    """Cells that are asked about together and written as one part."""
    read: ReadOptions = field(default_factory=ReadOptions)
    """Where expression and gene names are read from."""

    def __post_init__(self) -> None:
        for name in ("n_top_genes", "n_cells", "top_n", "shard_size"):
            if (getattr(self, name) or 0) < 1 and getattr(self, name) is not None:
                msg = f"`{name}` must be at least 1, got {getattr(self, name)}."
                raise InputError(msg, hint="leave it out for the default.")
        if not 0 <= self.min_score <= 1:
            msg = f"`min_score` is a probability between 0 and 1, got {self.min_score}."
            raise InputError(msg, hint="0 names every cell.")
        twice = sorted(set(self.fields) & set(self.columns))
        if twice:
            msg = f"The input {twice[0]!r} has one value for all cells, and a column of obs."
            raise InputError(msg, hint="give it in `fields` or in `obs_fields`, not in both.")
        needing = [name for name, asked in self._need_scores().items() if asked]
        if self.best_only and needing:
            msg = f"`best_only` gives no probabilities, and `{needing[0]}` needs them."
            raise InputError(msg, hint=f"leave out `best_only` or `{needing[0]}`.")

    def _need_scores(self) -> dict[str, bool]:
        return {
            "probabilities": self.probabilities,
            "prior_corrected": self.prior_corrected,
            "calibration": self.calibration is not None,
            "parents": self.parents is not None,
            "normalise": self.normalise != "none",
        }

    @property
    def columns(self) -> dict[str, str]:
        """The column of obs of each input that has one."""
        given = self.obs_fields
        if isinstance(given, Mapping):
            return dict(given)
        return {name: name for name in ([given] if isinstance(given, str) else given)}

    def record(self) -> dict[str, Any]:
        """Give all that changes an answer, in plain values."""
        found: dict[str, Any] = {
            "n_top_genes": self.n_top_genes,
            "top_n": self.top_n,
            "min_score": self.min_score,
            "normalise": self.normalise,
            "prior_corrected": self.prior_corrected,
            "best_only": self.best_only,
        }
        if self.group_by is not None:
            found |= {"group_by": self.group_by, "n_cells": self.n_cells, "seed": self.seed}
        return found
