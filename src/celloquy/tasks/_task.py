"""A task: what is asked, in which words, how the answer is read, and what it is measured by."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from celloquy._runtime import closest
from celloquy.errors import InputError
from celloquy.tasks._answers import Allowed, Answer, Asked, ParsedAnswer
from celloquy.tasks._constrain import constraint_of
from celloquy.tasks._parsers import PARSERS
from celloquy.text import Constraint, Prompt, Segment, Text
from celloquy.text._template import Gap, cut_template

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from celloquy.tasks._inputs import Input, Value


@dataclass(frozen=True, eq=False)
class Task:
    """A question about cells or genes, with its parser and metrics."""

    name: str
    """How it is asked for."""
    version: int
    """Version of the form of its file."""
    summary: str
    """What it asks, in one line."""
    inputs: Mapping[str, Input]
    """What it is asked about."""
    templates: tuple[str, ...]
    """The ways to ask, with gaps for the inputs; the first is used unless another is named."""
    answer: Answer
    """What it is answered with."""
    metrics: tuple[str, ...]
    """Names of what answers are measured by, the main one first."""
    sha256: str
    """SHA-256 of all that its file says."""
    is_quoted: bool = True
    """Whether a user's own words stand between quotation marks in its prompts."""
    contrast: str = ""
    """The task that asks for the same without saying what is wanted: a cell of any type. Guided
    answers are drawn away from it; empty if there is none."""
    note: str = ""
    """What is to be known before it is used."""
    source: str = ""
    """The file that it was read from."""

    @property
    def metric(self) -> str:
        """The main metric."""
        return self.metrics[0]

    @cached_property
    def asked_for(self) -> tuple[Input, ...]:
        """The inputs that a user gives values for."""
        return tuple(given for given in self.inputs.values() if given.kind != "count")

    def prompt(self, values: Mapping[str, Value], *, template: int = 0) -> Prompt:
        """Ask about some values.

        Parameters
        ----------
        values
            Value of each input; those with a default may be left out.
        template
            Which of the ways to ask; the first is the one for asking, the others are for
            training.

        Raises
        ------
        InputError
            If a value is missing, unknown or of another kind, or there is no such template.
        """
        if not 0 <= template < len(self.templates):
            msg = (
                f"Task {self.name!r} has templates 0 to {len(self.templates) - 1}, not {template}."
            )
            raise InputError(msg, hint="leave `template` out for the first.")
        filled = self.complete(values)
        segments: list[Segment] = []
        for part in cut_template(self.templates[template]):
            if isinstance(part, Gap):
                given = self.inputs[part.column or part.kind]
                article = part.kind == "a" and bool(part.column)
                segments += given.segments(filled, is_quoted=self.is_quoted, with_article=article)
            else:
                segments.append(Text(part))
        return tuple(segments)

    def complete(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Add the defaults to some values.

        Raises
        ------
        InputError
            If a value is missing, or belongs to no input.
        """
        names = [given.name for given in self.asked_for]
        for name in values:
            if name not in names:
                msg = f"Task {self.name!r} has no input {name!r}{closest(name, names)}."
                raise InputError(msg, hint=f"its inputs are: {', '.join(names) or 'none'}.")
        filled: dict[str, Value] = {}
        for given in self.asked_for:
            if given.name in values:
                filled[given.name] = values[given.name]
            elif given.default is not None:
                filled[given.name] = given.default
            else:
                msg = f"Task {self.name!r} needs a value for {given.name!r}."
                hint = f"`--set {given.name}=…`, or give it by a column of obs."
                raise InputError(msg, hint=hint)
        return filled

    def answer_text(self, value: Any) -> str:  # noqa: ANN401 (one kind of value a kind of answer)
        """Write the answer that says `value`: a label, genes, cells, a mapping, or a text.

        Raises
        ------
        InputError
            If `value` cannot be an answer of this task.
        """
        return self.answer.text(value)

    def parse(
        self, text: str, *, allowed: Allowed | None = None, n: int | None = None
    ) -> ParsedAnswer:
        """Read an answer; what does not answer the question is invalid, never guessed at.

        Parameters
        ----------
        text
            What a language model wrote.
        allowed
            The labels or genes that it may name; `None` takes those of the task, if it has any.
        n
            How many cells the answer is about, where that is known.
        """
        head, tail = self.answer.around
        known: Allowed | None = self.answer.labels if allowed is None else allowed
        asked = Asked(known, n, head, tail, self.answer.options)
        return PARSERS[self.answer.parser](text, asked)

    def constraint(
        self, allowed: Iterable[str] | Mapping[str, int] | None = None, *, n: int | None = None
    ) -> Constraint | None:
        """Say what a language model may write: labels, genes or JSON; `None` for free text.

        Parameters
        ----------
        allowed
            The labels or genes; `None` takes the labels of the task.
        n
            How many genes (all different), or how many cells.

        Raises
        ------
        InputError
            If `allowed` or `n` is needed and missing, or a label cannot be an answer.
        """
        return constraint_of(self.answer, allowed, n=n, task=self.name)
