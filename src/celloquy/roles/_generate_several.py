"""Several cells in one answer: each held to different genes, after those written before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy._runtime import rng_for
from celloquy.text import Text

if TYPE_CHECKING:
    from celloquy.roles._generate_prompts import Wanted


def write_several(wanted: Wanted, answers: range, *, seed: int) -> list[dict[str, Any]]:
    """Write answers of several cells, one cell of each answer at a time.

    The model reads what it wrote before: ``Cell 1:``, a line of genes and a full stop, ``Cell
    2:`` and so on. The words between the genes are given, so the log-probability of an answer is
    that of its genes. A cell's random numbers depend on the seed, the answer and its place.

    Parameters
    ----------
    wanted
        What is asked for.
    answers
        Numbers of the answers.
    seed
        Seed of everything random.
    """
    begun = [_Begun(wanted.n_cells(answer) or 1) for answer in answers]
    prompts = [wanted.prompt(answer) for answer in answers]
    for place in range(max(one.n_cells for one in begun)):
        rows = [row for row, one in enumerate(begun) if one.n_cells > place]
        seeds = [int(rng_for(seed, "answer", answers[row], place).integers(2**63)) for row in rows]
        plan = wanted.lm.plan(
            [(*prompts[row], Text(wanted.joint + begun[row].text, "assistant")) for row in rows],
            n_answer_tokens=wanted.room,
        )
        found = wanted.lm.generate(
            plan, wanted.constraint(), seeds=seeds, limits=wanted.options.limits
        )
        for at, row in enumerate(rows):
            begun[row].add(found.texts[at], float(found.logp[at]), found.finish_reasons[at])
            begun[row].n_cut = int(plan.n_names_cut[at])
    return [one.answer() for one in begun]


class _Begun:
    """An answer of which some cells are written."""

    def __init__(self, n_cells: int) -> None:
        self.n_cells = n_cells
        self.text = "Cell 1:\n"
        self.logp = 0.0
        self.finish_reason = "end"
        self.n_cut = 0
        self._n_written = 0

    def add(self, genes: str, logp: float, finish_reason: str) -> None:
        """Add a cell's genes, and open the next cell."""
        self._n_written += 1
        self.text += f"{genes}."
        self.logp += logp
        if finish_reason != "end":
            self.finish_reason = finish_reason
        if self._n_written < self.n_cells:
            self.text += f"\nCell {self._n_written + 1}:\n"

    def answer(self) -> dict[str, Any]:
        """Give what was written, as one answer is kept."""
        return {
            "answer": self.text,
            "logp": None if np.isnan(self.logp) else self.logp,
            "finish_reason": self.finish_reason,
            "n_prompt_genes_cut": self.n_cut,
        }
