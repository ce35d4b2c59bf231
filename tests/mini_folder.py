"""A stand-in for the model that ships: its files, with few genes and random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from celloquy.lm import CellReading
from celloquy.lm._added_genes import add_tokens
from celloquy.tasks import load_task
from labelled_cells import N_GENES, TYPES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

GENES = tuple(f"GENE{i}" for i in range(N_GENES))
N_TOP = 20


def medians(n: int = N_GENES) -> list[float]:
    """Give medians of which no two quotients are equal."""
    return np.random.default_rng(3).uniform(1, 5, n).tolist()


def write_genes(path: Path, genes: Sequence[str] = GENES) -> Path:
    """Write the genes that the model knows, with Ensembl ids and mouse symbols."""
    rows = [
        f"{gene}\t{median}\tENSG{i:011d}\t{gene.capitalize()}"
        for i, (gene, median) in enumerate(zip(genes, medians(len(genes)), strict=True))
    ]
    path.write_text("symbol\tmedian\tensembl\tmouse\n" + "\n".join(rows) + "\n")
    return path


def make_tokenizer(genes: Sequence[str] = GENES, *, max_tokens: int = 256) -> Any:
    """Make a tokenizer that drops white space, in which every gene is one token."""
    made = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    made.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="always")]
    )
    special = ["<pad>", "<s>", "</s>", "<unk>", *(f"<0x{i:02X}>" for i in range(256))]
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=special, show_progress=False,
        initial_alphabet=[chr(i) for i in range(33, 127)],
    )  # fmt: skip
    tasks = [load_task(name) for name in ("cell_type", "pseudo_cell")]
    made.train_from_iterator([text for task in tasks for text in task.templates], trainer)
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, model_max_length=max_tokens,
        bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>",
    )  # fmt: skip
    add_tokens(tokenizer, genes)
    return tokenizer


def write_mini(folder: Path, *, genes: Sequence[str] = GENES, **reading: Any) -> Path:
    """Write a folder with the files of the model that ships."""
    folder.mkdir(exist_ok=True)
    tokenizer = make_tokenizer(genes)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, num_hidden_layers=2, num_attention_heads=1,
        num_key_value_heads=1, head_dim=64, intermediate_size=96, max_position_embeddings=256,
        tie_word_embeddings=True, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = LlamaForCausalLM(config)
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=0.2)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    told = {
        "n_top_genes": N_TOP,
        "n_genes": (N_TOP, N_TOP),
        "rank_by": "specificity",
        "genes": write_genes(folder / "given.tsv", genes).name,
        "organisms": ("human",),
        "labels": {"cell_type": TYPES},
        "templates": {"cell_type": 0, "pseudo_cell": 0},
        **reading,
    }
    CellReading(**told, folder=folder).write(folder)
    (folder / "given.tsv").unlink()
    return folder
