"""What a language model calls clusters, from their markers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy.errors import InputError
from celloquy.knowledge import has_table, marker_panel, read_table
from celloquy.learn import UNKNOWN, answer_probabilities, top_answers
from celloquy.lm import Limits
from celloquy.roles._asking import told_where
from celloquy.roles._reconcile import same_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from celloquy.lm import LanguageModel
    from celloquy.tasks import Task

MAX_ANSWER_TOKENS = 48
"""Tokens of a name in the model's own words."""
_LIMITS = Limits(max_new_tokens=MAX_ANSWER_TOKENS, temperature=0)


@dataclass(frozen=True)
class ClusterName:
    """One answer."""

    name: str
    """A label, a name in the model's own words, or ``"unknown"``."""
    score: float = float("nan")
    """Its probability among the labels; NaN where there is none."""
    second: str = ""
    """The runner-up among the labels."""
    second_score: float = float("nan")
    """Its probability."""
    is_known: bool = False
    """Whether it is one of the labels, or a cell type that the panel or the ontology knows; not
    where there is no name."""
    why: str = ""
    """Why there is no name, or what is to be known of it."""


@dataclass(frozen=True, eq=False)
class Naming:
    """How clusters are named."""

    task: Task
    """What is asked: a task with an input of genes, answered with a label."""
    lm: LanguageModel
    """Who answers."""
    labels: tuple[str, ...] | None
    """The closed set; `None` takes names in the model's own words."""
    fields: Mapping[str, str]
    """Inputs of the task besides the markers."""
    template: int
    """Which of the task's templates is used."""
    min_score: float
    """Less likely labels are "unknown"."""
    seed: int
    """Seed of answers in the model's own words, which are greedy all the same."""

    def check(self) -> None:
        """Refuse a task or a model that cannot name clusters; ask nothing.

        Raises
        ------
        InputError
            If the task has no input of genes or no label for an answer, an input is missing,
            or the model can neither score nor write as needed.
        """
        if self.task.answer.kind != "label" or self._place is None:
            msg = f"Task {self.task.name!r} does not name a cell type from genes."
            raise InputError(msg, hint="leave the task out for `cluster_cell_type`.")
        self._prompt(["A"])
        verb = "generate" if self.labels is None else "score"
        if verb not in self.lm.capabilities:
            able = " and ".join(sorted(self.lm.capabilities)) or "do nothing"
            msg = f"'{self.lm.name}' cannot {verb}, which naming clusters needs; it can {able}."
            raise InputError(msg, hint="take a decoder (`hf:…`) or a server (`openai:…`).")

    @property
    def _place(self) -> str | None:
        return next((one.name for one in self.task.asked_for if one.kind == "genes"), None)

    def _prompt(self, genes: Sequence[str]) -> Any:  # noqa: ANN401 (a prompt)
        values: dict[str, Any] = {**self.fields, str(self._place): list(genes)}
        return self.task.prompt(values, template=self.template)

    def prompts(self, markers: Mapping[str, Sequence[str]]) -> list[Any]:
        """Ask about each cluster's markers."""
        return [self._prompt(genes) for genes in markers.values()]

    def ask(self, markers: Mapping[str, Sequence[str]]) -> dict[str, ClusterName]:
        """Name clusters; those without markers are not asked about.

        Parameters
        ----------
        markers
            Marker genes of each cluster, best first.
        """
        names = {cluster: ClusterName(UNKNOWN, why="no markers") for cluster in markers}
        asked = {cluster: genes for cluster, genes in markers.items() if len(genes)}
        if asked:
            expect = getattr(self.lm, "expect", None)
            if expect is not None:
                expect(len(asked))
            with told_where(list(asked), what="cluster"):
                find = self._in_own_words if self.labels is None else self._of_the_set
                found = find(self.prompts(asked))
            names |= dict(zip(asked, found, strict=True))
        return names

    def shown(self, markers: Mapping[str, Sequence[str]]) -> str:
        """Show what would be asked first; nothing is."""
        plan = self.lm.plan(self.prompts(markers))
        n_tokens = int(plan.n_tokens.sum())
        dry_run = getattr(self.lm, "dry_run", None)
        if dry_run is None:
            said = f"The first prompt:\n\n{plan.texts[0]}"
        elif self.labels is None:
            said = str(dry_run(plan, limits=_LIMITS))
        else:
            said = str(dry_run(plan, [self.task.answer_text(label) for label in self.labels]))
        return f"{len(plan)} prompts, one a cluster, of {n_tokens:,} tokens\n\n{said}"

    def _of_the_set(self, prompts: Sequence[Any]) -> list[ClusterName]:
        labels = self.labels or ()
        answers = [self.task.answer_text(label) for label in labels]
        scores = self.lm.score(prompts, answers)
        if np.isnan(scores.logp).any():
            why = getattr(scores, "why", ("",) * len(prompts))
            return [
                ClusterName(UNKNOWN, why=said or "no answer of the set")
                if best < 0
                else ClusterName(labels[best], is_known=True, why="no probabilities")
                for best, said in zip(scores.best, why, strict=True)
            ]
        top = top_answers(answer_probabilities(np.maximum(scores.logp, -1e6), scores.n_tokens), 2)
        found = []
        for codes, (first, second) in zip(top.codes, top.probabilities, strict=True):
            is_sure = first >= self.min_score
            found.append(
                ClusterName(
                    labels[codes[0]] if is_sure else UNKNOWN,
                    float(first),
                    labels[codes[1]] if codes[1] >= 0 else "",
                    float(second),
                    is_known=bool(is_sure),
                    why="" if is_sure else f"{labels[codes[0]]!r} is too unlikely",
                )
            )
        return found

    def _in_own_words(self, prompts: Sequence[Any]) -> list[ClusterName]:
        said = self.lm.generate(prompts, None, seeds=[self.seed] * len(prompts), limits=_LIMITS)
        known = known_types()
        found = []
        for text, reason in zip(said.texts, said.finish_reasons, strict=True):
            parsed = self.task.parse(text)
            if not parsed.is_valid or reason != "end":
                why = parsed.why or f"the answer ended by {reason}: {text[:60]!r}"
                found.append(ClusterName(UNKNOWN, why=why))
                continue
            alike = next((name for name in known if same_name(name, str(parsed.value))), None)
            why = "" if alike else "not a cell type of the panel or the ontology"
            found.append(
                ClusterName(alike or str(parsed.value), is_known=alike is not None, why=why)
            )
        return found


def known_types() -> list[str]:
    """List the cell types of the panel, and of the Cell Ontology where its table is there."""
    names = list(dict.fromkeys(marker_panel()["cell_type"]))
    if has_table("ontology"):
        names += [str(name) for name in read_table("ontology")["label"]]
    return names
