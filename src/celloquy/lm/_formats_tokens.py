"""Text with marks to token ids: what is data never becomes a special token."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy.text import Names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from celloquy.text import Segment

_ANCHOR = "A"
_MARK_LIKE = re.compile(r"<.*>|\[[A-Z_/]+\]", re.DOTALL)
"""Added tokens that look like marks guide a model even where they are not called special."""


@dataclass(frozen=True)
class Piece:
    """A part of a prompt as a format writes it."""

    text: str
    """What is written."""
    segment: Segment | str | None = None
    """The segment it comes from; `None` where the format itself wrote it."""
    is_suffix: bool = False
    """Whether it belongs to what was put after a shared prompt."""


@dataclass(frozen=True, eq=False)
class Tokens:
    """Token ids of a prompt, and where each lies in its text."""

    ids: NDArray[np.int32]
    """Token ids, special tokens included; shape ``(t,)``."""
    is_gene: NDArray[np.bool_]
    """Whether a token is a part of a gene's name in a list of names; shape ``(t,)``."""
    is_suffix: NDArray[np.bool_]
    """Whether a token is a part of what was put after a shared prompt; shape ``(t,)``."""


class TokenReader:
    """A tokenizer that reads special tokens only where a format wrote them.

    Parameters
    ----------
    tokenizer
        A ``tokenizers.Tokenizer``; it is copied.
    """

    def __init__(self, tokenizer: Any) -> None:  # noqa: ANN401 (a library without types)
        kind, state = type(tokenizer), tokenizer.to_str()
        self._whole = kind.from_str(state)
        self._whole.no_truncation()
        self._whole.no_padding()
        settings = json.loads(state)
        added = settings.get("added_tokens", [])
        self.marks: dict[str, int] = {
            token["content"]: int(token["id"])
            for token in added
            if token["special"] or _MARK_LIKE.fullmatch(token["content"])
        }
        """Tokens that data may not become, and their ids."""
        longest_first = sorted(self.marks, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._kind, self._settings = kind, settings
        self.before, self.after = self._around()

    @cached_property
    def _guarded(self) -> Any:  # noqa: ANN401
        """Give a tokenizer that reads every mark as plain text."""
        for token in self._settings.get("added_tokens", []):
            token["special"] = token["special"] or token["content"] in self.marks
        guarded = self._kind.from_str(json.dumps(self._settings))
        guarded.no_truncation()
        guarded.no_padding()
        guarded.encode_special_tokens = True
        return guarded

    def _around(self) -> tuple[list[int], list[int]]:
        """Find the special tokens that the tokenizer itself puts before and after a text."""
        full = self._whole.encode(_ANCHOR).ids
        bare = self._whole.encode(_ANCHOR, add_special_tokens=False).ids
        for start in range(len(full) - len(bare) + 1):
            if full[start : start + len(bare)] == bare:
                return full[:start], full[start + len(bare) :]
        return [], []

    def __len__(self) -> int:
        return int(self._whole.get_vocab_size(with_added_tokens=True))

    @property
    def tokenizer(self) -> Any:  # noqa: ANN401
        """The ``tokenizers.Tokenizer``, which cuts and pads nothing."""
        return self._whole

    def data_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Give the ids of texts that are data alone."""
        is_clean = not any(self._pattern.search(text) for text in texts)
        reader = self._whole if is_clean else self._guarded
        found = reader.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in found]

    def mark_ids(self, text: str) -> list[int]:
        """Give the ids of a text that a format wrote."""
        found: list[int] = self._whole.encode(text, add_special_tokens=False).ids
        return found

    def ids(self, prompts: Sequence[Sequence[Piece]]) -> list[NDArray[np.int32]]:
        """Give the ids of prompts, without what the tokenizer puts around a text."""
        texts = ["".join(piece.text for piece in pieces) for pieces in prompts]
        encodings = self._whole.encode_batch_fast(texts, add_special_tokens=False)
        return [
            np.array(
                self._guard(pieces)[0] if self._is_forged(pieces, text) else encoding.ids,
                dtype=np.int32,
            )
            for pieces, text, encoding in zip(prompts, texts, encodings, strict=True)
        ]

    def tokens(self, prompts: Sequence[Sequence[Piece]]) -> list[Tokens]:
        """Give the ids of prompts with what each token stands for."""
        texts = ["".join(piece.text for piece in pieces) for pieces in prompts]
        encodings = self._whole.encode_batch(texts, add_special_tokens=False)
        made = []
        for pieces, text, encoding in zip(prompts, texts, encodings, strict=True):
            ids, offsets = encoding.ids, encoding.offsets
            if self._is_forged(pieces, text):
                ids, offsets = self._guard(pieces)
            spans = np.array(offsets, dtype=np.int64).reshape(-1, 2)
            suffix = [(a, b) for a, b, piece in _placed(pieces) if piece.is_suffix and b > a]
            is_gene = _overlap(spans, _genes(pieces))
            is_suffix = _overlap(spans, np.array(suffix, dtype=np.int64).reshape(-1, 2))
            made.append(Tokens(np.array(ids, dtype=np.int32), is_gene, is_suffix))
        return made

    def _is_forged(self, pieces: Sequence[Piece], text: str) -> bool:
        """Say whether a special token stands in data, or is put together with data."""
        found = list(self._pattern.finditer(text))
        if not found:
            return False
        own = [(a, b) for a, b, piece in _placed(pieces) if piece.segment is None]
        joined = _joined(own)
        return any(
            not any(a <= match.start() and match.end() <= b for a, b in joined) for match in found
        )

    def _guard(self, pieces: Sequence[Piece]) -> tuple[list[int], list[tuple[int, int]]]:
        """Read marks in the format's own text only; all between them is plain text."""
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        run, at = "", 0

        def close() -> None:
            nonlocal run
            encoding = self._guarded.encode(run, add_special_tokens=False)
            ids.extend(encoding.ids)
            offsets.extend((a + at - len(run), b + at - len(run)) for a, b in encoding.offsets)
            run = ""

        for piece in pieces:
            start = 0
            for match in self._pattern.finditer(piece.text) if piece.segment is None else ():
                run += piece.text[start : match.start()]
                at += match.start() - start
                close()
                ids.append(self.marks[match.group()])
                at += len(match.group())
                offsets.append((at - len(match.group()), at))
                start = match.end()
            run += piece.text[start:]
            at += len(piece.text) - start
        close()
        return ids, offsets

    def text(self, ids: Sequence[int]) -> str:
        """Write ids as text, without special tokens."""
        return str(self._whole.decode([int(i) for i in ids], skip_special_tokens=True))


def _placed(pieces: Sequence[Piece]) -> list[tuple[int, int, Piece]]:
    """Give each piece with the places where it begins and ends in the text."""
    ends = np.cumsum([0, *(len(piece.text) for piece in pieces)])
    return [(int(a), int(b), p) for a, b, p in zip(ends[:-1], ends[1:], pieces, strict=True)]


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join spans that touch."""
    made: list[tuple[int, int]] = []
    for start, stop in spans:
        if made and made[-1][1] == start:
            made[-1] = (made[-1][0], stop)
        else:
            made.append((start, stop))
    return made


def _genes(pieces: Sequence[Piece]) -> NDArray[np.int64]:
    """Find where gene names lie in the text of a prompt; shape ``(genes, 2)``."""
    spans: list[tuple[int, int]] = []
    for start, _, piece in _placed(pieces):
        if isinstance(piece.segment, Names):
            at = start
            for gene in piece.segment.ids:
                name = piece.segment.vocabulary.names[gene]
                at = start + piece.text.index(name, at - start)
                spans.append((at, at + len(name)))
                at += len(name)
    return np.array(spans, dtype=np.int64).reshape(-1, 2)


def _overlap(tokens: NDArray[np.int64], genes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say which spans of tokens overlap a span of the other kind; both in order."""
    if not len(genes):
        return np.zeros(len(tokens), dtype=np.bool_)
    near = np.clip(np.searchsorted(genes[:, 1], tokens[:, 0], side="right"), 0, len(genes) - 1)
    starts, stops = genes[near, 0], genes[near, 1]
    found: NDArray[np.bool_] = (tokens[:, 0] < stops) & (tokens[:, 1] > starts)
    return found
