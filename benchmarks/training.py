"""Supervised fine-tuning: real tokens a second, and whether the loss is the same.

The way of Cell2Sentence (transformers' Trainer, a collator that pads on the left to the longest
of the batch, logits of every token, labels of -100 on the prompt) is run beside `celloquy train`
on the same examples: a prompt of 85 to 120 genes, a label as the answer. Networks have the shape
of a GPT-2 of 30 million weights (batch 4) and of GPT-2 small (batch 2), random weights, no
dropout, so that losses can be compared. Tokens of padding do not count.

    python benchmarks/training.py [30M | small] [--steps 3]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from _language import END, gene_names, machine, make_tokenizer
from celloquy.training import read_recipe, train
from celloquy.training._batching import epoch_steps
from celloquy.training._run import RunFolder
from celloquy.training._tokens import open_tokens

SHAPES = {"30M": (6, 384, 6, 4), "small": (12, 768, 12, 2), "tiny": (2, 64, 1, 4)}
"""Layers, width, heads and batch of each network."""
LABELS = ("CD4-positive T cell", "classical monocyte", "natural killer cell", "naive B cell")
WAYS = {
    "same batches, fp32": ("fp32", False),
    "length groups, fp32": ("fp32", True),
    "length groups, bf16": ("bf16", True),
}
RATE = 1e-4


def write_base(folder: Path, shape: str) -> None:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    n_layer, width, heads, _ = SHAPES[shape]
    tokenizer = make_tokenizer(gene_names())
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=n_layer, n_embd=width, n_head=heads, bos_token_id=0, eos_token_id=0,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, model_max_length=1_024
    ).save_pretrained(folder)


def write_examples(path: Path, n: int) -> None:
    rng, names = np.random.default_rng(2), gene_names()
    lines = []
    for _ in range(n):
        genes = [names[i] for i in rng.permutation(len(names))[: rng.integers(85, 121)]]
        prompt = (
            f"Genes of a human cell, most expressed first.\nCell sentence: {' '.join(genes)}.\n"
        )
        prompt += "The cell type is:"
        lines.append({"prompt": prompt, "answer": f"{rng.choice(LABELS)}.", "task": "label"})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def ours(work: Path, name: str, *, steps: int, batch: int) -> tuple[list[float], float]:
    precision, groups = WAYS[name]
    recipe = work / "recipe.toml"
    recipe.write_text(
        'model = { base = "base", prompt_format = "apart" }\ndata.train = ["train.jsonl"]\n'
        f'optimiser = {{ learning_rate = {RATE}, schedule = "constant", batch_size = {batch}, '
        f"max_steps = {steps + 1} }}\ncheckpoint.every = 1000\n"
        f'run = {{ precision = "{precision}", at_once = {batch}, '
        f"length_groups = {str(groups).lower()} }}\n"
    )
    out = work / f"{precision}-{groups}"
    train(read_recipe(recipe), out, device="cpu")
    lines = RunFolder(out).lines()
    timed = lines[1:]  # the first warms up
    speed = sum(line["tokens"] for line in timed) / sum(line["seconds"] for line in timed)
    return [line["loss"] for line in lines], speed


def theirs(work: Path, *, steps: int, batch: int, bf16: bool) -> tuple[list[float], float]:
    """Train by transformers' Trainer, on the batches that "same batches" had."""
    import torch
    import transformers

    tokens = open_tokens(work / "fp32-False" / "examples" / "train")
    order = np.concatenate(
        epoch_steps(tokens.lengths, batch_size=batch, seed=0, epoch=0, groups=False)
    )[: (steps + 1) * batch]
    model = transformers.GPT2LMHeadModel.from_pretrained(work / "base", dtype=torch.float32)
    ends: list[float] = []

    def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        found = [tokens.row(row["at"]) for row in rows]
        longest = max(len(ids) for ids, _ in found)
        # without places of its own, padding on the left would shift those of GPT-2's tokens
        keys = ("ids", "mask", "places")
        made = {key: torch.zeros(len(rows), longest, dtype=torch.long) for key in keys}
        labels = torch.full((len(rows), longest), -100)
        for line, (ids, n_prompt) in enumerate(found):
            start = longest - len(ids)
            made["ids"][line, start:] = torch.from_numpy(ids.astype(np.int64))
            made["mask"][line, start:] = 1
            made["places"][line, start:] = torch.arange(len(ids))
            labels[line, start + n_prompt :] = made["ids"][line, start + n_prompt :]
        return {
            "input_ids": made["ids"],
            "attention_mask": made["mask"],
            "position_ids": made["places"],
            "labels": labels,
        }

    class InOrder(transformers.Trainer):
        def _get_train_sampler(self, *_given: object) -> torch.utils.data.Sampler:
            return torch.utils.data.SequentialSampler(self.train_dataset)

    class Clock(transformers.TrainerCallback):
        def on_step_end(self, *_given: object, **_more: object) -> None:
            ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as scratch:
        trainer = InOrder(
            model=model,
            args=transformers.TrainingArguments(
                output_dir=scratch, per_device_train_batch_size=batch, max_steps=steps + 1,
                learning_rate=RATE, lr_scheduler_type="constant", weight_decay=0.0, bf16=bf16,
                use_cpu=True, logging_steps=1, save_strategy="no", report_to=[], seed=0,
                disable_tqdm=True, remove_unused_columns=False, dataloader_pin_memory=False,
            ),
            data_collator=collate,
            train_dataset=[{"at": int(row)} for row in order],
            callbacks=[Clock()],
        )  # fmt: skip
        trainer.train()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    real = tokens.lengths[order][batch:].sum()
    return losses, float(real) / (ends[-1] - ends[0])


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("shape", nargs="?", choices=SHAPES, default="30M")
    asked.add_argument("--steps", type=int, default=3)
    given = asked.parse_args()
    batch = SHAPES[given.shape][3]
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "base").mkdir()
        write_base(work / "base", given.shape)
        write_examples(work / "train.jsonl", 50 * batch)
        found = {name: ours(work, name, steps=given.steps, batch=batch) for name in WAYS}
        for bf16 in (False, True):
            name = f"transformers' Trainer, padded, {'bf16' if bf16 else 'fp32'}"
            found[name] = theirs(work, steps=given.steps, batch=batch, bf16=bf16)
    base = found["transformers' Trainer, padded, fp32"]
    print(f"| {given.shape}, batch {batch} | real tokens/s | ratio | loss of each step |")
    print("|---|---|---|---|")
    for name, (losses, speed) in sorted(found.items(), key=lambda one: one[1][1]):
        curve = ", ".join(f"{loss:.4f}" for loss in losses)
        print(f"| {name} | {speed:,.0f} | {speed / base[1]:.2f} | {curve} |")
    difference = np.abs(np.subtract(found["same batches, fp32"][0], base[0])).max()
    print(f"largest difference of a loss on the same batches, fp32: {difference:.1e}")


if __name__ == "__main__":
    main()
