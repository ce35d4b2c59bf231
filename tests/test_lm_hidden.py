"""Vectors from decoders: the numbers of transformers, alone and together, by any route."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from celloquy.errors import BackendError, InputError
from celloquy.learn import weighted_gene_vectors
from celloquy.lm import _hidden_suffixes as suffix_module
from celloquy.lm import embed_texts, load_lm
from celloquy.text import Field, Names, Text, Vocabulary
from decoder_models import GENES, each_family, write_decoder, write_seq2seq

VOCABULARY = Vocabulary(GENES)


def cell(*genes: int, **options) -> Names:
    return Names(np.array(genes, dtype=np.int32), VOCABULARY, **options)


PROMPTS = [
    (Text("A cell with genes: "), cell(0, 5, 3, 9), Text(". It is a")),
    (Text("A cell with genes: "), cell(*range(16)), Text(". It is a")),
    (Text("From "), Field("lung"), Text(": "), cell(7)),
    "Gene CD3E",
]


@pytest.fixture(scope="module", params=each_family())
def family(request, tmp_path_factory):
    """A folder, the loaded model, and the model of transformers."""
    folder = write_decoder(tmp_path_factory.mktemp(request.param), family=request.param)
    reference = AutoModelForCausalLM.from_pretrained(folder).eval()
    return folder, load_lm(f"hf:{folder}", device="cpu"), reference


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    folder = write_decoder(tmp_path_factory.mktemp("llama"))
    return load_lm(f"hf:{folder}", device="cpu")


def states(reference, ids) -> list[np.ndarray]:
    """All hidden states of one prompt, as transformers gives them."""
    with torch.inference_mode():
        output = reference(torch.tensor(ids[None].astype(np.int64)), output_hidden_states=True)
    return [layer[0].float().numpy() for layer in output.hidden_states]


@pytest.mark.parametrize("layer", [0, 1, 2, -1, None])
def test_every_family_gives_the_hidden_states_of_transformers(family, layer):
    _, lm, reference = family
    plan = lm.plan(PROMPTS)
    every = [states(reference, ids)[-1 if layer is None else layer] for ids in plan.ids]
    for pooling, pooled in (
        ("last", [h[-1] for h in every]),
        ("mean", [h.mean(axis=0) for h in every]),
        ("max", [h.max(axis=0) for h in every]),
        ("cls", [h[0] for h in every]),
    ):
        found = lm.embed(PROMPTS, pooling=pooling, layer=layer)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, np.array(pooled), atol=2e-4)


def test_ch_3_the_vector_is_that_of_the_last_prompt_token_in_the_last_layer(tmp_path):
    folder = write_decoder(tmp_path, tokenizer="llama3")
    lm = load_lm(f"hf:{folder}", device="cpu", prompt_format="cellhermes")
    reference = AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = lm.format.ids("Gene BRCA1")
    newlines = lm.tokenizer("\n\n", add_special_tokens=False).input_ids
    assert ids[-1] == newlines[-1], "the line breaks after the assistant's header"
    found = lm.embed(["Gene BRCA1"])
    assert found.shape == (1, 64)
    np.testing.assert_allclose(found[0], states(reference, ids)[-1][-1], atol=1e-4)
    assert lm.default_pooling == "last"


def test_ch_12_a_weighted_cell_vector_is_the_weighted_mean_of_gene_vectors(llama):
    import scipy.sparse as sp

    genes = llama.embed([f"Gene {name}" for name in GENES[:3]])
    expression = sp.csr_matrix(np.array([[2.0, 0.0, 1.0]], dtype=np.float32))
    found = weighted_gene_vectors(expression, genes, normalise_by="weights")
    expected = (2 * genes[0] + 1 * genes[2]) / (2 + 1)
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


def test_pooling_genes_takes_the_tokens_that_spell_them(family):
    _, lm, reference = family
    prompts = PROMPTS[:3]
    for row, tokens in enumerate(lm.format.tokens(prompts)):
        assert 0 < tokens.is_gene.sum() < len(tokens.ids)
        expected = states(reference, tokens.ids)[-1][tokens.is_gene].mean(axis=0)
        np.testing.assert_allclose(lm.embed(prompts, pooling="genes")[row], expected, atol=2e-4)


def test_pooling_genes_of_a_prompt_without_genes_is_refused(llama):
    with pytest.raises(InputError, match="Prompt 1 of 2 names no gene"):
        llama.embed([PROMPTS[0], "Gene CD3E"], pooling="genes")


def test_an_unknown_pooling_or_layer_is_refused(llama):
    with pytest.raises(InputError, match="There is no pooling 'clast'; the closest is 'last'"):
        llama.embed(["CD3E"], pooling="clast")
    with pytest.raises(InputError, match="There is no layer 3") as refusal:
        llama.embed(["CD3E"], layer=3)
    assert refusal.value.hint == "choose 0 to 2, or -1 for the last."


@settings(
    deadline=None,
    max_examples=12,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    cells=st.lists(
        st.lists(st.integers(0, len(GENES) - 1), min_size=1, max_size=18, unique=True),
        min_size=1,
        max_size=6,
    ),
    budget=st.sampled_from([16, 64, 4096]),
    pooling=st.sampled_from(["last", "mean", "genes"]),
    layer=st.sampled_from([None, 1]),
    data=st.data(),
)
def test_batch_mates_order_and_chunks_change_nothing(family, cells, budget, pooling, layer, data):
    _, lm, _ = family
    prompts = [(Text("A cell: "), cell(*genes), Text(". It is a")) for genes in cells]
    alone = np.vstack([lm.embed([p], pooling=pooling, layer=layer) for p in prompts])
    order = data.draw(st.permutations(range(len(prompts))))
    asked = lm.runner.token_budget
    lm.runner.token_budget = budget
    try:
        together = lm.embed([prompts[i] for i in order], pooling=pooling, layer=layer)
    finally:
        lm.runner.token_budget = asked
    np.testing.assert_allclose(together, alone[list(order)], atol=2e-4)


def test_the_padding_side_of_the_tokenizer_changes_nothing(family):
    folder, lm, _ = family
    lm_left = load_lm(f"hf:{folder}", device="cpu")
    lm_left.tokenizer.padding_side = "left"
    np.testing.assert_array_equal(lm_left.embed(PROMPTS), lm.embed(PROMPTS))


def test_the_attention_kernel_changes_nothing(family):
    folder, lm, reference = family
    if reference.config._attn_implementation == "eager":
        pytest.skip("this family has one kernel only")
    other = load_lm(f"hf:{folder}", device="cpu")
    other.network.model.set_attn_implementation("eager")
    for pooling in ("last", "mean"):
        found, expected = (one.embed(PROMPTS, pooling=pooling) for one in (other, lm))
        np.testing.assert_allclose(found, expected, atol=2e-4)


SUFFIXES = [[f". In this cell, Gene {name}" for name in GENES[:9]]] * 2


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_genes_in_a_cell_are_what_one_forward_a_gene_gives(family, pooling):
    _, lm, reference = family
    prompts = PROMPTS[:2]
    found = lm.embed(prompts, suffixes=SUFFIXES, pooling=pooling)
    assert found.shape == (2, 9, 64)
    for row, prompt in enumerate(prompts):
        whole = lm.format.tokens([prompt] * 9, suffixes=SUFFIXES[row])
        for column, tokens in enumerate(whole):
            hidden = states(reference, tokens.ids)[-1]
            own = hidden[-1] if pooling == "last" else hidden[tokens.is_suffix].mean(axis=0)
            np.testing.assert_allclose(found[row, column], own, atol=3e-4)


def test_a_gene_in_a_cell_does_not_depend_on_the_other_genes_asked_about(family, monkeypatch):
    _, lm, _ = family
    together = lm.embed(PROMPTS[:2], suffixes=SUFFIXES, pooling="mean", layer=1)
    alone = lm.embed(PROMPTS[:1], suffixes=[[SUFFIXES[0][4]]], pooling="mean", layer=1)
    np.testing.assert_allclose(together[0, 4], alone[0, 0], atol=3e-4)
    monkeypatch.setitem(suffix_module.TOKENS_AT_ONCE, "cpu", 20)
    pieces = lm.embed(PROMPTS[:2], suffixes=SUFFIXES, pooling="mean", layer=1)
    np.testing.assert_allclose(pieces, together, atol=3e-4)


def test_gene_tokens_of_a_suffix_are_pooled_and_a_chat_closes_after_it(tmp_path):
    folder = write_decoder(tmp_path, tokenizer="llama3")
    lm = load_lm(f"hf:{folder}", device="cpu", prompt_format="cellhermes")
    reference = AutoModelForCausalLM.from_pretrained(folder).eval()
    asked = [(Text(". In this cell, Gene "), cell(g, may_cut=False)) for g in (2, 11)]
    for pooling in ("genes", "last", "max", "cls"):
        found = lm.embed(PROMPTS[:1], suffixes=[asked], pooling=pooling)[0]
        for row, tokens in enumerate(lm.format.tokens([PROMPTS[0]] * 2, suffixes=asked)):
            hidden = states(reference, tokens.ids)[-1]
            own = {
                "genes": hidden[tokens.is_gene & tokens.is_suffix].mean(axis=0),
                "last": hidden[-1],
                "max": hidden[tokens.is_suffix].max(axis=0),
                "cls": hidden[tokens.is_suffix][0],
            }[pooling]
            np.testing.assert_allclose(found[row], own, atol=2e-4)


def test_suffixes_that_do_not_belong_to_the_prompts_are_refused(llama):
    with pytest.raises(InputError, match=r"2 prompts have 1 lists of suffixes of 1 texts"):
        llama.embed(["a", "b"], suffixes=[["x"]])
    with pytest.raises(InputError, match=r"2 prompts have 2 lists of suffixes of 1, 2 texts"):
        llama.embed(["a", "b"], suffixes=[["x"], ["y", "z"]])
    with pytest.raises(InputError, match="Suffix 1 of 2 has no token"):
        llama.embed(["a"], suffixes=[["x", ""]])
    with pytest.raises(InputError, match="Prompt 0 of 1 names no gene"):
        llama.embed(["a"], suffixes=[["x"]], pooling="genes")


@pytest.mark.parametrize("write", [write_decoder, write_seq2seq])
def test_a_cell_that_does_not_fit_with_its_suffix_loses_genes_and_never_the_suffix(write, tmp_path):
    lm = load_lm(f"hf:{write(tmp_path, max_tokens=40)}", device="cpu")
    long = (Text("A cell: "), cell(*list(range(18)) * 3), Text(". It is a"))
    found = lm.embed([long], suffixes=[[". In this cell, Gene CD3E"]], pooling="mean")
    assert np.isfinite(found).all()
    with pytest.raises(InputError, match="reads 40"):
        lm.embed(["CD3E " * 60], suffixes=[["x"]])
    sizes = {n: len(lm.format.all_ids(["CD3E " * n])[0]) for n in range(1, 40)}
    just = "CD3E " * max(n for n, size in sizes.items() if size <= 40)
    assert len(lm.embed([just])) == 1  # the prompt alone fits; with what follows it does not
    with pytest.raises(InputError, match="reads 40"):
        lm.embed([just], suffixes=[[". In this cell, Gene CD3E"]])


def test_a_t5_encoder_gives_the_hidden_states_of_transformers(tmp_path):
    folder = write_seq2seq(tmp_path)
    lm = load_lm(f"hf:{folder}", device="cpu")
    reference = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    plan = lm.plan(PROMPTS)
    for layer in (0, 1, 2, None):
        found = lm.embed(PROMPTS, layer=layer)
        for row, ids in enumerate(plan.ids):
            with torch.inference_mode():
                output = reference.encoder(
                    torch.tensor(ids[None].astype(np.int64)), output_hidden_states=True
                )
            hidden = output.hidden_states[-1 if layer is None else layer][0].numpy()
            np.testing.assert_allclose(found[row], hidden.mean(axis=0), atol=2e-4)
    alone = np.vstack([lm.embed([prompt], pooling="last") for prompt in PROMPTS])
    np.testing.assert_allclose(lm.embed(PROMPTS, pooling="last"), alone, atol=2e-4)
    suffixes = [[". Gene CD4", ". Gene LYZ"]] * 2
    found = lm.embed(PROMPTS[:2], suffixes=suffixes, pooling="mean")
    one = lm.embed(PROMPTS[1:2], suffixes=[[". Gene LYZ"]], pooling="mean")
    np.testing.assert_allclose(found[1, 1], one[0, 0], atol=2e-4)


def test_a_vector_that_is_no_number_is_refused(tmp_path):
    lm = load_lm(f"hf:{write_decoder(tmp_path)}", device="cpu")
    lm.network.model.model.norm.weight.data.fill_(float("nan"))
    with pytest.raises(BackendError, match="gave a vector that is not finite, at fp32"):
        lm.embed(["CD3E"])


def test_stored_vectors_know_which_tokens_were_genes(llama, tmp_path):
    named = (Text("CD3D "), cell(1))
    other = (Text("CD3D CD3"), Text("E"))
    store = tmp_path / "store.sqlite"
    first = embed_texts(llama, [named], pooling="genes", cache=store)
    assert first.n_computed == 1
    assert embed_texts(llama, [named], pooling="genes", cache=store).n_stored == 1
    both = (cell(0, 1),)
    assert llama.format.ids(both).tolist() == llama.format.ids(named).tolist()
    again = embed_texts(llama, [both], pooling="genes", cache=store)
    assert again.n_computed == 1
    assert np.abs(again.vectors - first.vectors).max() > 1e-3
    assert embed_texts(llama, [other], pooling="last", cache=store).n_computed == 1
