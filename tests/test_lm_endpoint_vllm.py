"""A real vLLM server: `CELLOQUY_VLLM` names the Python of an environment where it is installed."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.request

import numpy as np
import pytest

from celloquy.errors import BackendError
from celloquy.lm import EndpointOptions
from celloquy.lm._endpoint import load_endpoint
from celloquy.lm._endpoint_bodies import as_messages, as_text
from celloquy.lm._protocol import Limits
from celloquy.text import Field, OneOf, Text

PYTHON = os.environ.get("CELLOQUY_VLLM")
LABELS = ["T cell", "T cell CD4", "B cell", "γδ T"]
PROMPTS = [
    (Text("Genes: CD3E MS4A1\nTissue: "), Field("lung"), Text("\nWhich cell type is it")),
    "Genes: GNLY",
]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PYTHON is None, reason="CELLOQUY_VLLM names no Python with vLLM"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Give a tiny Llama with a byte-level tokenizer and a chat template."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    place = tmp_path_factory.mktemp("tiny")
    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|im_start|>", "<|im_end|>"],
        show_progress=False,
    )
    bare.train_from_iterator(
        ["T cell B cell NK cell CD4 Genes: which cell type is it"] * 9, trainer
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bare, eos_token="<|im_end|>", model_max_length=2048
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(place)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=128, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, head_dim=64, intermediate_size=256, initializer_range=0.2,
        max_position_embeddings=2048, eos_token_id=1, tie_word_embeddings=False,
    )  # fmt: skip
    LlamaForCausalLM(config).float().save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def place(folder):
    """Run a server; give the model's name and its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder),
        "--served-model-name", "tiny", "--dtype", "float32", "--enforce-eager",
        "--host", "127.0.0.1", "--port", str(port), "--max-model-len", "2048",
    ]  # fmt: skip
    settings = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    with (
        (folder / "log.txt").open("w") as log,
        subprocess.Popen(command, env=os.environ | settings, stdout=log, stderr=log) as server,
    ):
        try:
            wait_for(f"http://127.0.0.1:{port}/v1/models", server)
            yield f"tiny@http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()


def wait_for(url, server):
    asks = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(240):
        assert server.poll() is None, "the server ended"
        try:
            asks.open(url, timeout=5).close()
        except OSError:
            time.sleep(1)
        else:
            return
    pytest.fail("the server did not start within four minutes")


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("api", ["chat", "completions"])
def test_scores_are_those_of_transformers(place, folder, api, ends):
    from transformers import AutoTokenizer, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = LlamaForCausalLM.from_pretrained(folder).eval()
    lm = load_endpoint(place, options=EndpointOptions(api=api))
    found = lm.score(PROMPTS, LABELS, ends=ends)
    assert lm.record()["closed_sets"] == "exact"
    end = {"chat": "<|im_end|>", "completions": "\n"}[api] if ends else ""
    space = " " if api == "completions" else ""
    for row, prompt in enumerate(PROMPTS):
        before = as_text(prompt)
        if api == "chat":
            before = tokenizer.apply_chat_template(
                as_messages(prompt), add_generation_prompt=True, tokenize=False
            )
        expected = [log_prob(network, tokenizer, before, space + one + end) for one in LABELS]
        assert np.abs(found.logp[row] - expected).max() < 1e-4


def log_prob(network, tokenizer, before, after):
    """Run the network on prompt and answer; sum the log-probabilities of the answer's tokens."""
    import torch

    n_before = len(tokenizer(before).input_ids)
    ids = tokenizer(before + after).input_ids
    with torch.no_grad():
        logp = network(torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(float(logp[place - 1, ids[place]]) for place in range(n_before, len(ids)))


def test_answers_of_a_closed_set_are_of_the_set(place):
    lm = load_endpoint(place, options=EndpointOptions(thinking_tokens=400))
    written = lm.generate(PROMPTS, OneOf(tuple(LABELS)), seeds=[1, 2])
    for text, reason in zip(written.texts, written.finish_reasons, strict=True):
        assert text in LABELS or reason == "refused"


def test_a_seed_gives_the_same_answer_in_another_order(place):
    lm = load_endpoint(place)
    limits = Limits(max_new_tokens=12, top_k=5, top_p=0.9)
    there = lm.generate(PROMPTS, seeds=[1, 2], limits=limits).texts
    back = lm.generate(PROMPTS[::-1], seeds=[2, 1], limits=limits).texts
    assert there == back[::-1]


def test_refusals_are_told_with_the_way_out(place):
    with pytest.raises(BackendError, match="status 404") as told:
        load_endpoint(place.replace("tiny", "nope")).generate(["x"], seeds=[0])
    assert "check the model's name" in told.value.hint
    with pytest.raises(BackendError, match="maximum context length is 2048") as told:
        load_endpoint(place).generate(["word " * 3000], seeds=[0])
    assert "n_top_genes" in told.value.hint
