"""How good a model is while it is trained: the loss, and each task's own metric."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy._runtime import rng_for
from celloquy.errors import InputError
from celloquy.lm._network import CausalNetwork
from celloquy.lm._score import score_answers
from celloquy.lm._score_seq2seq import score_answers_seq2seq
from celloquy.tasks import METRICS, list_tasks, load_task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from celloquy.tasks import Task
    from celloquy.training._model import TrainedModel
    from celloquy.training._ranks import Ranks
    from celloquy.training._tokens import TokenFile

OF_PROBABILITIES = ("roc_auc",)


@dataclass(frozen=True)
class Measured:
    """What an evaluation found."""

    loss: float
    """Mean loss of a token of an answer, in nats."""
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    """Metric of each task whose answers are a closed set, by the task's name."""

    @property
    def score(self) -> list[float]:
        """What checkpoints are ordered by: the mean of the metrics, then the loss; more is better.

        Without a metric the loss decides alone.
        """
        values = [value for found in self.metrics.values() for value in found.values()]
        return [float(np.mean(values)) if values else 0.0, -self.loss]


@dataclass(frozen=True)
class ClosedTask:
    """A task of the examples whose answers are a closed set."""

    name: str
    """Its name in the examples."""
    metric: str
    """What it is measured by."""
    answers: tuple[str, ...]
    """The allowed answers."""


def closed_tasks(
    train: TokenFile, valid: TokenFile, *, wanted: str, known: Mapping[str, Task] | None = None
) -> tuple[ClosedTask, ...]:
    """Find the tasks that have a metric of labels, and the answers that they allow.

    Parameters
    ----------
    train, valid
        The examples.
    wanted
        ``"task"``: tasks of the registry that answer with labels, each with its own metric.
        ``"loss"``: none. Else the name of a metric, for every task.
    known
        Tasks besides those of the registry, by name, such as those of a corpus.

    Raises
    ------
    InputError
        If there is no such metric, or a task has too many answers for a closed set.
    """
    if wanted == "loss":
        return ()
    if wanted != "task" and METRICS[wanted].name in OF_PROBABILITIES:
        msg = f"`evaluation.metric` is {wanted!r}, which needs probabilities, not answers."
        raise InputError(msg, hint="choose `accuracy`, `macro_f1` or another metric of labels.")
    found = []
    for name in sorted({entry["name"] for entry in valid.about["tasks"]}):
        metric = wanted if wanted != "task" else _own_metric(name, known or {})
        if metric is None:
            continue
        said = [part.answers(name) for part in (train, valid)]
        if any(some is None for some in said):
            msg = f"Task {name!r} has too many different answers to be measured by {metric!r}."
            raise InputError(msg, hint='write `metric = "loss"`.')
        answers = dict.fromkeys(answer for some in said for answer in some or ())
        found.append(ClosedTask(name, metric, tuple(answers)))
    return tuple(found)


def _own_metric(name: str, known: Mapping[str, Task]) -> str | None:
    """Give the first metric of labels of a task, if it is known and its answer is a label."""
    if name not in known and name not in list_tasks():
        return None
    task = known[name] if name in known else load_task(name)
    fitting = [one for one in task.metrics if one not in OF_PROBABILITIES]
    return fitting[0] if task.answer.kind == "label" and fitting else None


def chosen_rows(valid: TokenFile, *, most: int, seed: int) -> NDArray[np.int64]:
    """Draw the examples that are measured on: all, or `most` of them, the same every time."""
    if len(valid) <= most:
        return np.arange(len(valid))
    return np.sort(rng_for(seed, "valid").choice(len(valid), size=most, replace=False))


def measure_tasks(
    trained: TrainedModel,
    valid: TokenFile,
    rows: NDArray[np.int64],
    tasks: Sequence[ClosedTask],
    *,
    ranks: Ranks,
) -> dict[str, dict[str, float]]:
    """Ask the model for the likeliest allowed answer of every example, and measure the answers.

    Parameters
    ----------
    trained
        The model, in evaluation mode.
    valid
        The examples.
    rows
        Which of them.
    tasks
        Their tasks.
    ranks
        The processes; each asks about its share.

    Returns
    -------
    Metric and value, by task.
    """
    found: dict[str, dict[str, float]] = {}
    for task in tasks:
        of_task = [int(row) for row in rows if valid.task(int(row)) == task.name]
        if not of_task:
            continue
        said = _likeliest(trained, valid, of_task[ranks.rank :: ranks.world], task)
        pairs = ranks.gathered(said)
        truth, predictions = [a for a, _ in pairs], [b for _, b in pairs]
        value = METRICS[task.metric].measure(truth, predictions)
        found[task.name] = {task.metric: value}
    return found


def _likeliest(
    trained: TrainedModel, valid: TokenFile, rows: Sequence[int], task: ClosedTask
) -> list[tuple[str, str]]:
    """Give the truth and the likeliest allowed answer of examples."""
    if not rows:
        return []
    prompts = [valid.prompt(row) for row in rows]
    allowed = [trained.words.answer_ids(answer, ends=True) for answer in task.answers]
    if trained.is_seq2seq:
        logp: Any = score_answers_seq2seq(trained.model, prompts, allowed).logp
    else:
        network = CausalNetwork(trained.model, str(trained.model.device))
        logp = score_answers(network, prompts, allowed).logp
    own = valid.answers(task.name) or []
    truth = [own[valid.columns["said"][row]] for row in rows]
    return [(a, task.answers[best]) for a, best in zip(truth, logp.argmax(axis=1), strict=True)]
