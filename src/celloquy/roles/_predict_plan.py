"""What predict would ask, and what that takes, without asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from celloquy._runtime import count_of
from celloquy.errors import InputError
from celloquy.roles._asking import prepare
from celloquy.roles._cells import open_cells
from celloquy.roles._predict import announce, plans_of
from celloquy.roles._predict_options import PredictOptions
from celloquy.roles._predict_rows import rows_of
from celloquy.roles._taught import reading_of

if TYPE_CHECKING:
    import os

    from celloquy.lm import LanguageModel, PromptPlan
    from celloquy.roles._asking import Asking
    from celloquy.roles._labels import Labels
    from celloquy.roles._targets import Source
    from celloquy.tasks import Task


@dataclass(frozen=True)
class PredictionPlan:
    """What would be asked; nothing was."""

    first_prompt: str
    """The first prompt, as the model would read it."""
    labels: tuple[str, ...]
    """The labels that answers are chosen from."""
    n_prompts: int
    """Prompts: one a cell, or one a group of cells."""
    n_prompt_tokens: int
    """Tokens of all prompts; of a server, an estimate."""
    n_answer_tokens: int
    """Tokens of all labels together, read on top of each prompt."""
    n_genes_cut: int
    """Genes that would not fit."""
    n_prompts_cut: int
    """Prompts of which genes would be cut."""
    first_request: str = ""
    """What would be sent to a server, to whom and at what cost; empty for a local model."""

    def __str__(self) -> str:
        genes = count_of(self.n_genes_cut, "genes")
        cut = f"{genes} of {count_of(self.n_prompts_cut, 'prompts')} would not fit"
        said = [
            f"{count_of(self.n_prompts, 'prompts')} of {self.n_prompt_tokens:,} tokens, and the "
            f"{len(self.labels):,} labels of {self.n_answer_tokens:,} tokens on top of each",
            cut if self.n_genes_cut else "all genes that are named fit",
        ]
        shown = self.first_request or f"The first prompt:\n\n{self.first_prompt}"
        return "\n".join([*said, "", shown])


def plan_prediction(
    source: Source,
    task: Task | str | os.PathLike[str],
    *,
    lm: LanguageModel | str | None = None,
    labels: Labels | None = None,
    options: PredictOptions | None = None,
) -> PredictionPlan:
    """Say what :func:`predict` would ask and how many tokens that takes; nothing is asked.

    Parameters
    ----------
    source, task, lm, labels, options
        See :func:`predict`.

    Returns
    -------
    The first prompt and the tokens of all.

    Raises
    ------
    InputError
        As :func:`predict`, and if there is no cell.
    """
    options = options or PredictOptions()
    asking = prepare(task, lm=lm, labels=labels, options=options)
    options = asking.options
    n_prompts = n_tokens = n_genes = n_cut = 0
    first, request = "", ""
    with open_cells(
        source, verb="predict", read=options.read, needs="rankable", reading=reading_of(asking.lm)
    ) as cells:
        cells.warn_of_ensembl_ids(cells.reading)
        asking = asking.of_genes(cells.own_names)
        rows = rows_of(cells, asking, options)
        announce(asking, rows)
        for _, plan in plans_of(rows, asking):
            if not n_prompts:
                first, request = plan.texts[0], _request(asking, plan)
            n_prompts += len(plan)
            n_tokens += int(plan.n_tokens.sum())
            n_genes += int(plan.n_names_cut.sum())
            n_cut += int((plan.n_names_cut > 0).sum())
    if not n_prompts:
        msg = "There is no cell to ask about."
        raise InputError(msg, hint="pass cells.")
    return PredictionPlan(
        first, asking.labels, n_prompts, n_tokens, asking.n_label_tokens(), n_genes, n_cut, request
    )


def _request(asking: Asking, plan: PromptPlan) -> str:
    """Show what a server would get; nothing is sent."""
    dry_run = getattr(asking.lm, "dry_run", None)
    return "" if dry_run is None else str(dry_run(plan, asking.answers))
