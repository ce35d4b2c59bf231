"""Answers being written: what was drawn, and what may be drawn next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from celloquy.lm._constrain import N_FORCED
from celloquy.lm._draw import draw

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray

    from celloquy.lm._constrain import Compiled, Progress
    from celloquy.lm._protocol import FinishReason, Limits


@dataclass(eq=False)
class Written:
    """What was written, in the order of the prompts."""

    ids: list[list[int]]
    """Token ids of each answer, without the token that ends it."""
    logp: NDArray[np.float64]
    """log-probability of each answer's tokens, its end included, each among the tokens that were
    allowed there, at temperature 1 and before `top_k` and `top_p`; shape ``(n,)``."""
    reasons: list[FinishReason]
    """``"end"``, or ``"length"`` where there was no more room."""

    @classmethod
    def empty(cls, n: int) -> Written:
        """Make room for so many answers."""
        return cls([[] for _ in range(n)], np.zeros(n), ["length"] * n)

    def take(self, rows: NDArray[np.int64], writing: Writing) -> None:
        """Take the answers of some rows."""
        for line, row in enumerate(rows):
            self.ids[row] = writing.ids[line]
            self.logp[row] = writing.logp[line]
            self.reasons[row] = writing.reasons[line]


class Unconstrained:
    """No constraint: an answer ends at a token that ends answers, or when its room is full."""

    def __init__(self, end_ids: Sequence[int]) -> None:
        self.tokens = None
        self.likely = None
        self.end_ids = tuple(end_ids)

    def start(self, rooms: NDArray[np.int64], n_forced: int = 0) -> FreeProgress:
        """Begin an answer in each row."""
        del n_forced
        return FreeProgress(len(rooms), self.end_ids)


class FreeProgress:
    """Answers that may hold any token."""

    def __init__(self, n: int, end_ids: tuple[int, ...]) -> None:
        self.end_ids = np.array(end_ids, dtype=np.int64)
        self.ended = np.zeros(n, dtype=np.bool_)

    def look(self) -> None:
        """Allow every token."""

    def follow(
        self, active: NDArray[np.int64], columns: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], None]:
        """Take a token in each active row."""
        self.ended[active] = np.isin(columns, self.end_ids)
        return columns[:, None], None

    def has_ended(self, active: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say which rows are complete."""
        return np.asarray(self.ended[active])


class Writing:
    """Answers being written: what was drawn, and what may be drawn next."""

    def __init__(
        self,
        constraint: Compiled,
        rooms: NDArray[np.int64],
        seeds: NDArray[np.uint64],
        limits: Limits,
        *,
        n_forced: int = N_FORCED,
    ) -> None:
        n = len(rooms)
        self.constraint, self.rooms, self.limits = constraint, rooms, limits
        self.seeds = seeds
        self.progress: Progress = constraint.start(rooms, n_forced)
        self.ids: list[list[int]] = [[] for _ in range(n)]
        self.n_drawn = np.zeros(n, dtype=np.int64)
        self.logp = np.zeros(n)
        self.reasons: list[FinishReason] = ["length"] * n
        self.has_ended = np.zeros(n, dtype=np.bool_)
        self.allowed: NDArray[np.bool_] | None = None

    def begin(self, logits: torch.Tensor) -> NDArray[np.int64]:
        """Draw the first token of each answer; see :meth:`go_on`."""
        self.allowed = self.progress.look()
        return self.go_on(np.arange(len(self.rooms)), logits)

    def go_on(self, active: NDArray[np.int64], logits: torch.Tensor) -> NDArray[np.int64]:
        """Draw a token for each active row that has not ended.

        Returns
        -------
        Token ids that follow, the drawn and the forced ones, then -1; shape ``(n, f)``.
        """
        import torch

        live = np.flatnonzero(~self.has_ended[active])
        rows = active[live]
        values = logits.cpu().numpy() if len(live) == len(active) else logits.cpu().numpy()[live]
        tokens = self.constraint.tokens
        tokens = np.arange(values.shape[1], dtype=np.int32) if tokens is None else tokens
        columns, logp = draw(
            values,
            self.allowed,
            tokens=tokens,
            seeds=self.seeds[rows],
            places=self.n_drawn[rows],
            limits=self.limits,
            n_threads=torch.get_num_threads(),
        )
        self.logp[rows] += logp
        taken, self.allowed = self.progress.follow(rows, columns)
        ended = self.progress.has_ended(rows)
        pending = np.full((len(active), taken.shape[1]), -1, dtype=np.int64)
        pending[live] = np.where(taken >= 0, tokens[taken], -1)
        self._note(rows, pending[live], ended)
        if self.allowed is not None:
            self.allowed = self.allowed[~self.has_ended[rows]]
        return pending

    def _note(
        self, rows: NDArray[np.int64], pending: NDArray[np.int64], ended: NDArray[np.bool_]
    ) -> None:
        for row, line, is_whole in zip(rows, pending, ended, strict=True):
            ids = line[line >= 0].tolist()
            self.n_drawn[row] += len(ids)
            self.ids[row] += ids[:-1] if is_whole else ids
            if is_whole:
                self.reasons[row] = "end"
            self.has_ended[row] = is_whole or self.n_drawn[row] >= self.rooms[row]
