"""Tiny decoders and encoder-decoders with random weights, written as other programs write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
    T5Config,
)

if TYPE_CHECKING:
    from pathlib import Path

FAMILIES = ("gpt2", "gpt_neox", "llama", "qwen3", "mistral", "gemma", "gemma2", "gemma3")
"""Decoders; the last three and mistral, with `window`, look back a few tokens in some layers."""
QUICK = ("gpt2", "gemma3")
"""Learned positions; and turned ones with windows and norms of queries."""
Kind = Literal["bytes", "llama3", "spaces"]
HEAD, INNER = 64, 96
GENES = (
    "CD3D", "CD3E", "CD3G", "CD4", "CD8A", "IL7R", "MS4A1", "CD79A", "CD79B", "NKG7", "GNLY", "LYZ",
    "S100A8", "S100A9", "FCGR3A", "PPBP", "MT-CO1", "HLA-DRA",
)  # fmt: skip
LABELS = ("T cell", "B cell", "NK cell", "CD4 T cell", "CD4 T cell, naive", "monocyte")
LLAMA3_SPECIAL = (
    "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
    "<|eot_id|>",
)  # fmt: skip
CHAT = (
    "{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
"""A chat template with the role marks of Llama 3, without its system block."""
_TEXTS = [
    *(" ".join(GENES[i:] + GENES[:i]) for i in range(len(GENES))),
    *(f"Name the type of this cell. Genes: {g}.\nThe cell is a" for g in GENES),
    *(f"The cell is a {label}." for label in LABELS),
    "user assistant system",
    "A cell with genes ranked by expression. In this cell, Gene",
]


def each_family(names: tuple[str, ...] = FAMILIES) -> list[Any]:
    """Give families to test one by one: two of them always, the others in whole runs."""
    slow = pytest.mark.slow
    return [name if name in QUICK else pytest.param(name, marks=slow) for name in names]


def make_tokenizer(kind: Kind = "bytes", *, max_tokens: int = 512, chat: str | None = None) -> Any:
    """Make a small byte-pair tokenizer that knows a few genes.

    ``"bytes"`` reads bytes as GPT-2 does and adds nothing; ``"llama3"`` has the special tokens of
    Llama 3 and begins a text with one; ``"spaces"`` marks spaces as Gemma and T5 do, begins a
    text with ``<bos>`` and has a padding token.
    """
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>" if kind == "spaces" else None))
    special = {"bytes": ("<|endoftext|>",), "llama3": LLAMA3_SPECIAL}.get(
        kind, ("<pad>", "<eos>", "<bos>", "<unk>")
    )
    alphabet: list[str] = []
    if kind == "spaces":
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
        tokenizer.decoder = decoders.Metaspace(prepend_scheme="never")
        alphabet = [chr(i) for i in range(33, 127)] + ["\n"]
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=list(special), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(_TEXTS, trainer)
    if kind == "llama3":
        tokenizer.add_special_tokens([AddedToken(t, special=True) for t in special])
        bos, eos, padding = "<|begin_of_text|>", "<|eot_id|>", None
    elif kind == "bytes":
        bos, eos, padding = None, "<|endoftext|>", None
    else:
        bos, eos, padding = "<bos>", "<eos>", "<pad>"
    if bos is not None:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
    named = {"bos_token": bos, "eos_token": eos, "pad_token": padding}
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_tokens,
        **{name: token for name, token in named.items() if token is not None},
    )
    made.chat_template = chat
    return made


def make_config(
    family: str, *, vocab_size: int, max_tokens: int = 512, window: int = 8, inner: int = INNER
) -> Any:
    """Make the settings of a decoder with two layers and heads of 64 dimensions."""
    shape = {
        "vocab_size": vocab_size,
        "hidden_size": HEAD,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": inner,
        "max_position_embeddings": max_tokens,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    grouped = shape | {"num_key_value_heads": 1, "head_dim": HEAD, "pad_token_id": None}
    if family == "gpt2":
        return GPT2Config(
            vocab_size=vocab_size, n_positions=max_tokens, n_embd=HEAD, n_layer=2, n_head=1,
            bos_token_id=0, eos_token_id=0,
        )  # fmt: skip
    if family == "gpt_neox":
        return GPTNeoXConfig(**shape | {"num_attention_heads": 1})
    sliding = {"sliding_window": window, "layer_types": ["sliding_attention", "full_attention"]}
    return {
        "llama": lambda: LlamaConfig(**grouped),
        "qwen3": lambda: Qwen3Config(**grouped),
        "mistral": lambda: MistralConfig(**grouped, sliding_window=window),
        "gemma": lambda: GemmaConfig(**grouped),
        "gemma2": lambda: Gemma2Config(**grouped, **sliding, query_pre_attn_scalar=HEAD),
        "gemma3": lambda: Gemma3TextConfig(**grouped, **sliding, query_pre_attn_scalar=HEAD),
    }[family]()


def _with_random_weights(make: Any, *, seed: int, spread: float) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = make()
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=spread)
    return model.eval().requires_grad_(requires_grad=False)


def make_decoder(family: str = "llama", *, seed: int = 7, spread: float = 0.2, **shape: Any) -> Any:
    """Make a decoder with random weights in memory; `shape` goes to :func:`make_config`."""
    config = make_config(family, **{"vocab_size": 400, **shape})
    return _with_random_weights(
        lambda: AutoModelForCausalLM.from_config(config), seed=seed, spread=spread
    )


def make_seq2seq(
    *, vocab_size: int = 400, seed: int = 7, is_tied: bool = False, inner: int = INNER
) -> Any:
    """Make a T5 with random weights in memory."""
    config = T5Config(
        vocab_size=vocab_size, d_model=HEAD, d_kv=HEAD, d_ff=inner, num_layers=2, num_heads=1,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=1, tie_word_embeddings=is_tied,
    )  # fmt: skip
    return _with_random_weights(
        lambda: AutoModelForSeq2SeqLM.from_config(config), seed=seed, spread=0.2
    )


def write_decoder(
    folder: Path,
    *,
    family: str = "llama",
    tokenizer: Kind = "bytes",
    max_tokens: int = 512,
    chat: str | None = None,
    seed: int = 7,
    inner: int = INNER,
) -> Path:
    """Write a decoder and its tokenizer as transformers does."""
    made = make_tokenizer(tokenizer, max_tokens=max_tokens, chat=chat)
    shape = {"vocab_size": len(made), "max_tokens": max_tokens, "inner": inner}
    model = make_decoder(family, seed=seed, **shape)
    model.generation_config.eos_token_id = model.config.eos_token_id = made.eos_token_id
    model.save_pretrained(folder)
    made.save_pretrained(folder)
    return folder


def write_seq2seq(
    folder: Path, *, max_tokens: int = 512, seed: int = 7, inner: int = INNER
) -> Path:
    """Write a T5 and a tokenizer that ends a text as T5's does."""
    made = make_tokenizer("spaces", max_tokens=max_tokens)
    made.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", 1)]
    )
    make_seq2seq(vocab_size=len(made), seed=seed, inner=inner).save_pretrained(folder)
    made.save_pretrained(folder)
    return folder
