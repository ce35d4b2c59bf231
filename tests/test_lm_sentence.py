"""Sentence encoders: vectors as the reference implementation gives them, alone and together."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer

from celloquy.errors import BackendError, InputError
from celloquy.lm import load_lm
from lm_models import HEAD, WORDS, change_json, write_encoder

GENES = ["CD3E", "IL7R", "MS4A1", "CD79A", "NKG7", "GNLY", "LYZ", "S100A8", "FCGR3A", "PPBP"]
SENTENCES = [
    " ".join(GENES[i:] + GENES[:i]) + (" of a cell" * (i % 4)) for i in range(len(GENES))
] + ["CD3E", "", "MS4A1 " * 50]
QUICK = {("bert", "mean"), ("modernbert", "max"), ("roberta", "cls"), ("llama", "lasttoken")}
"""Each family and each pooling once; the others are slow tests."""


@pytest.fixture(scope="module")
def minilm():
    return load_lm("st:minilm", device="cpu")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return load_lm(f"st:{write_encoder(tmp_path_factory.mktemp('tiny'))}", device="cpu")


def reference_of(folder) -> SentenceTransformer:
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


def test_minilm_gives_what_sentence_transformers_gives(minilm):
    expected = reference_of(minilm.modules.backbone).encode(SENTENCES)
    found = minilm.embed(SENTENCES)
    assert found.dtype == np.float32
    assert found.shape == (len(SENTENCES), 384)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_minilm_reads_256_tokens_and_says_what_it_is(minilm):
    assert minilm.max_tokens == 256
    assert minilm.capabilities == {"embed"}
    assert minilm.name == "st:minilm"
    assert len(minilm.revision) == 64


def test_a_sentence_alone_is_the_sentence_among_others(minilm):
    together = minilm.embed(SENTENCES)[::4]
    alone = np.vstack([minilm.embed([text]) for text in SENTENCES[::4]])
    np.testing.assert_allclose(alone, together, atol=1e-5)


@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(
    texts=st.lists(st.lists(st.sampled_from(WORDS[4:]), max_size=50).map(" ".join), max_size=12),
    budget=st.sampled_from([16, 64, 200, 4096]),
    data=st.data(),
)
def test_order_and_batches_change_nothing(tiny, texts, budget, data):
    asked = tiny.runner.token_budget
    together = tiny.embed(texts)
    order = data.draw(st.permutations(range(len(texts))))
    tiny.runner.token_budget = budget
    try:
        again = tiny.embed([texts[i] for i in order])
    finally:
        tiny.runner.token_budget = asked
    np.testing.assert_allclose(again, together[list(order)], atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "pooling"),
    [
        pytest.param(kind, pooling, marks=[pytest.mark.slow] * ((kind, pooling) not in QUICK))
        for kind in ("bert", "modernbert", "roberta", "llama")
        for pooling in ("mean", "cls", "lasttoken", "max")
    ],
)
def test_every_family_pools_as_sentence_transformers_does(tmp_path, kind, pooling):
    folder = write_encoder(tmp_path / "model", kind=kind, pooling=pooling)
    texts = ["g1 g2 g3", "g4", "g5 g6 " * 20, "g7 g8 , g9 . " * 5]
    expected = reference_of(folder).encode(texts)
    lm = load_lm(f"st:{folder}", device="cpu")
    np.testing.assert_allclose(lm.embed(texts), expected, atol=1e-5)
    alone = np.vstack([lm.embed([text]) for text in texts])
    np.testing.assert_allclose(alone, expected, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "cls", "lasttoken"])
def test_a_tokenizer_that_pads_on_the_left_changes_nothing(tmp_path, pooling):
    texts = ["g1 g2 g3", "g4", "g5 g6 " * 20]
    right = write_encoder(tmp_path / "right", pooling=pooling)
    left = write_encoder(tmp_path / "left", pooling=pooling, padding_side="left")
    np.testing.assert_array_equal(
        load_lm(f"st:{left}", device="cpu").embed(texts),
        load_lm(f"st:{right}", device="cpu").embed(texts),
    )


def test_a_text_as_long_as_the_model_reads_is_not_padded_past_its_positions(tmp_path):
    folder = write_encoder(tmp_path / "model", kind="roberta", max_tokens=21)
    lm = load_lm(f"st:{folder}", device="cpu")
    texts = ["g1 " * 19, "g2"]
    assert lm.plan(texts).n_tokens.tolist() == [21, 3]
    np.testing.assert_allclose(lm.embed(texts), reference_of(folder).encode(texts), atol=1e-5)


def test_a_plain_folder_of_transformers_is_pooled_by_the_mean(tmp_path):
    folder = write_encoder(tmp_path / "model", pooling=None)
    lm = load_lm(f"st:{folder}", device="cpu")
    hidden = []
    lm.backbone.register_forward_hook(lambda _m, _i, output: hidden.append(output[0]))
    vector = lm.embed(["g1 g2"])[0]
    np.testing.assert_allclose(vector, hidden[0][0, :4].mean(dim=0).numpy(), atol=1e-6)


def test_a_layer_can_be_named_and_the_last_is_the_default(tiny):
    texts = ["g1 g2 g3", "g4"]
    np.testing.assert_allclose(tiny.embed(texts, layer=-1), tiny.embed(texts), atol=1e-6)
    np.testing.assert_allclose(tiny.embed(texts, layer=2), tiny.embed(texts), atol=1e-6)
    assert abs(tiny.embed(texts, layer=1) - tiny.embed(texts)).max() > 0.01


def test_a_layer_or_pooling_that_is_not_there_is_refused(tiny):
    with pytest.raises(InputError, match=r"There is no layer 3: 'st:.*' has 2\."):
        tiny.embed(["g1"], layer=3)
    with pytest.raises(InputError, match="There is no pooling 'men'; the closest is 'mean'"):
        tiny.embed(["g1"], pooling="men")


def test_linear_maps_after_pooling_are_applied(tmp_path):
    folder = write_encoder(tmp_path / "model", is_normalised=False)
    dense = folder / "2_Dense"
    dense.mkdir()
    config = {
        "in_features": HEAD,
        "out_features": 8,
        "bias": True,
        "activation_function": "torch.nn.modules.activation.Tanh",
    }
    (dense / "config.json").write_text(json.dumps(config))
    rng = torch.Generator().manual_seed(0)
    weights = {
        "linear.weight": torch.randn(8, HEAD, generator=rng),
        "linear.bias": torch.randn(8, generator=rng),
    }
    save_file(weights, dense / "model.safetensors")
    modules = json.loads((folder / "modules.json").read_text())
    modules.append(
        {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    )
    (folder / "modules.json").write_text(json.dumps(modules))
    texts = ["g1 g2 g3", "g4"]
    found = load_lm(f"st:{folder}", device="cpu").embed(texts)
    assert found.shape == (2, 8)
    np.testing.assert_allclose(found, reference_of(folder).encode(texts), atol=1e-5)


def test_words_that_a_checkpoint_puts_before_each_text_are_put_there(tmp_path):
    folder = write_encoder(tmp_path / "model")
    plain = load_lm(f"st:{folder}", device="cpu").embed(["g9 g1"])
    change_json(
        folder / "config_sentence_transformers.json",
        prompts={"query": "g9 "},
        default_prompt_name="query",
    )
    prefixed = load_lm(f"st:{folder}", device="cpu")
    assert prefixed.plan(["g1"]).n_tokens.tolist() == [4]
    np.testing.assert_allclose(prefixed.embed(["g1"]), plain, atol=1e-6)


def test_equal_texts_go_through_the_model_once(tiny):
    seen = []
    handle = tiny.backbone.register_forward_pre_hook(
        lambda _m, _a, options: seen.append(len(options["input_ids"])), with_kwargs=True
    )
    vectors = tiny.embed(["g1 g2", "g3", "g1 g2", "g1  g2"])
    handle.remove()
    assert sum(seen) == 2
    np.testing.assert_array_equal(vectors[0], vectors[2])


def test_no_text_gives_no_vector(tiny):
    assert tiny.embed([]).shape == (0, HEAD)


def test_an_empty_text_has_a_finite_vector(minilm):
    assert np.isfinite(minilm.embed([""])).all()


def test_bf16_stays_close_to_fp32(minilm):
    rounded = load_lm("st:minilm", device="cpu", precision="bf16")
    cosine = (rounded.embed(SENTENCES) * minilm.embed(SENTENCES)).sum(axis=1)
    assert cosine.min() >= 0.9995


def test_threads_and_random_state_are_as_before(tiny):
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    tiny.embed([f"g{i}" for i in range(40)])
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


class Shortage:
    """A hook that has memory for so many texts."""

    def __init__(self, n_texts: int, error: Exception) -> None:
        self.n_texts, self.error, self.n_refused = n_texts, error, 0

    def __call__(self, _module, _arguments, options) -> None:
        if len(options["input_ids"]) > self.n_texts:
            self.n_refused += 1
            raise self.error


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ],
)
def test_without_memory_batches_are_halved_it_is_said_once_and_the_run_goes_on(tmp_path, error):
    lm = load_lm(f"st:{write_encoder(tmp_path / 'model')}", device="cpu")
    texts = [f"g{i} g{j}" for i in range(8) for j in range(8)]
    expected = lm.embed(texts)
    shortage = Shortage(3, error)
    lm.backbone.register_forward_pre_hook(shortage, with_kwargs=True)
    with pytest.warns(UserWarning, match=r"Memory was short: batches of 1,024 tokens") as said:
        found = lm.embed(texts)
    assert len(said) == 1
    np.testing.assert_allclose(found, expected, atol=1e-5)
    refused = shortage.n_refused
    np.testing.assert_allclose(lm.embed(texts), expected, atol=1e-5)
    assert shortage.n_refused == refused, "the smaller batch is kept"


def test_one_text_that_does_not_fit_into_memory_is_an_error(tmp_path):
    lm = load_lm(f"st:{write_encoder(tmp_path / 'model')}", device="cpu")
    shortage = Shortage(0, torch.OutOfMemoryError("out of memory"))
    lm.backbone.register_forward_pre_hook(shortage, with_kwargs=True)
    with pytest.raises(BackendError, match="One prompt of 3 tokens does not fit into memory"):
        lm.embed(["g1"])


def test_another_failure_of_the_model_is_not_hidden(tmp_path):
    lm = load_lm(f"st:{write_encoder(tmp_path / 'model')}", device="cpu")
    lm.backbone.register_forward_pre_hook(Shortage(0, RuntimeError("shapes")), with_kwargs=True)
    with pytest.raises(RuntimeError, match="shapes"):
        lm.embed(["g1"])


def test_a_vector_that_is_not_finite_is_an_error(tmp_path):
    lm = load_lm(f"st:{write_encoder(tmp_path / 'model')}", device="cpu")
    lm.backbone.embeddings.word_embeddings.weight[5] = torch.nan
    with pytest.raises(BackendError, match="gave a vector that is not finite, at fp32"):
        lm.embed(["g1"])
