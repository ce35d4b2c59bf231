"""Chats: prompts as turns of a conversation, by a tokenizer's own template or a fixed one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

from celloquy._runtime import require
from celloquy.errors import CheckpointError
from celloquy.lm._formats import PromptFormat, as_segments, strip_end, write_segments
from celloquy.lm._formats_tokens import Piece

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from celloquy.lm._formats_tokens import TokenReader
    from celloquy.text import Prompt

    Messages = list[dict[str, str]]

    class Lay(Protocol):
        """Writes the marks around messages."""

        def __call__(self, messages: Messages, *, opens: bool) -> str:
            """Write messages, and the answer's opening if it `opens`."""


_OPEN, _CLOSE = "\ue000", "\ue001"
"""Private characters that stand for the content of a message while marks are laid around it."""
_SLOT = re.compile(f"{_OPEN}(\\d+){_CLOSE}")
FIXED_DATE = "26 Jul 2024"
"""Templates that write today's date get this one, so that a prompt is the same every day."""


class ChatFormat(PromptFormat):
    """A conversation: segments of one role that follow each other are one message.

    Marks are laid around empty slots, and the messages are put in afterwards: no template ever
    reads data. Assistant segments at the end of a prompt begin the answer.

    Parameters
    ----------
    reader
        The tokenizer.
    lay
        Writes the marks around messages, and the answer's opening if it is asked to.
    name
        What the format is called.
    end_ids
        Tokens that end an answer besides the one that ends an assistant's message.

    Raises
    ------
    CheckpointError
        If the template leaves out or repeats a message.
    """

    def __init__(
        self, reader: TokenReader, lay: Lay, *, name: str, end_ids: tuple[int, ...] = ()
    ) -> None:
        self.name = name
        self.reader = reader
        self._lay = lay
        asked = self._marks(["user"], opens=True)[-1]
        self._opening = _after_marks(asked, reader.marks)
        self._has_system = self._takes_system()
        padded = _fill(lay([{"role": "user", "content": f" {_slot(0)} "}], opens=True))
        self._is_trimmed = not (padded[0].endswith(" ") and padded[1].startswith(" "))
        _, before, after = self._marks(["user", "assistant"], opens=False)
        self._joint = before.removeprefix(asked) if before.startswith(asked) else ""
        found = _marks_in(after, reader.marks)
        closing = reader.mark_ids(after[: found[0].end()]) if found else list(end_ids[:1])
        self.end_ids = tuple(dict.fromkeys([*closing[-1:], *end_ids]))
        self.closing = tuple(closing)

    def _marks(self, roles: Sequence[str], *, opens: bool) -> list[str]:
        """Give what is written before, between and after messages.

        Raises
        ------
        CheckpointError
            If a message is left out or written twice.
        """
        messages = [{"role": role, "content": _slot(i)} for i, role in enumerate(roles)]
        marks = _fill(self._lay(messages, opens=opens))
        if len(marks) != len(roles) + 1:
            msg = f"The chat template leaves out or repeats messages of {', '.join(roles)}."
            raise CheckpointError(msg, hint='load the model with `prompt_format="plain"`.')
        return marks

    def _takes_system(self) -> bool:
        """Say whether the template writes a message of the role system."""
        jinja = require("jinja2", extra="llm", why="to write chat templates")
        try:
            return len(self._marks(["system", "user"], opens=True)) > 0
        except (jinja.TemplateError, CheckpointError):
            return False

    def render(self, prompt: Prompt | str, *, suffix: Prompt | str | None = None) -> list[Piece]:
        """Write the turns up to where the answer begins; see :meth:`PromptFormat.render`."""
        turns = self._turns(
            [*_with_roles(prompt), *_with_roles(suffix or (), is_suffix=True)],
        )
        answer = turns.pop()[1] if len(turns) > 1 and turns[-1][0] == "assistant" else []
        marks = self._marks([role for role, _ in turns], opens=True)
        made = [Piece(marks[0])]
        for (_, pieces), mark in zip(turns, marks[1:], strict=True):
            made += [*(_strip(pieces) if self._is_trimmed else pieces), Piece(mark)]
        return [piece for piece in (*made, *answer) if piece.text]

    def _turns(self, said: Iterable[tuple[str, Piece]]) -> list[tuple[str, list[Piece]]]:
        """Join what one role says into messages; where there is no system, the user says it."""
        turns: list[tuple[str, list[Piece]]] = []
        last = ""
        for role, piece in said:
            speaker = role if self._has_system or role != "system" else "user"
            if not turns or turns[-1][0] != speaker:
                turns.append((speaker, []))
            elif role != last:
                turns[-1][1].append(Piece("\n\n"))
            turns[-1][1].append(piece)
            last = role
        if not turns or turns[0][0] == "assistant":
            turns.insert(0, ("user", []))
        return turns

    def encode_answers(self, answers: Sequence[str]) -> list[list[int]]:
        """Give the tokens of each answer as it stands after the answer's opening."""
        return self._after(self._opening, answers, joint=self._joint)

    def decode(self, ids: Sequence[int] | NDArray[np.int32]) -> str:
        """Write an answer's ids as text, without what joins it to the prompt."""
        return super().decode(ids).removeprefix(self._joint)


def template_format(
    reader: TokenReader,
    tokenizer: Any,  # noqa: ANN401 (a class of transformers)
    *,
    end_ids: tuple[int, ...] = (),
) -> ChatFormat:
    """Make the format of a tokenizer's own chat template.

    A reasoning model is asked to answer at once, and a template that writes today's date writes
    a fixed one.

    Raises
    ------
    CheckpointError
        If the template cannot be used.
    """
    jinja = require("jinja2", extra="llm", why="to write chat templates")

    def lay(messages: Messages, *, opens: bool) -> str:
        return str(
            tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=opens,
                enable_thinking=False,
                date_string=FIXED_DATE,
            )
        )

    try:
        return ChatFormat(reader, lay, name="chat", end_ids=end_ids)
    except (jinja.TemplateError, ValueError, TypeError) as error:
        msg = f"The chat template of the tokenizer cannot be used: {error}"
        raise CheckpointError(msg, hint='load the model with `prompt_format="plain"`.') from error


def cellhermes_format(reader: TokenReader, *, end_ids: tuple[int, ...] = ()) -> ChatFormat:
    """Make the format that CellHermes was trained with: turns of Llama 3 without a system block.

    Raises
    ------
    CheckpointError
        If the tokenizer lacks a special token of Llama 3.
    """
    needed = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
    lacking = [token for token in needed if token not in reader.marks]
    if lacking:
        msg = f"The tokenizer has no special token {lacking[0]!r}, which CellHermes' prompts need."
        raise CheckpointError(msg, hint='load the model with `prompt_format="plain"`.')

    def head(role: str) -> str:
        return f"<|start_header_id|>{role}<|end_header_id|>\n\n"

    def lay(messages: Messages, *, opens: bool) -> str:
        turns = "".join(f"{head(m['role'])}{m['content']}<|eot_id|>" for m in messages)
        return f"<|begin_of_text|>{turns}{head('assistant') if opens else ''}"

    return ChatFormat(reader, lay, name="cellhermes", end_ids=end_ids)


def _slot(number: int) -> str:
    return f"{_OPEN}{number}{_CLOSE}"


def _fill(laid: str) -> list[str]:
    """Cut a laid-out text at its slots, which must come once each and in order."""
    parts = _SLOT.split(laid)
    slots = [int(number) for number in parts[1::2]]
    return parts[::2] if slots == list(range(len(slots))) else []


def _with_roles(prompt: Prompt | str, *, is_suffix: bool = False) -> list[tuple[str, Piece]]:
    pieces = write_segments(prompt, is_suffix=is_suffix)
    return [(s.role, p) for s, p in zip(as_segments(prompt), pieces, strict=True)]


def _strip(pieces: list[Piece]) -> list[Piece]:
    """Leave out white space around a message, as its template does."""
    kept = strip_end(pieces, None)
    for at, piece in enumerate(kept):
        text = piece.text.lstrip()
        if text:
            return [Piece(text, piece.segment, piece.is_suffix), *kept[at + 1 :]]
    return []


def _marks_in(text: str, marks: Iterable[str]) -> list[re.Match[str]]:
    pattern = "|".join(map(re.escape, sorted(marks, key=len, reverse=True))) or r"(?!)"
    return list(re.finditer(pattern, text))


def _after_marks(text: str, marks: Iterable[str]) -> str:
    """Give what stands after the last special token of a text."""
    found = _marks_in(text, marks)
    return text[found[-1].end() :] if found else text
