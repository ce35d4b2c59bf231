"""Gene tables: what a tokenizer makes of each gene, asked once instead of for every cell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from celloquy._runtime import rng_for
from celloquy.text._ranked import RankedCells
from celloquy.text._render import Words, join_names, name_table, over_cells, words_around
from celloquy.text._styles import Style, get_style
from celloquy.text._tokenizer import as_text_tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from celloquy.text._tokenizer import TextTokenizer
    from celloquy.text._vocabulary import Vocabulary

    Ids = tuple[NDArray[np.int32], NDArray[np.int64]]
    Genes = tuple[Ids, Ids, Ids, Ids]
    Around = tuple[Ids, NDArray[np.int64], Ids, NDArray[np.int64]]

_ANCHOR = "A"
"""A word beside which a piece of text is tokenized, to see it as it is within a sentence."""
_CHECKED_CELLS = 16
"""Cells that are compared with the tokenizer when words around the genes are new."""


@dataclass(frozen=True, eq=False)
class TokenIds:
    """Token ids of cells, all cells end to end."""

    ids: NDArray[np.int32]
    """Token ids; shape ``(n_tokens,)``."""
    offsets: NDArray[np.int64]
    """Where each cell begins in `ids`; shape ``(n_obs + 1,)``."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each cell; shape ``(n_obs,)``."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, cell: int) -> NDArray[np.int32]:
        return self.ids[self.offsets[cell] : self.offsets[cell + 1]]

    def to_arrow(self) -> pa.LargeListArray:
        """Give the ids as a column of lists, sharing memory."""
        return pa.LargeListArray.from_arrays(self.offsets, self.ids)


class GeneTokens:
    """What a tokenizer makes of each gene of a vocabulary, in a style.

    A tokenizer that splits at white space makes the same tokens of a gene whatever its
    neighbours are. So every gene is tokenized once for each place it can have (alone, first,
    between others, last), and the tokens of a cell are copied together. Whether that is
    exact is found out, not assumed: when the tables are made, every gene is tokenized once
    in random company and compared, and so are some cells of every new kind of words around
    the genes. Where it is not exact, cells are rendered as text and given to the tokenizer.

    Parameters
    ----------
    tokenizer
        A tokenizer of `transformers`, a `tokenizers.Tokenizer`, or a function from one text
        to its token ids; a function is always asked itself, cell by cell.
    vocabulary
        The genes.
    style
        A style, its name, or a template that holds ``{genes}``.

    Raises
    ------
    InputError
        If the tokenizer cannot be used, or a gene name cannot be told apart in the style.
    """

    exact: bool
    """Whether the tables give what the tokenizer gives; if not, it is asked itself."""

    def __init__(
        self,
        tokenizer: Any,  # noqa: ANN401 (libraries without types)
        vocabulary: Vocabulary,
        *,
        style: str | Style = "celloquy",
    ) -> None:
        self.tokenizer: TextTokenizer = as_text_tokenizer(tokenizer)
        self.vocabulary = vocabulary
        self.style = get_style(style)
        self._names = self.style.speak(vocabulary).names
        self._tables: dict[tuple[str, str], Ids] = {}
        self._checked: set[tuple[str, ...]] = set()
        self._left, self._right = _at_space(self.style.delimiter)
        last = self.style.last_delimiter
        self._last_left, self._last_right = _at_space(
            self.style.delimiter if last is None else last
        )
        self._specials = self._find_specials()
        self.exact = (
            self._specials is not None and self._left == self._last_left and self._is_exact()
        )

    def encode(
        self,
        ranked: RankedCells,
        *,
        obs: pd.DataFrame | None = None,
        obs_features: Sequence[str] = (),
    ) -> TokenIds:
        """Give the token ids of every cell: those of its text, special tokens included.

        Raises
        ------
        InputError
            If a column is missing.
        """
        head, tail = words_around(ranked, self.style, obs=obs, obs_features=obs_features)
        plan = self._plan(ranked, head, tail) if self.exact else None
        if plan is None:
            return self._ask(ranked, head, tail)
        found = _concatenate(ranked, *plan)
        key = (*obs_features, *self.style.columns())
        if key not in self._checked:
            self._checked.add(key)
            spread = np.linspace(0, ranked.n_obs, _CHECKED_CELLS, endpoint=False)
            some = np.unique(spread.astype(int)) if ranked.n_obs else np.empty(0, int)
            if not self._agrees(_take(ranked, some), _of(head, some), _of(tail, some)):
                self.exact = False
                return self._ask(ranked, head, tail)
        return found

    def count_fitting(
        self, ranked: RankedCells, head: Words, tail: Words, *, limit: int
    ) -> NDArray[np.int64] | None:
        """Find the most genes of each cell that fit into `limit` tokens, words unchanged.

        Returns
        -------
        Number of genes, shape ``(n_obs,)``; `None` where the tables are not exact.
        """
        from celloquy.text._token_kernel import count_fitting

        plan = self._plan(ranked, head, tail) if self.exact else None
        if plan is None:
            return None
        fit = np.full(ranked.n_obs, limit, dtype=np.int64)
        count_fitting((ranked.genes, ranked.offsets), *plan, fit)
        return fit

    def _ask(self, ranked: RankedCells, head: Words, tail: Words) -> TokenIds:
        """Render the cells and let the tokenizer read them."""
        text = join_names(ranked, name_table(self.vocabulary, self.style), (head, tail))
        return TokenIds(*_end_to_end(self.tokenizer.encode(text.to_pylist())))

    def _plan(self, ranked: RankedCells, head: Words, tail: Words) -> tuple[Genes, Around] | None:
        """Make the tables that these cells need, or find that they cannot be used."""
        named = ranked.lengths > 0
        heads, tails = _used(head, named), _used(tail, named)
        leads = {text[len(text.rstrip()) :] for text in heads}
        afters = {_at_space(text)[0] for text in tails}
        if len(leads) > 1 or len(afters) > 1:
            return None
        before, after = leads.pop() if leads else "", afters.pop() if afters else ""
        genes = (
            self._table(before, after),
            self._table(before, self._left),
            self._table(self._right, self._left),
            self._table(self._last_right, after),
        )
        return genes, self._around(head, tail, named, skip=(len(before), len(after)))

    def _around(
        self, head: Words, tail: Words, named: NDArray[np.bool_], *, skip: tuple[int, int]
    ) -> Around:
        """Tokenize what stands around the genes; a cell without genes is one text."""
        before, after = self._specials or ([], [])
        bare_heads = [text[: len(text) - skip[0]] for text in head.texts]
        heads = [before + ids for ids in self._pieces("", bare_heads, f" {_ANCHOR}")]
        tails = [ids + after for ids in self._pieces(_ANCHOR, [t[skip[1] :] for t in tail.texts])]
        codes = head.codes * len(tail.texts) + tail.codes
        lone, lone_codes = np.unique(codes[~named], return_inverse=True)
        texts = [
            head.texts[code // len(tail.texts)] + tail.texts[code % len(tail.texts)]
            for code in lone
        ]
        head_of, tail_of = head.codes.copy(), tail.codes.copy()
        head_of[~named] = lone_codes + len(heads)
        tail_of[~named] = len(tails)
        heads += self.tokenizer.encode(texts)
        return _end_to_end(heads), head_of, _end_to_end([*tails, []]), tail_of

    def _table(self, before: str, after: str) -> Ids:
        """Tokenize every gene between `before` and `after`, as it stands in a sentence."""
        if (before, after) not in self._tables:
            anchor = _ANCHOR if before else ""
            texts = [before + name + after for name in self._names]
            self._tables[before, after] = _end_to_end(self._pieces(anchor, texts, f" {_ANCHOR}"))
        return self._tables[before, after]

    def _pieces(self, before: str, texts: list[str], after: str = "") -> list[list[int]]:
        """Tokenize texts between two others, and cut the others' tokens off."""
        (head,) = self.tokenizer.encode([before], special=False)
        (both,) = self.tokenizer.encode([before + after], special=False)
        n_head, n_tail = len(head), len(both) - len(head)
        if not before and after:  # at the start of a text, white space alone may be a token
            (anchored,) = self.tokenizer.encode([_ANCHOR + after], special=False)
            (anchor,) = self.tokenizer.encode([_ANCHOR], special=False)
            n_head, n_tail = 0, len(anchored) - len(anchor)
        encoded = self.tokenizer.encode([before + text + after for text in texts], special=False)
        return [
            ids[n_head : len(ids) - n_tail] if text else []
            for ids, text in zip(encoded, texts, strict=True)
        ]

    def _find_specials(self) -> tuple[list[int], list[int]] | None:
        """Find the special tokens before and after a text; `None` where it cannot be told."""
        (bare,) = self.tokenizer.encode([_ANCHOR], special=False)
        (full,) = self.tokenizer.encode([_ANCHOR])
        for start in range(len(full) - len(bare) + 1):
            if bare and full[start : start + len(bare)] == bare:
                return full[:start], full[start + len(bare) :]
        return None

    def _is_exact(self) -> bool:
        """Tokenize every gene once in random company, and compare with the tables."""
        n_genes = len(self.vocabulary)
        genes = rng_for(0, "gene tables").permutation(n_genes).astype(np.int32)
        ends = np.unique(np.concatenate([[0, 1, 3], np.arange(6, n_genes, 100), [n_genes]]))
        offsets = ends[ends <= n_genes].astype(np.int64)
        n_obs = len(offsets) - 1
        values, cut = np.ones(n_genes, np.float32), np.zeros(n_obs, np.int32)
        ranked = RankedCells(genes, offsets, values, cut, self.vocabulary)
        plain = self.style.layout() if not self.style.columns() else ("", "")
        heads = plain[0] if isinstance(plain[0], tuple) else ("", "", "")
        tails = plain[-1] if isinstance(plain[-1], tuple) else ("", "", "")
        codes = np.minimum(ranked.lengths, 2)
        return self._agrees(ranked, Words(list(heads), codes), Words(list(tails), codes))

    def _agrees(self, ranked: RankedCells, head: Words, tail: Words) -> bool:
        plan = self._plan(ranked, head, tail)
        if plan is None:
            return False
        told, asked = _concatenate(ranked, *plan), self._ask(ranked, head, tail)
        return np.array_equal(told.ids, asked.ids) and np.array_equal(told.offsets, asked.offsets)


def _concatenate(ranked: RankedCells, genes: Genes, around: Around) -> TokenIds:
    from celloquy.text._token_kernel import measure_tokens, write_tokens

    heads, head_of, tails, tail_of = around
    offsets = np.zeros(ranked.n_obs + 1, dtype=np.int64)

    def part(cells: slice) -> tuple[tuple[NDArray[np.int32], NDArray[np.int64]], Around]:
        here = (ranked.genes, ranked.offsets[cells.start : cells.stop + 1])
        return here, (heads, head_of[cells], tails, tail_of[cells])

    def measure(cells: slice) -> None:
        here, words = part(cells)
        measure_tokens(here, genes, words, offsets[1:][cells])

    over_cells(ranked.n_obs, measure)
    np.cumsum(offsets, out=offsets)
    ids = np.empty(offsets[-1], dtype=np.int32)

    def write(cells: slice) -> None:
        here, words = part(cells)
        write_tokens(here, genes, words, (ids, offsets[cells.start : cells.stop + 1]))

    over_cells(ranked.n_obs, write)
    return TokenIds(ids, offsets)


def _end_to_end(lists: Sequence[Sequence[int]]) -> Ids:
    offsets = np.zeros(len(lists) + 1, dtype=np.int64)
    np.cumsum([len(ids) for ids in lists], out=offsets[1:])
    flat = np.fromiter((i for ids in lists for i in ids), dtype=np.int32, count=offsets[-1])
    return flat, offsets


def _at_space(text: str) -> tuple[str, str]:
    """Cut a text before its first white space."""
    space = re.search(r"\s", text)
    at = len(text) if space is None else space.start()
    return text[:at], text[at:]


def _used(words: Words, named: NDArray[np.bool_]) -> list[str]:
    return [words.texts[code] for code in np.unique(words.codes[named])]


def _of(words: Words, cells: NDArray[np.int64]) -> Words:
    return Words(words.texts, words.codes[cells])


def _take(ranked: RankedCells, cells: NDArray[np.int64]) -> RankedCells:
    parts = [slice(ranked.offsets[cell], ranked.offsets[cell + 1]) for cell in cells]
    offsets = np.concatenate([[0], np.cumsum(ranked.lengths[cells])]).astype(np.int64)
    return RankedCells(
        np.concatenate([ranked.genes[:0], *(ranked.genes[part] for part in parts)]),
        offsets,
        np.concatenate([ranked.values[:0], *(ranked.values[part] for part in parts)]),
        ranked.cut[cells],
        ranked.vocabulary,
    )
