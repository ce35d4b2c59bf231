"""Ranked cells to text: names, and words around them, joined as bytes into one column."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa

from celloquy.text._styles import Style, fields_of, get_style
from celloquy.text._template import Gap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from celloquy.text._rank import RankBuffers
    from celloquy.text._ranked import RankedCells
    from celloquy.text._styles import Part
    from celloquy.text._vocabulary import Vocabulary

CELLS_A_THREAD = 4_096
"""Fewer cells than this are not worth a second thread."""


@dataclass(frozen=True, eq=False)
class Words:
    """Some distinct texts, and which of them each cell takes."""

    texts: list[str]
    codes: NDArray[np.int64]
    """Place in `texts`; shape ``(n_obs,)``."""

    def bytes(self) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
        """Give the texts as one row of bytes, where each begins, and the codes."""
        blob, ends = _blob(self.texts)
        return blob, ends, self.codes


@dataclass(frozen=True, eq=False)
class NameTable:
    """A vocabulary's names as bytes, each with the delimiter before it."""

    blob: NDArray[np.uint8]
    slots: NDArray[np.uint8]
    """The same, each in as many bytes, the last of them its length; 0 if it does not fit."""
    ends: NDArray[np.int64]
    sizes: NDArray[np.int32]
    delimiter: int
    """Bytes of the delimiter."""
    last: NDArray[np.uint8]
    """What stands before the last name."""


_TABLES: WeakKeyDictionary[Vocabulary, dict[Style, NameTable]] = WeakKeyDictionary()


def render_text(
    ranked: RankedCells,
    *,
    style: str | Style = "celloquy",
    obs: pd.DataFrame | None = None,
    obs_features: Sequence[str] = (),
    buffers: RankBuffers | None = None,
) -> pa.LargeStringArray:
    """Write every cell as text, in a style; the same as rendering the style's prompts.

    Parameters
    ----------
    ranked
        Cells, shape ``(n_obs,)``.
    style
        A style, its name, or a template that holds ``{genes}``.
    obs
        The cells' obs rows, in the same order; needed where the style reads columns.
    obs_features
        Columns of `obs` to write beside the genes.
    buffers
        Memory to write to, such as the cells were ranked in; the result is then valid until
        the next call with it. New memory costs as much as writing to it, for long sentences.

    Returns
    -------
    One text a cell, shape ``(n_obs,)``.

    Raises
    ------
    InputError
        If a column is missing, or a gene name cannot be told apart in this style.
    """
    style = get_style(style)
    head, tail = words_around(ranked, style, obs=obs, obs_features=obs_features)
    return join_names(ranked, name_table(ranked.vocabulary, style), (head, tail), buffers)


def words_around(
    ranked: RankedCells,
    style: Style,
    *,
    obs: pd.DataFrame | None = None,
    obs_features: Sequence[str] = (),
) -> tuple[Words, Words]:
    """Give what stands before and after the genes of each cell.

    Raises
    ------
    InputError
        If a column is missing.
    """
    layout = style.layout(obs_features)
    fields = fields_of(obs, style.columns(obs_features), ranked.n_obs)
    words = {column: Words(texts, np.asarray(codes)) for column, (codes, texts) in fields.items()}
    genes = layout.index(Gap("genes"))
    return (
        _combined(layout[:genes], ranked.lengths, words),
        _combined(layout[genes + 1 :], ranked.lengths, words),
    )


def _combined(
    parts: tuple[Part, ...], lengths: NDArray[np.int64], fields: dict[str, Words]
) -> Words:
    """Put the words of several parts end to end, each combination written once."""
    whole = Words([""], np.zeros(len(lengths), dtype=np.int64))
    for part in parts:
        if isinstance(part, str):
            whole = Words([text + part for text in whole.texts], whole.codes)
            continue
        if isinstance(part, tuple):
            add = Words(list(part), np.minimum(lengths, 2))
        elif part.kind == "n_genes":
            numbers, codes = np.unique(lengths, return_inverse=True)
            add = Words([str(number) for number in numbers], codes)
        else:
            add = fields[part.column]
        pairs, codes = np.unique(whole.codes * len(add.texts) + add.codes, return_inverse=True)
        firsts, seconds = np.divmod(pairs, len(add.texts))
        texts = [
            whole.texts[first] + add.texts[second]
            for first, second in zip(firsts, seconds, strict=True)
        ]
        whole = Words(texts or [""], codes)
    return whole


def name_table(vocabulary: Vocabulary, style: Style) -> NameTable:
    """Lay a vocabulary's names out as bytes, once for each style.

    Raises
    ------
    InputError
        If a gene name cannot be told apart in this style.
    """
    tables = _TABLES.setdefault(vocabulary, {})
    if style not in tables:
        tables[style] = _make_table(style.speak(vocabulary).names, style)
    return tables[style]


def _make_table(names: Sequence[str], style: Style) -> NameTable:
    from celloquy.text._join_kernel import STRIDE

    blob, ends = _blob([style.delimiter + name for name in names])
    lengths = np.diff(ends)
    place = np.arange(STRIDE)
    fits = lengths < STRIDE
    inside = (place < lengths[:, None]) & fits[:, None]
    slots = np.zeros((len(names), STRIDE), dtype=np.uint8)
    slots[inside] = blob[(ends[:-1, None] + place)[inside]]
    slots[:, -1] = np.where(fits, lengths, 0)
    last = style.delimiter if style.last_delimiter is None else style.last_delimiter
    return NameTable(
        blob,
        slots.ravel(),
        ends,
        lengths.astype(np.int32),
        len(style.delimiter.encode()),
        np.frombuffer(last.encode(), dtype=np.uint8),
    )


def _blob(texts: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    encoded = [text.encode() for text in texts]
    ends = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum([len(text) for text in encoded], out=ends[1:])
    return np.frombuffer(b"".join(encoded), dtype=np.uint8), ends


def join_names(
    ranked: RankedCells,
    table: NameTable,
    words: tuple[Words, Words],
    buffers: RankBuffers | None = None,
) -> pa.LargeStringArray:
    """Join each cell's names, between its words before and after, into a text column."""
    from celloquy.text._join_kernel import measure_cells, write_cells

    head, tail = words
    genes, offsets = ranked.genes, ranked.offsets
    around = (*head.bytes(), *tail.bytes())
    ends = np.zeros(ranked.n_obs + 1, dtype=np.int64)
    marks = (table.delimiter, len(table.last))

    def measure(cells: slice) -> None:
        here = (genes, offsets[cells.start : cells.stop + 1])
        measure_cells(here, table.sizes, marks, ends[1:][cells])

    over_cells(ranked.n_obs, measure)
    ends[1:] += np.diff(around[1])[head.codes] + np.diff(around[4])[tail.codes]
    np.cumsum(ends, out=ends)
    size = int(ends[-1])
    if buffers is None:
        text = np.empty(size, dtype=np.uint8)
    else:
        text = buffers.take("text", -(-size // 4)).view(np.uint8)[:size]

    def write(cells: slice) -> None:
        write_cells(
            (genes, offsets[cells.start : cells.stop + 1]),
            ((table.blob, table.slots, table.ends), (table.delimiter, table.last)),
            (*around[:2], head.codes[cells], *around[3:5], tail.codes[cells]),
            (text, ends[cells.start : cells.stop + 1]),
        )

    over_cells(ranked.n_obs, write)
    return pa.LargeStringArray.from_buffers(ranked.n_obs, pa.py_buffer(ends), pa.py_buffer(text))


def over_cells(n_obs: int, work: Callable[[slice], None]) -> None:
    """Do `work` on all cells, in as many threads as are worth it; the kernels free the GIL."""
    n_threads = max(1, min(os.cpu_count() or 1, n_obs // CELLS_A_THREAD))
    if n_threads == 1:
        work(slice(0, n_obs))
        return
    bounds = np.linspace(0, n_obs, n_threads + 1).astype(int)
    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(work, [slice(*pair) for pair in pairwise(bounds)]))
