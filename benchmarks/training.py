"""Supervised fine-tuning: real tokens a second, and whether the loss is the same.

The way of Cell2Sentence (transformers' Trainer, a collator that pads on the left to the longest
of the batch, logits of every token, labels of -100 on the prompt) is run beside `celloquy train`
on the same examples: a prompt of 85 to 120 genes, a label as the answer. Networks have the shape
of a GPT-2 of 30 million weights (batch 4) and of GPT-2 small (batch 2), random weights, no
dropout, so that losses can be compared. Tokens of padding do not count. Each way runs in a
process of its own, one after the other, in rounds; medians are told.

    python benchmarks/training.py [30M | small] [--steps 5] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
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
THEIRS = ("transformers' Trainer, padded, fp32", "transformers' Trainer, padded, bf16")
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
    shutil.rmtree(out, ignore_errors=True)
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


def measured(work: Path, name: str, *, steps: int, batch: int) -> dict[str, Any]:
    """Train in one way, in this process."""
    if name in WAYS:
        losses, speed = ours(work, name, steps=steps, batch=batch)
    else:
        losses, speed = theirs(work, steps=steps, batch=batch, bf16=name == THEIRS[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"losses": losses, "speed": speed, "peak": peak}


def apart(work: Path, name: str, *, shape: str, steps: int) -> dict[str, Any]:
    """Train in one way, in a process of its own."""
    command = [sys.executable, __file__, shape, "--steps", str(steps)]
    command += ["--work", str(work), "--way", name]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("shape", nargs="?", choices=SHAPES, default="30M")
    asked.add_argument("--steps", type=int, default=5)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--work", type=Path, help="for one way: what was written")
    asked.add_argument("--way", choices=(*WAYS, *THEIRS), help="one way, as JSON")
    given = asked.parse_args()
    batch = SHAPES[given.shape][3]
    if given.way:
        print(json.dumps(measured(given.work, given.way, steps=given.steps, batch=batch)))
        return
    print(machine(), flush=True)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in (*WAYS, *THEIRS)}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "base").mkdir()
        write_base(work / "base", given.shape)
        write_examples(work / "train.jsonl", 50 * batch)
        for _ in range(given.rounds):
            for name, runs in found.items():
                runs.append(apart(work, name, shape=given.shape, steps=given.steps))
                print(f"{name}: {runs[-1]['speed']:,.0f}", flush=True)
    speeds = {name: [run["speed"] for run in runs] for name, runs in found.items()}
    base = float(np.median(speeds[THEIRS[0]]))
    print(f"| {given.shape}, batch {batch} | real tokens/s | range | ratio | peak | losses |")
    print("|---|---|---|---|---|---|")
    for name, runs in sorted(found.items(), key=lambda one: np.median(speeds[one[0]])):
        middle, some = float(np.median(speeds[name])), speeds[name]
        peak = np.median([run["peak"] for run in runs]) / 2**30
        curve = ", ".join(f"{loss:.4f}" for loss in runs[0]["losses"])
        print(f"| {name} | {middle:,.0f} | {min(some):,.0f} to {max(some):,.0f} |"
              f" {middle / base:.2f} | {peak:.1f} GB | {curve} |")  # fmt: skip
    both = (found[name][0]["losses"] for name in ("same batches, fp32", THEIRS[0]))
    difference = np.abs(np.subtract(*both)).max()
    print(f"largest difference of a loss on the same batches, fp32: {difference:.1e}")


if __name__ == "__main__":
    main()
