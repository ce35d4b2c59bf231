"""Vectors are computed once: for the same tokens, weights, precision, pooling and layer."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celloquy.lm import VectorStore, embed_texts, load_lm
from celloquy.lm._store import vector_key
from lm_models import write_encoder

TEXTS = ["g1 g2 g3", "g4", "g1 g2 g3", "g5 " * 20]


class Counter:
    """Counts the texts that go through a model."""

    def __init__(self, lm) -> None:
        self.n = 0
        lm.backbone.register_forward_pre_hook(self, with_kwargs=True)

    def __call__(self, _module, _arguments, options) -> None:
        self.n += len(options["input_ids"])


@pytest.fixture
def lm(tmp_path):
    return load_lm(f"st:{write_encoder(tmp_path / 'model')}", device="cpu")


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store" / "vectors.sqlite"


def test_the_second_call_computes_nothing_and_gives_the_same(lm, store):
    counter = Counter(lm)
    first = embed_texts(lm, TEXTS, cache=store)
    assert (first.n_computed, first.n_stored, counter.n) == (3, 0, 3)
    again = embed_texts(lm, TEXTS[::-1], cache=store)
    assert (again.n_computed, again.n_stored, counter.n) == (0, 3, 3)
    np.testing.assert_array_equal(again.vectors, first.vectors[::-1])
    np.testing.assert_allclose(first.vectors, lm.embed(TEXTS), atol=1e-6)


def test_the_store_is_in_the_users_cache_folder_unless_a_path_is_given(lm):
    counter = Counter(lm)
    embed_texts(lm, TEXTS)
    embed_texts(lm, TEXTS)
    assert counter.n == 3
    assert [path.name for path in os.scandir(os.environ["CELLOQUY_CACHE"])] == ["embeddings.sqlite"]


def test_without_a_store_everything_is_computed_and_nothing_is_written(lm):
    counter = Counter(lm)
    for _ in range(2):
        embed_texts(lm, TEXTS, cache=False)
    assert counter.n == 6
    assert not list(os.scandir(os.environ["CELLOQUY_CACHE"]))


def test_another_precision_pooling_layer_or_revision_is_computed_anew(lm, store, tmp_path):
    embed_texts(lm, TEXTS, cache=store)
    assert embed_texts(lm, TEXTS, pooling="mean", cache=store).n_computed == 0
    assert embed_texts(lm, TEXTS, pooling="cls", cache=store).n_computed == 3
    assert embed_texts(lm, TEXTS, layer=1, cache=store).n_computed == 3
    rounded = load_lm(lm.name, device="cpu", precision="bf16")
    assert embed_texts(rounded, TEXTS, cache=store).n_computed == 3
    other = load_lm(f"st:{write_encoder(tmp_path / 'other', kind='roberta')}", device="cpu")
    assert embed_texts(other, TEXTS, cache=store).n_computed == 3


def test_the_plan_says_what_was_cut_even_if_the_vector_was_stored(lm, store):
    for _ in range(2):
        embedded = embed_texts(lm, ["g1 " * 100], too_long="cut", cache=store)
        assert embedded.plan.n_tokens_cut.tolist() == [38]
    assert embedded.n_stored == 1


def test_a_plan_may_be_given_and_no_text_is_no_vector(lm, store):
    plan = lm.plan(TEXTS)
    assert embed_texts(lm, plan, cache=store).vectors.shape == (4, 64)
    assert embed_texts(lm, [], cache=store).vectors.shape == (0, 64)


@pytest.mark.parametrize("damage", ["bit", "short", "other"])
def test_a_damaged_vector_is_computed_anew(lm, store, damage):
    first = embed_texts(lm, TEXTS, cache=store)
    with sqlite3.connect(store) as file:
        key, vector = file.execute("SELECT key, vector FROM vectors LIMIT 1").fetchone()
        swapped = file.execute("SELECT vector FROM vectors WHERE key != ?", (key,)).fetchone()[0]
        changed = {
            "bit": bytes([vector[0] ^ 1]) + vector[1:],
            "short": vector[:-4],
            "other": swapped,
        }
        file.execute("UPDATE vectors SET vector = ? WHERE key = ?", (changed[damage], key))
    file.close()
    again = embed_texts(lm, TEXTS, cache=store)
    assert (again.n_computed, again.n_stored) == (1, 2)
    np.testing.assert_allclose(again.vectors, first.vectors, atol=1e-6)
    assert embed_texts(lm, TEXTS, cache=store).n_computed == 0


def test_a_file_that_is_no_store_is_replaced(lm, store):
    store.parent.mkdir()
    store.write_bytes(b"not a database, " * 1000)
    assert embed_texts(lm, TEXTS, cache=store).n_computed == 3
    assert embed_texts(lm, TEXTS, cache=store).n_computed == 0


def test_a_store_of_another_version_is_emptied(lm, store):
    embed_texts(lm, TEXTS, cache=store)
    with sqlite3.connect(store) as file:
        file.execute("PRAGMA user_version = 99")
    file.close()
    assert embed_texts(lm, TEXTS, cache=store).n_computed == 3


def test_a_store_broken_inside_is_left_and_made_anew(lm, store):
    texts = [f"g{i} g{j}" for i in range(20) for j in range(20)]
    embed_texts(lm, texts, cache=store)
    content = bytearray(store.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    store.write_bytes(bytes(content))
    with pytest.warns(UserWarning, match="Embeddings are not kept for the next time"):
        assert embed_texts(lm, TEXTS, cache=store).n_computed == 3
    assert embed_texts(lm, TEXTS, cache=store).n_computed == 3
    assert embed_texts(lm, TEXTS, cache=store).n_computed == 0


def test_a_store_that_cannot_be_opened_is_said_once_and_the_work_goes_on(lm, tmp_path):
    taken = tmp_path / "file"
    taken.write_text("")
    with pytest.warns(UserWarning, match="Embeddings are not kept") as said:
        embedded = embed_texts(lm, TEXTS, cache=taken / "vectors.sqlite")
    assert len(said) == 1
    assert embedded.n_computed == 3
    with pytest.warns(UserWarning, match="Embeddings are not kept"):
        embed_texts(lm, TEXTS, cache=tmp_path)


WRITER = """
import sys, numpy as np
from celloquy.lm import VectorStore
with VectorStore(sys.argv[1]) as store:
    print("open", flush=True)
    for block in range(10**6):
        keys = [b"%016d" % (block * 100 + i) for i in range(100)]
        store.add(keys, np.full((100, 64), block, dtype=np.float32))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no SIGKILL")
def test_a_killed_writer_leaves_whole_blocks_that_others_read(store):
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(store)], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    for writer in writers:
        writer.stdout.readline()
    time.sleep(0.5)
    for writer in writers:
        writer.kill()
        writer.wait()
        writer.stdout.close()
    with VectorStore(store) as found:
        n = len(found)
        assert n > 0
        assert n % 100 == 0
        vectors = found.find([b"%016d" % i for i in range(n)], 64)
    assert len(vectors) == n
    assert all((vectors[b"%016d" % i] == i // 100).all() for i in range(0, n, 37))


def test_the_oldest_vectors_leave_a_store_that_is_full(store):
    with VectorStore(store, max_bytes=400_000) as full:
        for block in range(20):
            keys = [vector_key("r", np.array([block, i], dtype=np.int32)) for i in range(100)]
            full.add(keys, np.zeros((100, 64), dtype=np.float32))
        assert 500 < len(full) < 2000
        assert len(full.find(keys, 64)) == 100


def test_fifty_thousand_lookups_take_about_a_second(store):
    keys = [b"%016d" % i for i in range(50_000)]
    with VectorStore(store) as made:
        made.add(keys, np.random.default_rng(0).random((50_000, 64), dtype=np.float32))
        start = time.process_time()
        assert len(made.find(keys, 64)) == 50_000
        assert time.process_time() - start < 2.0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=3), st.lists(st.integers(0, 2**31 - 1))), unique_by=str))
def test_keys_of_different_recipes_or_tokens_differ(pairs):
    keys = {vector_key(recipe, np.array(ids, dtype=np.int32)) for recipe, ids in pairs}
    assert len(keys) == len(pairs)
    assert all(len(key) == 16 for key in keys)
