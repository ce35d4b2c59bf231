"""Tiny sentence encoders with random weights, written as other programs write them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModel,
    BertConfig,
    LlamaConfig,
    ModernBertConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
)

if TYPE_CHECKING:
    from pathlib import Path

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"g{i}" for i in range(60)), ".", ",", "a", "cell"]
HEAD = 64


def write_tokenizer(folder: Path, *, max_tokens: int = 64, padding_side: str = "right") -> None:
    """Write a tokenizer of whole words that puts [CLS] before and [SEP] after a text."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=max_tokens,
        padding_side=padding_side,
    ).save_pretrained(folder)


def write_model(folder: Path, *, kind: str = "bert", max_tokens: int = 64) -> None:
    """Write random weights of one family, two layers with one head of 64 dimensions."""
    shape = {
        "vocab_size": len(WORDS),
        "hidden_size": HEAD,
        "num_hidden_layers": 2,
        "num_attention_heads": 1,
        "intermediate_size": 96,
    }
    if kind == "modernbert":
        config = ModernBertConfig(
            **shape,
            max_position_embeddings=max_tokens,
            local_attention=8,
            global_attn_every_n_layers=2,
            pad_token_id=0,
            cls_token_id=2,
            sep_token_id=3,
            bos_token_id=2,
            eos_token_id=3,
        )
    elif kind == "llama":
        config = LlamaConfig(**shape, max_position_embeddings=max_tokens, num_key_value_heads=1)
    elif kind == "roberta":
        config = RobertaConfig(**shape, max_position_embeddings=max_tokens + 1, pad_token_id=0)
    else:
        config = BertConfig(**shape, max_position_embeddings=max_tokens)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = AutoModel.from_config(config)
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=0.2)
    model.save_pretrained(folder)


def write_encoder(
    folder: Path,
    *,
    kind: str = "bert",
    pooling: str | None = "mean",
    is_normalised: bool = True,
    max_tokens: int = 64,
    padding_side: str = "right",
) -> Path:
    """Write a sentence-transformers folder, or a plain one of transformers (no pooling)."""
    folder.mkdir(exist_ok=True)
    write_model(folder, kind=kind, max_tokens=max_tokens)
    write_tokenizer(folder, max_tokens=max_tokens, padding_side=padding_side)
    if pooling is None:
        return folder
    steps = [("", "Transformer"), ("1_Pooling", "Pooling")]
    steps += [("2_Normalize", "Normalize")] if is_normalised else []
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind_}"}
        for i, (path, kind_) in enumerate(steps)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    for path, _ in steps[1:]:
        (folder / path).mkdir(exist_ok=True)
    settings = {"embedding_dimension": HEAD, "pooling_mode": pooling}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings))
    return folder


def change_json(path: Path, **changes: object) -> None:
    """Set some keys of a JSON file."""
    settings = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(settings | changes))
