"""Adapters: what fits is merged exactly, what does not is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from celloquy.errors import CheckpointError, InputError
from celloquy.lm import load_lm
from celloquy.lm._adapters import split_adapter
from decoder_models import LABELS, make_tokenizer, write_decoder, write_seq2seq
from lm_models import change_json

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
PROMPTS = ["CD3E CD4 is a", "MS4A1"]


def write_adapter(base, folder, *, adds: int = 0, seed: int = 3, targets=("q_proj", "v_proj")):
    """Write a LoRA adapter with random weights, over a base with `adds` more tokens."""
    model = AutoModelForCausalLM.from_pretrained(base)
    if adds:
        tokenizer = make_tokenizer("bytes")
        tokenizer.add_tokens([f"Gm{i}" for i in range(adds)])
        tokenizer.save_pretrained(folder)
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        tuned = get_peft_model(
            model,
            LoraConfig(r=4, lora_alpha=8, target_modules=list(targets), task_type="CAUSAL_LM"),
        )
        for name, weight in tuned.named_parameters():
            if "lora" in name:
                torch.nn.init.normal_(weight, std=0.2)
    tuned.save_pretrained(folder, save_embedding_layers=bool(adds))
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_decoder(tmp_path_factory.mktemp("bases") / "pythia-160m")


@pytest.fixture
def adapter(base, tmp_path):
    return write_adapter(base, tmp_path / "pbmc-lora")


def load(base, adapter, **options):
    return load_lm(f"hf:{base}+{adapter}", device="cpu", **options)


def test_a_merged_adapter_scores_as_peft_does(base, adapter):
    lm = load(base, adapter)
    tuned = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter).eval()
    bare = load_lm(f"hf:{base}", device="cpu")
    found = lm.score(PROMPTS, LABELS[:2]).logp
    for row, prompt in enumerate(PROMPTS):
        for column, label in enumerate(LABELS[:2]):
            asked, answer = lm.format.ids(prompt), lm.format.answer_ids(label, ends=True)
            ids = torch.from_numpy(np.concatenate([asked, answer]).astype(np.int64))[None]
            with torch.inference_mode():
                logp = torch.log_softmax(tuned(ids).logits[0], dim=-1)
            rows = torch.arange(len(asked) - 1, ids.shape[1] - 1)
            expected = float(logp[rows, ids[0, len(asked) :]].sum())
            assert found[row, column] == pytest.approx(expected, abs=1e-4)
    assert np.abs(found - bare.score(PROMPTS, LABELS[:2]).logp).max() > 0.1
    assert lm.revision != bare.revision
    assert lm.name == f"hf:{base}+{adapter}"


def test_an_adapter_is_named_after_a_plus_or_by_its_own_option(base, adapter, tmp_path):
    one = load(base, adapter).score(PROMPTS, LABELS[:2]).logp
    other = load_lm(f"hf:{base}", device="cpu", adapter=str(adapter))
    np.testing.assert_array_equal(other.score(PROMPTS, LABELS[:2]).logp, one)
    with pytest.raises(InputError, match="Two adapters are named"):
        load_lm(f"hf:{base}+{adapter}", device="cpu", adapter="other")
    with pytest.raises(InputError, match="are named as `hf:BASE\\+ADAPTER`; got 'hf:base\\+'"):
        load_lm("hf:base+", device="cpu")
    plus = tmp_path / "a+b"
    plus.mkdir()
    assert split_adapter(str(plus)) == (str(plus), None)


def test_an_adapter_for_another_base_is_refused_and_the_hint_loads_the_right_one(base, adapter):
    change_json(adapter / "adapter_config.json", base_model_name_or_path="meta-llama/Llama-3.1-8B")
    with pytest.raises(
        CheckpointError,
        match=r"'pbmc-lora' was trained on 'Llama-3\.1-8B', but 'pythia-160m' is loaded",
    ) as refusal:
        load(base, adapter)
    assert refusal.value.hint.startswith('cq.load_lm("hf:meta-llama/Llama-3.1-8B", adapter=')


def test_an_adapter_whose_weights_have_another_shape_is_refused(base, adapter, tmp_path):
    other = write_decoder(tmp_path / "pythia-160m", family="gemma")
    gpt2 = write_decoder(tmp_path / "gpt2" / "pythia-160m", family="gpt2")
    with pytest.raises(CheckpointError, match="'pbmc-lora' does not fit the base"):
        load(gpt2, adapter)
    wide = write_adapter(other, tmp_path / "mlp-lora", targets=("down_proj",))
    change_json(wide / "adapter_config.json", r=8)
    with pytest.raises(CheckpointError, match="'mlp-lora' does not fit the base"):
        load(other, wide)


def test_an_adapter_that_adds_tokens_brings_their_vectors_and_its_tokenizer(base, tmp_path):
    adapter = write_adapter(base, tmp_path / "genes-lora", adds=3)
    lm = load(base, adapter)
    assert len(lm.format.ids("Gm2")) == 1
    assert lm.score(["Gm1 Gm2"], LABELS[:2]).logp.shape == (1, 2)
    tuned = AutoModelForCausalLM.from_pretrained(base)
    tuned.resize_token_embeddings(378, mean_resizing=False)
    tuned = PeftModel.from_pretrained(tuned, adapter).eval()
    ids = torch.from_numpy(lm.format.ids("Gm1 Gm2 CD3E").astype(np.int64))[None]
    with torch.inference_mode():
        expected = tuned.base_model.model.model(ids).last_hidden_state[:, -1].numpy()
    np.testing.assert_allclose(lm.embed(["Gm1 Gm2 CD3E"]), expected, atol=1e-4)


def test_added_tokens_without_vectors_are_refused(base, adapter):
    tokenizer = make_tokenizer("bytes")
    tokenizer.add_tokens(["Gm1"])
    tokenizer.save_pretrained(adapter)
    with pytest.raises(CheckpointError, match="adds tokens up to 376, and vectors are there for 3"):
        load(base, adapter)


def test_vectors_of_more_tokens_without_a_tokenizer_are_refused(base, tmp_path):
    adapter = write_adapter(base, tmp_path / "genes-lora", adds=3)
    for file in adapter.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(CheckpointError, match="vectors of 378 tokens and no tokenizer; the base"):
        load(base, adapter)


def test_a_tokenizer_that_reads_the_bases_tokens_otherwise_is_refused(base, adapter):
    make_tokenizer("llama3").save_pretrained(adapter)
    with pytest.raises(CheckpointError, match=r"reads \d+ tokens otherwise than the base's"):
        load(base, adapter)


def test_a_pickle_a_truncated_file_and_no_weights_are_refused(base, adapter):
    weights = adapter / "adapter_model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-50])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load(base, adapter)
    weights.rename(adapter / "adapter_model.bin")
    with pytest.raises(CheckpointError, match="as a pickle, which can run code") as refusal:
        load(base, adapter)
    assert "safetensors" in refusal.value.hint
    (adapter / "adapter_model.bin").unlink()
    with pytest.raises(CheckpointError, match=r"lacks its weights 'adapter_model\.safetensors'"):
        load(base, adapter)


def test_what_is_no_lora_adapter_or_runs_code_is_refused(base, adapter):
    with pytest.raises(CheckpointError, match=r"holds no adapter: it has no adapter_config\.json"):
        load(base, base)
    change_json(adapter / "adapter_config.json", peft_type="PROMPT_TUNING")
    with pytest.raises(CheckpointError, match="of the kind 'PROMPT_TUNING'"):
        load(base, adapter)
    change_json(adapter / "adapter_config.json", peft_type="LORA", megatron_config={"a": 1})
    with pytest.raises(CheckpointError, match="run code of its own: 'megatron_config'"):
        load(base, adapter)


def test_a_t5_takes_an_adapter_too(tmp_path):
    from transformers import AutoModelForSeq2SeqLM

    base = write_seq2seq(tmp_path / "t5")
    tuned = get_peft_model(
        AutoModelForSeq2SeqLM.from_pretrained(base),
        LoraConfig(
            r=2, target_modules=["q", "v"], task_type="SEQ_2_SEQ_LM", init_lora_weights=False
        ),
    )
    tuned.save_pretrained(tmp_path / "lora")
    found = load(base, tmp_path / "lora").score(PROMPTS, LABELS[:2]).logp
    bare = load_lm(f"hf:{base}", device="cpu").score(PROMPTS, LABELS[:2]).logp
    assert np.abs(found - bare).max() > 1e-3
