"""The best of several cells: the model reads back what it wrote, and the surest is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from celloquy._runtime import rng_for
from celloquy.errors import InputError
from celloquy.learn import answer_probabilities
from celloquy.roles._asking import prepare
from celloquy.roles._predict_options import PredictOptions
from celloquy.roles._taught import reading_of
from celloquy.tasks import list_tasks, load_task
from celloquy.text import Names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from celloquy.lm import LanguageModel
    from celloquy.roles._asking import Asking
    from celloquy.roles._generate_prompts import Wanted
    from celloquy.tasks import Task


@dataclass(frozen=True, eq=False)
class ReadBack:
    """The question that a written cell answers: which label was asked for."""

    field: str
    """The input of the task that says the label, and the name of the task that asks for it."""
    asking: Asking
    """That task, and the labels that are told apart."""

    def probabilities(self, cells: Sequence[Names], labels: Sequence[str]) -> NDArray[np.float64]:
        """Give the probability of each cell's label after reading its genes; shape ``(n,)``."""
        asking = self.asking
        plan = asking.lm.plan(
            asking.prompts([[one] for one in cells], pd.DataFrame(index=range(len(cells)))),
            n_answer_tokens=asking.n_answer_tokens(),
        )
        scores = asking.lm.score(plan, asking.answers)
        told = answer_probabilities(scores.logp, scores.n_tokens)
        place = {label: i for i, label in enumerate(asking.labels)}
        return told[np.arange(len(cells)), [place[label] for label in labels]]


def read_back(task: Task, lm: LanguageModel, fields: Mapping[str, Sequence[str]]) -> ReadBack:
    """Find the question that tells whether a written cell is what was asked for.

    Parameters
    ----------
    task
        What cells are written for.
    lm
        The model that writes, and reads.
    fields
        Value of each input for each cell.

    Raises
    ------
    InputError
        If no input that says what is wanted is itself the answer of a task about one cell, the
        model scores no answers, or there are fewer than two labels.
    """
    name = next((one for one in fields if _is_label_of_a_cell(one)), None)
    if name is None or task.answer.kind != "genes":
        msg = f"What task {task.name!r} writes cannot be read back: no input of it is the answer "
        msg += "of a task about one cell."
        raise InputError(msg, hint="leave `n_candidates` at 1, or ask for a `cell_type`.")
    question = load_task(name)
    asked = list(dict.fromkeys(fields[name]))
    taught = reading_of(lm)
    known = () if taught is None else taught.labels.get(name, ())
    labels = [*known, *(label for label in asked if label not in known)]
    if len(labels) < 2:
        msg = f"{labels[0]!r} is the only {name} there is, so that nothing tells cells apart."
        raise InputError(msg, hint="ask for several, or leave `n_candidates` at 1.")
    inputs = {one.name for one in question.asked_for}
    same = {one: said[0] for one, said in fields.items() if one in inputs and len({*said}) == 1}
    options = PredictOptions(fields=same)
    return ReadBack(name, prepare(question, lm=lm, labels=labels, options=options))


def _is_label_of_a_cell(name: str) -> bool:
    if name not in list_tasks():
        return False
    task = load_task(name)
    return task.answer.kind == "label" and "cell" in {one.kind for one in task.asked_for}


def seeds_of(seed: int, answers: range, *, candidate: int = 0) -> list[int]:
    """Give the seed of each answer: it depends on `seed` and the numbers alone."""
    words = ("answer",) if candidate == 0 else ("candidate", candidate)
    return [int(rng_for(seed, *words, answer).integers(2**63)) for answer in answers]


def write_chosen(wanted: Wanted, answers: range, *, seed: int) -> list[dict[str, Any]]:
    """Write each cell; of several candidates keep the one that is surest what was asked for.

    The first candidate is the cell that is written without others; of equal ones the first stays.

    Parameters
    ----------
    wanted
        What is asked for.
    answers
        Numbers of the answers.
    seed
        Seed of everything random.
    """
    plan = wanted.lm.plan([wanted.prompt(one) for one in answers], n_answer_tokens=wanted.room)
    contrasts = wanted.contrasts(answers)
    others = None
    if contrasts is not None:
        others = wanted.lm.plan(contrasts, n_answer_tokens=wanted.room)
    best: list[dict[str, Any]] = []
    for candidate in range(wanted.options.n_candidates):
        found = wanted.lm.generate(
            plan,
            wanted.constraint(),
            seeds=seeds_of(seed, answers, candidate=candidate),
            limits=wanted.limits,
            contrast=others,
        )
        told = [
            {
                "answer": text,
                "logp": None if np.isnan(logp) else float(logp),
                "finish_reason": why,
                "n_prompt_genes_cut": int(cut),
            }
            for text, logp, why, cut in zip(
                found.texts, found.logp, found.finish_reasons, plan.n_names_cut, strict=True
            )
        ]
        best = _surer(best, _read_back(told, wanted, answers))
    return best


def _read_back(told: list[dict[str, Any]], wanted: Wanted, answers: range) -> list[dict[str, Any]]:
    """Add how sure each cell is what was asked for, where that is asked."""
    if wanted.question is None:
        return told
    labels = [wanted.fields[wanted.question.field][answer] for answer in answers]
    sure = wanted.question.probabilities([_genes(one["answer"], wanted) for one in told], labels)
    return [one | {"p_asked": float(p)} for one, p in zip(told, sure, strict=True)]


def _surer(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep the surer one of each pair; the old one of equals."""
    pairs = zip(old, new, strict=True)
    return [b if b["p_asked"] > a["p_asked"] else a for a, b in pairs] if old else new


def _genes(text: str, wanted: Wanted) -> Names:
    """Read the genes of an answer; none where it cannot be read."""
    parsed = wanted.task.parse(text, allowed=wanted.vocabulary)
    names = parsed.value if parsed.is_valid else ()
    places = [wanted.vocabulary.positions[name] for name in names]
    return Names(np.array(places, dtype=np.int32), wanted.vocabulary)
