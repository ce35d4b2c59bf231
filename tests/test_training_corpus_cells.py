"""What a corpus keeps of each cell: on disk and chunk by chunk it gives what memory gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from celloquy.errors import InputError
from celloquy.training import (
    _corpus_cells,
    _corpus_draw,
    _corpus_files,
    _corpus_survey,
    build_corpus,
)
from celloquy.training._corpus_cells import CellStore
from celloquy.training._corpus_draw import Again, quota
from celloquy.training._corpus_sources import GeneUnion, Word
from corpora import cells, recipe, source

TASKS = (
    {"name": "cell_type", "balance": "label"},
    "pseudo_cell",
    {"name": "cell_type_sample", "n_cells": 4},
)


@pytest.fixture
def in_small_pieces(monkeypatch):
    """Let no more than a few cells, keys or rows be held at a time, and all on disk."""
    monkeypatch.setattr(_corpus_cells, "CHUNK", 7)
    monkeypatch.setattr(_corpus_cells, "_IN_MEMORY", 16)
    monkeypatch.setattr(_corpus_survey, "_TOGETHER", 10)
    monkeypatch.setattr(_corpus_draw, "_FEW", 2)
    monkeypatch.setattr(_corpus_files, "TOGETHER", 5)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    cells().write_h5ad(folder / "one.h5ad")
    cells(40, seed=1, prefix="x").write_h5ad(folder / "two.h5ad")
    asked = {
        "n_train": 150,
        "split": {"by": "donor", "test": 0.2, "leaks": "report"},
        "shard_size": 20,
    }
    named = [source(folder / name, study="one") for name in ("one.h5ad", "two.h5ad")]
    told = recipe(named, list(TASKS), **asked)
    return told, written(build_corpus(told, folder / "corpus"))


def written(corpus):
    """Give the bytes of all shards, by name."""
    paths = sorted(corpus.folder.rglob("*.parquet"))
    return {str(path.relative_to(corpus.folder)): path.read_bytes() for path in paths}


@pytest.mark.slow
@pytest.mark.usefixtures("in_small_pieces")
def test_a_corpus_made_in_small_pieces_from_disk_has_the_same_bytes(one, tmp_path):
    told, expected = one
    assert written(build_corpus(told, tmp_path / "corpus")) == expected


@pytest.mark.slow
@pytest.mark.usefixtures("in_small_pieces")
def test_cells_in_two_parts_are_all_found_a_span_of_keys_at_a_time(tmp_path):
    adata = cells()
    adata.write_h5ad(tmp_path / "one.h5ad")
    adata.obs["donor"] = adata.obs["donor"].map({f"d{i}": f"other{i}" for i in range(5)})
    adata.write_h5ad(tmp_path / "two.h5ad")
    named = [source(tmp_path / name, study="same") for name in ("one.h5ad", "two.h5ad")]
    split = {"by": "donor", "test": [f"other{i}" for i in range(5)]}
    with pytest.raises(InputError, match="90 cells of one name and study are in train and in test"):
        build_corpus(recipe(named, ["cell_type"], split=split), tmp_path / "corpus")


@given(
    keys=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=60),
    wanted=st.integers(1, 60),
    n_parts=st.integers(1, 4),
)
def test_the_lowest_keys_are_drawn_whatever_begins_alike(keys, wanted, n_parts):
    crowded = np.array([*keys, *(key ^ 1 for key in keys)], dtype=np.uint64)
    distinct = np.unique(crowded)
    wanted = min(wanted, len(distinct) - 1) or 1
    parts = np.array_split(np.random.default_rng(0).permutation(distinct), n_parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_corpus_draw, "_FEW", 1)
        found = quota(wanted, Again(lambda: iter(parts)), repeats=False)
    drawn = np.concatenate([part[found.draws(part) > 0] for part in parts])
    np.testing.assert_array_equal(np.sort(drawn), distinct[:wanted])


def test_what_is_put_into_a_store_is_read_back_from_memory_and_from_disk(monkeypatch):
    for most in (2**20, 8):
        monkeypatch.setattr(_corpus_cells, "_IN_MEMORY", most)
        store = CellStore()
        keys = np.arange(10, dtype=np.uint64)
        places = [store.append(keys), store.append(keys + np.uint64(10))]
        word = store.append_word(Word(np.arange(5, dtype=np.int32), ("a",) * 5))
        assert places == [0, 10]
        np.testing.assert_array_equal(store.keys(10, 3), [10, 11, 12])
        np.testing.assert_array_equal(store.codes(word + 2, 2), [2, 3])
        store.close()


def test_sources_of_the_same_columns_share_one_array_of_places():
    union = GeneUnion()
    first = union.columns(("B", "A"), np.array([0, 1, -1], np.int32))
    second = union.columns(("C", "A"), np.array([0, 1], np.int32))
    assert union.names == ("B", "A", "C")
    assert (first.tolist(), second.tolist()) == ([0, 1, -1], [2, 1])
    assert union.columns(("B", "A"), np.array([0, 1, -1], np.int32)) is first
