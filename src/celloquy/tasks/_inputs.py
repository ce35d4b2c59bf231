"""What a task is asked about: kinds of inputs, and how each becomes segments of a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from celloquy.errors import InputError
from celloquy.tasks._quoting import quoted, unquoted
from celloquy.tasks._spoken import article
from celloquy.text import Counted, Field, Names, Segment, Text, Vocabulary, field_text
from celloquy.text._multicell import together

InputKind = Literal["cell", "cells", "gene", "genes", "field", "labels", "number", "count"]
KINDS: tuple[InputKind, ...] = get_args(InputKind)
Value = str | int | Names | Sequence[Names] | Sequence[str]
"""What an input can be given."""


@dataclass(frozen=True)
class Input:
    """One thing that a task is asked about."""

    name: str
    """How templates and values name it."""
    kind: InputKind
    """``cell`` and ``cells``: the genes of a cell, of several cells; ``gene`` and ``genes``: names
    that are never cut; ``field``: a value of the user's metadata; ``labels``: a set of labels;
    ``number``: a whole number; ``count``: how many genes or cells another input has."""
    summary: str = ""
    """What it is, in words."""
    default: str | None = None
    """What is taken where no value is given; `None` asks for one."""
    of: str | None = None
    """The input that a ``count`` counts."""

    def segments(
        self, values: Mapping[str, Value], *, is_quoted: bool, with_article: bool
    ) -> list[Segment]:
        """Write the input's value as segments.

        Parameters
        ----------
        values
            Value of each input, defaults filled in.
        is_quoted
            Whether a user's own words stand between quotation marks.
        with_article
            Whether "a" or "an" stands before the value.

        Raises
        ------
        InputError
            If the value is not of the input's kind.
        """
        value = values[self.of if self.of is not None else self.name]
        write = quoted if is_quoted else unquoted
        if self.kind == "field":
            words: list[Segment] = [Field(write(value), is_bare=not is_quoted)]
            return [Text(f"{article(field_text(value))} "), *words] if with_article else words
        if self.kind == "labels":
            labels = self._strings(value)
            return _listed([Field(write(label), is_bare=not is_quoted) for label in labels])
        if self.kind == "number":
            return [Text(self._number(value))]
        if self.kind == "cells":
            return list(together([(cell,) for cell in self._cells(value)]))
        if self.kind == "count":
            return [self._count(value)]
        return [self._names(value)]

    def _count(self, value: Value) -> Text:
        """Count the genes of a cell, which a budget may cut, or cells, which it never does."""
        if isinstance(value, Names):
            return Counted.of(len(value.ids))
        return Text(str(len(self._strings(value) if _are_strings(value) else self._cells(value))))

    def _names(self, value: Value) -> Names:
        """Take the genes of one cell, or names of genes.

        Raises
        ------
        InputError
            If they are of another kind.
        """
        if isinstance(value, Names):
            if self.kind != "gene" or len(value.ids) == 1:
                return value if self.kind == "cell" else replace(value, may_cut=False)
            msg = f"`{self.name}` is one gene, and {len(value.ids)} were given."
            raise InputError(msg, hint="ask about one gene at a time.")
        if self.kind == "cell":
            msg = f"`{self.name}` is the genes of a cell (Names), not {_what(value)}."
            hint = "take it from the prompts of `cq.sentences(adata)`."
            raise InputError(msg, hint=hint)
        names = [value] if isinstance(value, str) and self.kind == "gene" else self._strings(value)
        for name in names:
            if not name or not name.isprintable() or any(letter.isspace() for letter in name):
                msg = f"`{self.name}` holds {name!r}, which cannot be the name of a gene."
                raise InputError(msg, hint="a gene's name is one word.")
        kinds = tuple(dict.fromkeys(names))
        ids = np.array([kinds.index(name) for name in names], dtype=np.int32)
        return Names(ids, Vocabulary(kinds), may_cut=False)

    def _cells(self, value: Value) -> list[Names]:
        """Take the genes of several cells.

        Raises
        ------
        InputError
            If they are of another kind, or none.
        """
        cells = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else []
        found = [cell for cell in cells if isinstance(cell, Names)]
        if not found or len(found) != len(cells):
            msg = f"`{self.name}` is the genes of several cells, not {_what(value)}."
            raise InputError(msg, hint="give a list with one Names a cell.")
        return found

    def _strings(self, value: Value) -> list[str]:
        """Take several words.

        Raises
        ------
        InputError
            If they are of another kind, or none.
        """
        if _are_strings(value) and isinstance(value, Sequence) and len(value):
            return [str(word) for word in value]
        msg = f"`{self.name}` is a list of words, not {_what(value)}."
        raise InputError(msg, hint="give a list, such as ['B cell', 'T cell'].")

    def _number(self, value: Value) -> str:
        """Take a whole number above 0.

        Raises
        ------
        InputError
            If it is none.
        """
        words = str(value)
        if not isinstance(value, (str, int)) or not words.isascii() or not words.isdigit():
            msg = f"`{self.name}` is a whole number, not {_what(value)}."
            raise InputError(msg, hint="give digits only, such as 100.")
        if int(words) < 1:
            msg = f"`{self.name}` must be at least 1, got {words}."
            raise InputError(msg, hint="give a number above 0.")
        return words


def _are_strings(value: Any) -> bool:  # noqa: ANN401 (any value of a user)
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and all(isinstance(word, str) for word in value)
    )


def _listed(fields: Sequence[Segment]) -> list[Segment]:
    """Write some fields with commas between them."""
    segments: list[Segment] = []
    for field in fields:
        segments += [Text(", "), field] if segments else [field]
    return segments


def _what(value: object) -> str:
    if isinstance(value, Names):
        return f"the genes of one cell ({len(value.ids)} names)"
    return f"{value!r}" if isinstance(value, (str, int)) else f"a {type(value).__name__}"
