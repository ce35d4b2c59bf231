"""Answers that are JSON of a schema, by llguidance."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy._runtime import require
from celloquy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from celloquy.lm._formats import PromptFormat
    from celloquy.text import JSONSchema


def compile_schema(constraint: JSONSchema, words: PromptFormat) -> SchemaGrammar:
    """Turn a schema into a grammar over the tokens of one model.

    Raises
    ------
    InputError
        If the schema cannot be used.
    """
    guidance = require("llguidance", extra="llm", why="to hold answers to a JSON schema")
    end_ids = tuple(sorted(set(map(int, words.end_ids))))
    read = guidance.LLTokenizer(words.reader.tokenizer.to_str(), eos_token=list(end_ids))
    try:
        grammar = guidance.LLMatcher.grammar_from_json_schema(
            json.dumps(dict(constraint.schema)), defaults={"whitespace_flexible": False}
        )
        problem = guidance.LLMatcher.validate_grammar(grammar, read)
    except (TypeError, ValueError) as error:
        problem = str(error)
    if problem:
        msg = f"The JSON schema cannot be used: {problem.splitlines()[0]}"
        raise InputError(msg, hint="see json-schema.org; the error names the place.")
    tokens = np.arange(read.vocab_size, dtype=np.int32)
    return SchemaGrammar(grammar, read, guidance.LLMatcher, tokens, end_ids)


@dataclass(frozen=True, eq=False)
class SchemaGrammar:
    """A JSON schema as a grammar over tokens."""

    grammar: str
    """The grammar, as llguidance writes it."""
    read: Any
    """llguidance's form of the tokenizer."""
    matcher: Any
    """llguidance's matcher class."""
    tokens: NDArray[np.int32]
    """All tokens of the tokenizer."""
    end_ids: tuple[int, ...]
    """Tokens that end an answer."""
    likely = None

    def start(self, rooms: NDArray[np.int64], n_forced: int = 0) -> SchemaProgress:
        """Begin an answer in each row; one that finds no end in its room is cut off."""
        del n_forced
        one = self.matcher(self.read, self.grammar)
        matchers = [one.deep_copy() for _ in rooms]
        return SchemaProgress(matchers, len(self.tokens), rooms.copy(), self.end_ids)


class SchemaProgress:
    """Answers that walk through a grammar."""

    def __init__(
        self,
        matchers: Sequence[Any],
        width: int,
        rooms: NDArray[np.int64],
        end_ids: tuple[int, ...],
    ) -> None:
        self.matchers = matchers
        self.rooms = rooms
        self.end_ids = end_ids
        self.width = width
        self.ended = np.zeros(len(rooms), dtype=np.bool_)

    def look(self) -> NDArray[np.bool_]:
        """Say which tokens may come first."""
        return self._masks(np.arange(len(self.matchers)))

    def follow(
        self, active: NDArray[np.int64], columns: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Take a token in each active row."""
        for row, column in zip(active, columns, strict=True):
            is_end = column in self.end_ids
            if not is_end:
                self.matchers[row].consume_token(int(column))
            self.ended[row] = is_end
        self.rooms[active] -= 1
        return columns[:, None].astype(np.int64), self._masks(active)

    def has_ended(self, active: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say which rows are complete."""
        return np.asarray(self.ended[active])

    def _masks(self, active: NDArray[np.int64]) -> NDArray[np.bool_]:
        from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask

        bits = allocate_token_bitmask(len(active), self.width)
        for line, row in enumerate(active):
            if not self.ended[row]:
                fill_next_token_bitmask(self.matchers[row], bits, line)
        spread = np.unpackbits(bits.view(np.uint8), axis=1, bitorder="little")
        return np.asarray(spread[:, : self.width], dtype=np.bool_)
