"""Answers: how a value becomes the words of an answer, and what was read back out of words."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from celloquy._runtime import closest
from celloquy.errors import InputError
from celloquy.text import Names, Vocabulary
from celloquy.text._fields import one_line
from celloquy.text._template import Gap, cut_template

AnswerKind = Literal["label", "genes", "cells", "text", "json"]
ANSWER_KINDS: tuple[AnswerKind, ...] = get_args(AnswerKind)
Allowed = Collection[str] | Mapping[str, int] | Vocabulary
"""The labels or genes that an answer may name; a mapping says how often each label comes."""


@dataclass(frozen=True)
class ParsedAnswer:
    """What an answer says."""

    value: Any
    """A label, a tuple of genes, a tuple of cells, a mapping from cell to label, or a text; `None`
    where the answer cannot be used."""
    is_valid: bool
    """Whether the answer can be used."""
    why: str = ""
    """Why it cannot, or what was left out of it."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Of genes: how many were ``known``, ``unknown`` and ``repeated``."""

    @staticmethod
    def unusable(why: str, **counts: int) -> ParsedAnswer:
        """Say that an answer cannot be used, and why."""
        return ParsedAnswer(None, is_valid=False, why=why, counts=counts)


@dataclass(frozen=True)
class Asked:
    """What a parser knows of the question."""

    allowed: Allowed | None = None
    """The labels or genes that the answer may name; `None` allows all."""
    n: int | None = None
    """How many cells or genes were asked for, if that is known."""
    head: str = ""
    """Words of the answer's template before the gap."""
    tail: str = ""
    """Words of the answer's template after the gap."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The parser's options, from the task's file."""

    def bare(self, text: str) -> str:
        """Take the words of the answer's template off, if they are there."""
        text = text.strip()
        head, tail = self.head.strip(), self.tail.strip()
        if head and text.startswith(head):
            text = text[len(head) :].lstrip()
        return text[: -len(tail)].rstrip() if tail and text.endswith(tail) else text

    def labels(self) -> tuple[str, ...] | None:
        """Give the allowed labels, in their order."""
        if isinstance(self.allowed, Vocabulary):
            return self.allowed.names
        return None if self.allowed is None else tuple(self.allowed)


@dataclass(frozen=True)
class Answer:
    """What a task is answered with."""

    kind: AnswerKind
    """``label``, ``genes`` (of one cell), ``cells`` (genes of several), ``text`` or ``json`` (a
    mapping from cell to label)."""
    template: str
    """The words of the answer, with one gap."""
    parser: str
    """The name of what reads it; see :data:`PARSERS`."""
    labels: tuple[str, ...] | None = None
    """The labels that the task always has; `None` where the user brings them."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The parser's options."""

    @property
    def gap(self) -> str:
        """The name of the gap."""
        return next(part.kind for part in cut_template(self.template) if isinstance(part, Gap))

    @property
    def around(self) -> tuple[str, str]:
        """The words before and after the gap."""
        parts = cut_template(self.template)
        at = next(i for i, part in enumerate(parts) if isinstance(part, Gap))
        words = [part if isinstance(part, str) else "" for part in parts]
        return "".join(words[:at]), "".join(words[at + 1 :])

    def text(self, value: Any) -> str:  # noqa: ANN401 (one kind of value a kind of answer)
        """Write the answer that says `value`.

        Raises
        ------
        InputError
            If `value` is not of the answer's kind, or no label of it.
        """
        head, tail = self.around
        return f"{head}{self._words(value)}{tail}"

    def _words(self, value: Any) -> str:  # noqa: ANN401 (one kind of value a kind of answer)
        if self.kind == "label":
            return checked_label(value, self.labels)
        if self.kind == "genes":
            return _genes(value)
        if self.kind == "cells":
            blocks = (f"Cell {i}:\n{_genes(cell)}." for i, cell in enumerate(value, start=1))
            return "\n".join(blocks)
        if self.kind == "json":
            given = value if isinstance(value, Mapping) else dict(enumerate(value, start=1))
            cells = {
                name if isinstance(name, str) else f"Cell {name}": checked_label(label, None)
                for name, label in given.items()
            }
            return json.dumps(cells, ensure_ascii=False)
        return str(value)


def checked_label(label: object, labels: Sequence[str] | None) -> str:
    """Give a label back if it can be an answer.

    Raises
    ------
    InputError
        If it is no text, empty, of several lines, or none of `labels`.
    """
    if not isinstance(label, str) or not label.strip():
        msg = f"A label is a text, not {label!r}."
        raise InputError(msg, hint="leave cells without a label out, or name them.")
    if one_line(label) != label:
        msg = f"The label {label!r} holds line breaks, tabs or spaces at an end."
        raise InputError(msg, hint=f"write it on one line: {one_line(label)!r}.")
    if labels is not None and label not in labels:
        msg = f"The task has no label {label!r}{closest(label, labels)}."
        raise InputError(msg, hint=f"its labels are: {', '.join(labels)}.")
    return label


def _genes(value: Names | Sequence[str]) -> str:
    """Write genes with a space between.

    Raises
    ------
    InputError
        If a name holds white space, or the genes are one text.
    """
    if isinstance(value, Names):
        return value.text
    if isinstance(value, str):
        msg = f"Genes are a list of names, not the text {value[:40]!r}."
        raise InputError(msg, hint="split the text first: `text.split()`.")
    for name in value:
        if name.split() != [name]:
            msg = f"{name!r} cannot be the name of a gene."
            raise InputError(msg, hint="a gene's name is one word.")
    return " ".join(value)
