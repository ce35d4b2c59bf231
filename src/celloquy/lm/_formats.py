"""How a prompt is written for a language model: one function for what is trained and asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from celloquy.errors import InputError
from celloquy.lm._formats_tokens import Piece, Tokens
from celloquy.text import Field, Text, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from celloquy.lm._formats_tokens import TokenReader
    from celloquy.text import Prompt, Segment

_ANCHOR = "A:"
"""Text before which an answer is read, so that it gets the tokens that it has after a prompt."""


class PromptFormat(ABC):
    """How prompts and answers become token ids.

    Text of segments never becomes a special token, and a field of metadata is one line: data
    cannot end a turn, speak for another role or add lines to a prompt.
    """

    name: str
    """What it is called in a record."""
    reader: TokenReader
    """The tokenizer."""
    end_ids: tuple[int, ...]
    """Tokens at which an answer ends when it is written."""
    closing: tuple[int, ...]
    """Tokens that follow an answer and are scored as its end; mostly one of `end_ids`."""

    @abstractmethod
    def render(self, prompt: Prompt | str, *, suffix: Prompt | str | None = None) -> list[Piece]:
        """Write a prompt as pieces, up to where the answer begins.

        Parameters
        ----------
        prompt
            The prompt as segments, or a plain text.
        suffix
            What follows the prompt's last words, where many are asked after one prompt.
        """

    head: Sequence[int] = ()
    """Special tokens before the text that are no part of it."""
    tail: Sequence[int] = ()
    """Special tokens after the text that are no part of it."""

    def text(self, prompt: Prompt | str) -> str:
        """Write a prompt as the text that is read, marks included."""
        return "".join(piece.text for piece in self.render(prompt))

    def ids(self, prompt: Prompt | str) -> NDArray[np.int32]:
        """Give the token ids of a prompt, up to where the answer begins."""
        return self.all_ids([prompt])[0]

    def all_ids(self, prompts: Sequence[Prompt | str]) -> list[NDArray[np.int32]]:
        """Give the token ids of prompts."""
        found = self.reader.ids([self.render(prompt) for prompt in prompts])
        return [self._complete(ids) for ids in found]

    def _complete(self, ids: NDArray[np.int32]) -> NDArray[np.int32]:
        return np.concatenate([self.head, ids, self.tail]).astype(np.int32)

    def tokens(
        self, prompts: Sequence[Prompt | str], *, suffixes: Sequence[Prompt | str] | None = None
    ) -> list[Tokens]:
        """Give the token ids of prompts, each with its suffix, and what each token is a part of."""
        after = suffixes if suffixes is not None else [()] * len(prompts)
        rendered = [self.render(p, suffix=s or None) for p, s in zip(prompts, after, strict=True)]
        around = (len(self.head), len(self.tail))
        return [
            Tokens(
                self._complete(found.ids),
                np.pad(found.is_gene, around),
                np.pad(found.is_suffix, around),
            )
            for found in self.reader.tokens(rendered)
        ]

    def answer_ids(self, answer: str, *, ends: bool) -> NDArray[np.int32]:
        """Give the tokens that an answer takes right after a prompt.

        Parameters
        ----------
        answer
            What is answered.
        ends
            Whether the token that ends an answer is added.

        Raises
        ------
        InputError
            If the answer has no token, or its end is wanted and the model has none.
        """
        (ids,) = self.encode_answers([answer])
        if not ids:
            msg = f"The answer {answer!r} has no token."
            raise InputError(msg, hint="leave out empty answers.")
        if ends and not self.closing:
            msg = "The model has no token that ends an answer."
            raise InputError(msg, hint="state `eos_token` in its tokenizer_config.json.")
        return np.array([*ids, *(self.closing if ends else ())], dtype=np.int32)

    @abstractmethod
    def encode_answers(self, answers: Sequence[str]) -> list[list[int]]:
        """Give the tokens that each answer takes right after a prompt, without its end."""

    def example_ids(self, prompt: Prompt | str, answer: str) -> tuple[NDArray[np.int32], int]:
        """Give the ids of a prompt and its answer, as they are trained, and the prompt's number.

        An encoder-decoder reads the two apart; see its own model.
        """
        asked = self.ids(prompt)
        return np.concatenate([asked, self.answer_ids(answer, ends=True)]), len(asked)

    def decode(self, ids: Sequence[int] | NDArray[np.int32]) -> str:
        """Write an answer's ids as text, without special tokens and without what joins it."""
        return self.reader.text([int(i) for i in ids])

    def _after(self, anchor: str, answers: Sequence[str], *, joint: str) -> list[list[int]]:
        """Give the ids of answers as they stand after some text.

        Where tokens of the two run together, an answer's own ids are taken.
        """
        (head,) = self.reader.data_ids([anchor])
        whole = self.reader.data_ids([anchor + joint + answer for answer in answers])
        alone = [row for row, ids in enumerate(whole) if ids[: len(head)] != head]
        found = [ids[len(head) :] for ids in whole]
        own = self.reader.data_ids([joint + answers[row] for row in alone])
        for row, ids in zip(alone, own, strict=True):
            found[row] = ids
        return found


class PlainFormat(PromptFormat):
    """The prompt's text as it is, and the answer after it.

    Parameters
    ----------
    reader
        The tokenizer.
    end_ids
        Tokens that end an answer.
    joint
        What stands between a prompt and its answer. With a space, spaces at a prompt's end are
        left out, because they belong to the answer's first token. Without anything, an answer
        is read alone, as where prompts and answers were tokenized apart in training.
    is_closed
        Whether the tokenizer's own tokens after a text are kept, as an encoder wants them.
    """

    def __init__(
        self,
        reader: TokenReader,
        *,
        end_ids: tuple[int, ...],
        joint: str = " ",
        is_closed: bool = False,
    ) -> None:
        self.name = "plain"
        self.reader = reader
        self.end_ids = end_ids
        self.closing = end_ids[:1]
        self.joint = joint
        self.head = reader.before
        self.tail = reader.after if is_closed else ()

    def render(self, prompt: Prompt | str, *, suffix: Prompt | str | None = None) -> list[Piece]:
        """Write the segments one after the other; see :meth:`PromptFormat.render`."""
        pieces = write_segments(prompt) + write_segments(suffix or (), is_suffix=True)
        return strip_end(pieces, " ") if self.joint == " " else pieces

    def encode_answers(self, answers: Sequence[str]) -> list[list[int]]:
        """Give the tokens of each answer as it stands after a prompt."""
        if not self.joint:
            return self.reader.data_ids(answers)
        return self._after(_ANCHOR, answers, joint=self.joint)

    def decode(self, ids: Sequence[int] | NDArray[np.int32]) -> str:
        """Write an answer's ids as text, without the space that joins it to the prompt."""
        return super().decode(ids).removeprefix(self.joint)


def as_segments(prompt: Prompt | str) -> Prompt:
    """Give a prompt's segments; a plain text is one."""
    return (Text(prompt),) if isinstance(prompt, str) else prompt


def segment_text(segment: Segment) -> str:
    """Write one segment; a field is one line."""
    return one_line(segment.text) if isinstance(segment, Field) else segment.text


def write_segments(prompt: Prompt | str, *, is_suffix: bool = False) -> list[Piece]:
    """Write segments as pieces of text."""
    return [Piece(segment_text(s), s, is_suffix) for s in as_segments(prompt)]


def strip_end(pieces: list[Piece], characters: str | None) -> list[Piece]:
    """Leave out white space at the end of the last pieces of text."""
    kept = list(pieces)
    while kept:
        last = kept.pop()
        text = last.text.rstrip(characters)
        if text:
            return [*kept, Piece(text, last.segment, last.is_suffix)]
    return kept
