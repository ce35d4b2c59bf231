"""Decoders and encoder-decoders: what is loaded, what is refused, and what they can be asked."""

from __future__ import annotations

import importlib.util
import json
import warnings

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    BloomConfig,
    CohereConfig,
    Qwen3_5TextConfig,
)

from celloquy.errors import CheckpointError, InputError, MissingExtraError
from celloquy.lm import Decoder, Limits, Seq2Seq, load_lm
from celloquy.lm._network import CausalNetwork
from celloquy.lm._verify import refuse_unknown_flow
from celloquy.text import Names, OneOf, Text, Vocabulary
from decoder_models import GENES, LABELS, each_family, make_decoder, write_decoder, write_seq2seq
from lm_models import change_json

VOCABULARY = Vocabulary(GENES)


def names(n: int, **options) -> Names:
    return Names(np.arange(n, dtype=np.int32) % len(GENES), VOCABULARY, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_decoder(tmp_path_factory.mktemp("llama"), max_tokens=64)


@pytest.fixture(scope="module")
def tiny(folder):
    return load_lm(f"hf:{folder}", device="cpu")


@pytest.fixture
def copy(tmp_path):
    return write_decoder(tmp_path / "model", max_tokens=64)


def load(folder, **options):
    return load_lm(f"hf:{folder}", device="cpu", **options)


def naive_score(model, prompt: np.ndarray, answer: np.ndarray) -> float:
    """One forward of transformers for one answer."""
    ids = torch.from_numpy(np.concatenate([prompt, answer]).astype(np.int64))[None]
    with torch.inference_mode():
        logp = torch.log_softmax(model(ids).logits[0].double(), dim=-1)
    rows = torch.arange(len(prompt) - 1, ids.shape[1] - 1)
    return float(logp[rows, ids[0, len(prompt) :]].sum())


@pytest.mark.parametrize("family", each_family())
def test_every_family_loads_and_scores_as_transformers_does(tmp_path, family):
    folder = write_decoder(tmp_path, family=family)
    lm = load(folder)
    assert isinstance(lm, Decoder)
    assert lm.capabilities == {"embed", "score", "generate"}
    prompt = (Text("Genes: "), names(5), Text(". The cell is a"))
    found = lm.score([prompt], LABELS[:3]).logp[0]
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = lm.format.ids(prompt)
    answers = [lm.format.answer_ids(label, ends=True) for label in LABELS[:3]]
    expected = [naive_score(model, ids, answer) for answer in answers]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_decoder_writes_one_of_the_allowed_answers_and_stops(tiny):
    written = tiny.generate(["The cell is a"] * 4, OneOf(LABELS), seeds=range(4))
    assert set(written.texts) <= set(LABELS)
    assert set(written.finish_reasons) == {"end"}
    greedy = tiny.generate(
        ["The cell is a"], seeds=[0], limits=Limits(max_new_tokens=3, temperature=0)
    )
    assert len(greedy.ids[0]) <= 3


def test_a_t5_scores_as_transformers_does(tmp_path):
    folder = write_seq2seq(tmp_path)
    lm = load(folder)
    assert isinstance(lm, Seq2Seq)
    found = lm.score(["CD3E CD4 is a", "LYZ"], LABELS[:3]).logp
    model = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    for row, prompt in enumerate(["CD3E CD4 is a", "LYZ"]):
        ids = torch.tensor(lm.format.ids(prompt)[None].astype(np.int64))
        for column, label in enumerate(LABELS[:3]):
            answer = torch.tensor(lm.format.answer_ids(label, ends=True)[None].astype(np.int64))
            with torch.inference_mode():
                loss = model(input_ids=ids, labels=answer).loss
            assert found[row, column] == pytest.approx(-float(loss) * answer.shape[1], abs=1e-4)


def test_a_t5_writes_one_of_the_allowed_answers_and_nothing_else(tmp_path):
    lm = load(write_seq2seq(tmp_path))
    written = lm.generate(["CD3E", "LYZ"], OneOf(LABELS), seeds=[0, 1])
    assert set(written.texts) <= set(LABELS)
    free = lm.generate(["CD3E"], seeds=[0], limits=Limits(max_new_tokens=4))
    assert len(free.ids[0]) <= 4


def test_a_t5_is_asked_with_its_end_token_and_has_its_own_room_for_the_answer(tmp_path):
    lm = load(write_seq2seq(tmp_path, max_tokens=32))
    assert lm.format.ids("CD3E")[-1] == 1
    assert lm.plan(["CD3E"], n_answer_tokens=31).n_tokens.tolist() == [2]
    assert lm.max_tokens == 32


def test_weights_have_the_precision_that_was_asked_for_whatever_the_checkpoint_holds(tmp_path):
    model = make_decoder("llama", vocab_size=375).bfloat16()
    folder = write_decoder(tmp_path)
    model.save_pretrained(folder)
    exact, rounded = load(folder), load(folder, precision="bf16")
    assert exact.network.dtype == torch.float32
    assert rounded.network.dtype == torch.bfloat16
    prompts = ["CD3E CD4", "MS4A1"]
    one, other = (lm.score(prompts, LABELS[:2]).logp for lm in (exact, rounded))
    np.testing.assert_allclose(other, one, rtol=0.05)


def test_4_bits_name_the_package_that_they_need(folder, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else real(name)
    )
    with pytest.raises(MissingExtraError, match="needs the package `bitsandbytes`") as refusal:
        load(folder, precision="4bit")
    assert refusal.value.hint == "pip install 'celloquy[quantization]'"


def test_a_missing_extra_is_named(folder, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "transformers" else real(name)
    )
    with pytest.raises(
        MissingExtraError, match="The backend 'hf' needs the package `transformers`"
    ) as refusal:
        load(folder)
    assert refusal.value.hint == "pip install 'celloquy[llm]'"


def test_an_unknown_precision_or_format_is_refused(folder):
    with pytest.raises(InputError, match="There is no precision 'fp16'"):
        load(folder, precision="fp16")
    with pytest.raises(InputError, match="There is no prompt format 'chatt'; the closest is"):
        load(folder, prompt_format="chatt")
    with pytest.raises(InputError, match="The tokenizer has no chat template"):
        load(folder, prompt_format="chat")


def test_an_unknown_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="There is no folder 'gpt5' with a language model") as no:
        load_lm("hf:gpt5")
    assert "`hf:owner/name@revision`" in no.value.hint
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        load(tmp_path / "empty")


def test_a_hub_model_is_fetched_only_if_asked_and_by_its_revision(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match="nothing is fetched unasked") as refusal:
        load_lm("hf:celloquy/no-such-model@abc", device="cpu")
    assert "`hf:celloquy/no-such-model@<commit>`" in refusal.value.hint
    with pytest.raises(InputError, match="'hf:celloquy/no-such-model' names none"):
        load_lm("hf:celloquy/no-such-model", device="cpu", allow_download=True)


def test_a_pickle_is_refused_and_the_hint_says_how_to_convert_it(copy):
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="as a pickle, which can run code") as refusal:
        load(copy)
    assert "save_pretrained(folder)` writes safetensors" in refusal.value.hint


def test_truncated_weights_are_refused(copy):
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load(copy)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_a_checkpoint_that_runs_code_is_refused(copy, file):
    change_json(copy / file, auto_map={"AutoModelForCausalLM": "modeling.Net"})
    with pytest.raises(CheckpointError, match=f"run code of its own: 'auto_map' in {file}"):
        load(copy)


def test_a_family_that_transformers_does_not_know_is_refused(copy):
    change_json(copy / "config.json", model_type="nonsense")
    with pytest.raises(CheckpointError, match="cannot be loaded as a language model"):
        load(copy)


def test_missing_weights_are_refused(copy):
    from safetensors.torch import load_file, save_file

    weights = load_file(copy / "model.safetensors")
    weights.pop("model.norm.weight")
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lacks 1 weights, such as 'model\.norm\.weight'"):
        load(copy)


def test_a_checkpoint_without_or_with_a_foreign_tokenizer_is_refused(copy, tmp_path):
    make_decoder("llama", vocab_size=100, max_tokens=64).save_pretrained(copy)
    with pytest.raises(CheckpointError, match="has 375 tokens, and its network 100"):
        load(copy)
    (copy / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match="has a tokenizer that cannot be read"):
        load(copy)
    for file in copy.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(CheckpointError, match="has no tokenizer"):
        load(copy)


def test_a_checkpoint_that_states_no_length_is_refused(copy):
    change_json(copy / "tokenizer_config.json", model_max_length=10**30)
    change_json(copy / "config.json", max_position_embeddings=10**9)
    with pytest.raises(CheckpointError, match="does not say how many tokens it reads"):
        load(copy)


def test_a_family_that_scales_its_logits_is_refused():
    config = CohereConfig(
        vocab_size=100, hidden_size=64, intermediate_size=64, num_hidden_layers=1,
        num_attention_heads=1, max_position_embeddings=64, logit_scale=0.25,
    )  # fmt: skip
    network = CausalNetwork(AutoModelForCausalLM.from_config(config).eval(), "cpu")
    with pytest.raises(CheckpointError, match="family 'cohere' are not known here: its logits"):
        refuse_unknown_flow(network)


def test_a_family_that_cannot_be_told_what_a_token_sees_is_refused():
    config = BloomConfig(vocab_size=100, hidden_size=64, n_layer=1, n_head=4)
    network = CausalNetwork(AutoModelForCausalLM.from_config(config).eval(), "cpu")
    with pytest.raises(CheckpointError, match="'bloom' are not known here: it cannot be asked"):
        refuse_unknown_flow(network)


def test_a_family_that_reads_cached_tokens_otherwise_is_refused():
    model = make_decoder("llama")
    network = CausalNetwork(model, "cpu")
    refuse_unknown_flow(network)
    rotate = model.model.rotary_emb.forward
    model.model.rotary_emb.forward = lambda x, position_ids: rotate(
        x, position_ids - position_ids.min()
    )
    with pytest.raises(CheckpointError, match="'llama' are not known here: it reads cached tokens"):
        refuse_unknown_flow(network)


def test_a_network_without_softmax_attention_gives_vectors_and_says_why_nothing_else(tmp_path):
    folder = write_decoder(tmp_path)
    config = Qwen3_5TextConfig(
        vocab_size=375, hidden_size=64, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=1, num_key_value_heads=1, head_dim=64, linear_num_key_heads=1,
        linear_num_value_heads=1, linear_key_head_dim=64, linear_value_head_dim=64,
        max_position_embeddings=64, layer_types=["linear_attention", "full_attention"],
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config).eval()
    model.save_pretrained(folder)
    lm = load(folder)
    assert lm.capabilities == {"embed"}
    with torch.inference_mode():
        ids = torch.tensor(lm.format.ids("CD3E CD4")[None].astype(np.int64))
        expected = model.model(ids).last_hidden_state[:, -1].numpy()
    np.testing.assert_allclose(lm.embed(["CD3E CD4", "LYZ " * 20])[:1], expected, atol=1e-4)
    why = "some layers of 'qwen3_5_text' are 'linear_attention'"
    with pytest.raises(InputError, match=f"does not score answers: {why}") as refusal:
        lm.score(["CD3E"], LABELS)
    assert "scores answers" in refusal.value.hint
    with pytest.raises(InputError, match=f"does not write answers: {why}"):
        lm.generate(["CD3E"], seeds=[0])


def test_a_sentence_encoder_refuses_what_it_cannot_and_names_a_backend_that_can():
    lm = load_lm("st:minilm", device="cpu")
    with pytest.raises(InputError, match="'st:minilm' does not score answers") as refusal:
        lm.score(["CD3E"], ["T cell"])
    assert "(`hf:…`)" in refusal.value.hint
    with pytest.raises(InputError, match="'st:minilm' does not write answers"):
        lm.generate(["CD3E"], seeds=[0])
    with pytest.raises(InputError, match="A sentence encoder takes no adapter"):
        load_lm("st:minilm", device="cpu", adapter="some")


def test_room_for_the_answer_is_kept_and_what_is_cut_is_counted(tiny):
    prompt = (Text("Genes: "), names(90), Text(". The cell is a"))
    plan = tiny.plan([prompt, "CD3E"], n_answer_tokens=10)
    assert plan.n_tokens[0] <= 54
    assert plan.n_names_cut[0] > 0
    assert plan.texts[0].endswith(". The cell is a")
    longer = tiny.plan([prompt], n_answer_tokens=9)
    assert longer.n_names_cut[0] <= plan.n_names_cut[0]
    with pytest.warns(UserWarning, match="Of 1 of 2 prompts genes were cut"):
        scores = tiny.score([prompt, "CD3E"], LABELS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        room = max(len(tiny.format.answer_ids(label, ends=True)) for label in LABELS)
        again = tiny.score(tiny.plan([prompt, "CD3E"], n_answer_tokens=room), LABELS)
    np.testing.assert_allclose(scores.logp, again.logp, atol=1e-4)


def test_a_prompt_longer_than_the_context_names_the_number_of_genes_that_fits(tiny):
    prompt = (Text("Genes: "), names(90, may_cut=False), Text(". The cell is a"))
    with pytest.raises(
        InputError, match=r"Prompt 0 takes \d+ tokens and its answer up to 10; 'hf:.*' reads 64"
    ) as refusal:
        tiny.plan([prompt], n_answer_tokens=10)
    fits = int(refusal.value.hint.split("=")[1].split("`")[0])
    for n, is_fine in ((fits, True), (fits + 1, False)):
        ids = tiny.format.ids((Text("Genes: "), names(n), Text(". The cell is a")))
        assert (len(ids) <= 54) is is_fine


def test_a_revision_changes_with_weights_format_and_settings(tmp_path):
    folder = write_decoder(tmp_path / "one")
    revisions = {load(folder).revision, load(folder, prompt_format="apart").revision}
    change_json(folder / "config.json", rms_norm_eps=1e-3)
    revisions.add(load(folder).revision)
    revisions.add(load(write_decoder(tmp_path / "two", seed=8)).revision)
    assert len(revisions) == 3 + (load(folder).format.name != "plain")
    assert json.loads((folder / "config.json").read_text())["model_type"] == "llama"
