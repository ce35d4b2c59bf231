"""Rendering: what is written can be read back, whatever the names."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from celloquy.errors import InputError
from celloquy.text import _render
from celloquy.text._prompt import plain_text
from celloquy.text._rank import RankBuffers
from celloquy.text._ranked import RankedCells
from celloquy.text._render import render_text
from celloquy.text._styles import STYLES, Style, get_style
from celloquy.text._vocabulary import Vocabulary


def lists_of_names(letters):
    return st.lists(st.text(letters, min_size=1, max_size=40), min_size=1, max_size=8, unique=True)


names = st.one_of(
    lists_of_names(st.characters(exclude_categories=["C", "Z"])),
    lists_of_names(st.sampled_from('AB, "\\.é基')),
)


@st.composite
def cells(draw, names=names):
    vocabulary = Vocabulary(tuple(draw(names)))
    rows = draw(st.lists(st.permutations(range(len(vocabulary))), max_size=6))
    rows = [row[: draw(st.integers(0, len(row)))] for row in rows]
    genes = np.array([gene for row in rows for gene in row], dtype=np.int32)
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    values = np.ones(len(genes), np.float32)
    return RankedCells(genes, offsets, values, np.zeros(len(rows), np.int32), vocabulary)


@settings(max_examples=80, deadline=None)
@given(cells(), st.sampled_from([*STYLES, "<{genes}> {n_genes}"]), st.booleans())
def test_names_read_back_from_a_text_are_the_names_written(ranked, name, quote):
    style = Style(**{**vars(get_style(name)), "quote_names": quote})
    try:
        spoken = style.speak(ranked.vocabulary).names
    except InputError:
        assume(False)
    written = render_text(ranked, style=style)
    written.validate(full=True)
    expected = [[gene.upper() if style.upper_case else gene for gene in cell] for cell in ranked]
    assert [style.names_of(text) for text in written.to_pylist()] == expected
    assert len(spoken) == len(ranked.vocabulary)


@settings(max_examples=50, deadline=None)
@given(cells(), st.sampled_from([*STYLES]))
def test_the_kernel_writes_what_plain_joining_writes(ranked, style):
    try:
        prompts = get_style(style).prompts(ranked)
    except InputError:
        assume(False)
    assert render_text(ranked, style=style).to_pylist() == [plain_text(cell) for cell in prompts]


@pytest.fixture
def many() -> RankedCells:
    rng = np.random.default_rng(0)
    vocabulary = Vocabulary(tuple(f"GENE-{i:0{rng.integers(1, 24)}d}" for i in range(400)))
    lengths = rng.integers(0, 30, 20_000)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    genes = rng.integers(0, 400, offsets[-1]).astype(np.int32)
    values = np.ones(len(genes), np.float32)
    return RankedCells(genes, offsets, values, np.zeros(20_000, np.int32), vocabulary)


def part(ranked: RankedCells, start: int, stop: int) -> RankedCells:
    here = slice(ranked.offsets[start], ranked.offsets[stop])
    offsets = ranked.offsets[start : stop + 1] - ranked.offsets[start]
    return RankedCells(
        ranked.genes[here], offsets, ranked.values[here], ranked.cut[start:stop], ranked.vocabulary
    )


def test_a_cell_reads_the_same_alone_in_a_chunk_and_across_threads(many, monkeypatch):
    obs = pd.DataFrame({"batch": np.arange(20_000) % 7})
    options = {"style": "cellama", "obs_features": ("batch",)}
    together = render_text(many, obs=obs, **options)
    bounds = [0, 1, 2, 1_000, 1_000, 7_777, 20_000]
    chunks = [
        render_text(part(many, *pair), obs=obs[slice(*pair)], **options)
        for pair in pairwise(bounds)
    ]
    assert pa.chunked_array(chunks).to_pylist() == together.to_pylist()
    monkeypatch.setattr(_render, "CELLS_A_THREAD", 10**9)
    assert render_text(many, obs=obs, **options).equals(together)


def test_no_cells_give_no_texts():
    nobody = RankedCells(
        np.empty(0, np.int32), np.zeros(1, np.int64), np.empty(0, np.float32),
        np.empty(0, np.int32), Vocabulary(()),
    )  # fmt: skip
    assert render_text(nobody, style="cellama").to_pylist() == []


def test_an_empty_delimiter_is_refused():
    with pytest.raises(InputError, match="'joined' puts nothing between two names"):
        Style("joined", delimiter="")


def test_kept_memory_changes_no_text_and_is_written_again():
    short, long = Vocabulary(("A" * 14, "B" * 15, "CD3E")), Vocabulary(("D" * 16, "E" * 40, "F"))
    buffers = RankBuffers()
    made = []
    for vocabulary in (short, long, short):
        genes = np.array([0, 1, 2, 0, 2, 1, 0, 1, 2, 0], np.int32)
        offsets = np.array([0, 6, 6, 10])
        values, cut = np.ones(10, np.float32), np.zeros(3, np.int32)
        ranked = RankedCells(genes, offsets, values, cut, vocabulary)
        made.append(render_text(ranked, buffers=buffers))
        assert made[-1].to_pylist() == [" ".join(row) for row in ranked]
    assert made[1].buffers()[2].address == made[2].buffers()[2].address
