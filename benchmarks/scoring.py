"""Exact scores of allowed answers beside one forward per label and Cell2Sentence's flow.

CPU, a few minutes on two free cores; labels and cells are in the folder that CELLOQUY_DATA names:

    python benchmarks/scoring.py --labels any
    python benchmarks/scoring.py --precision bf16

The decoder has GPT-2 small's shape, and prompts take about 880 tokens: with random weights they
name 200 genes drawn from 36,000. The search for the best answer alone is timed with weights that
have learned the labels of real cells:

    python benchmarks/scoring.py --train 200 --decoder FOLDER
    python benchmarks/scoring.py --decoder FOLDER --cells 4

Sides of a round run one after the other on the same cells, and their order alternates. One
forward per label is timed on one label and multiplied: every label takes the same forward.
"""

from __future__ import annotations

import argparse
import os
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import torch
from transformers import GPT2LMHeadModel

from _language import (
    cell_prompt,
    drawn_cells,
    gene_names,
    gpt2_small,
    interval,
    loaded,
    machine,
    make_tokenizer,
    memory_above,
    time_in_turn,
)
from celloquy.lm._batches import Runner
from celloquy.lm._network import CausalNetwork
from celloquy.lm._score import CPU_TOKENS
from celloquy.lm._trie import TokenTrie
from celloquy.text import Text, Vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable

    from celloquy.text import Prompt

    Works = dict[str, Callable[[int], Any]]

DATA = Path(os.environ.get("CELLOQUY_DATA", "data"))
CELLS = "cells/kang_pbmc_ctrl_8donors_1287genes.h5ad"
ONTOLOGY = "tables/cell_ontology_basic.tsv.gz"
MARKERS = "tables/markers_accordion_CL.csv.gz"
N_REAL_GENES = 262
"""Genes of a real cell, whose symbols are shorter, that make prompts of about 880 tokens."""
HELD_OUT = "1015"
"""A donor that the decoder is not trained on."""
QUESTION = Text(".\nThis cell is one of the")
N_LABELS = (30, 100)
N_TIMED_LABELS = 1
N_NEW_TOKENS = 6


def real_cells(n_genes: int, *, is_held_out: bool, n_cells: int) -> tuple[list[Prompt], list[str]]:
    """Write prompts of cells of one donor, or of all others, and give their types."""
    cells = ad.read_h5ad(DATA / CELLS)
    cells = cells[(cells.obs["donor"].astype(str) == HELD_OUT) == is_held_out]
    n_expressed = np.asarray((cells.X > 0).sum(axis=1)).ravel()
    rows = np.flatnonzero(n_expressed >= n_genes)
    rows = np.random.default_rng(0).permutation(rows)[:n_cells]
    vocabulary = Vocabulary(tuple(cells.var_names))
    values = cells.X[rows].toarray()
    genes = np.argsort(-values, axis=1, kind="stable")[:, :n_genes]
    prompts = [(*cell_prompt(one, vocabulary), QUESTION) for one in genes]
    return prompts, cells.obs["cell_type"].iloc[rows].astype(str).tolist()


def label_set(n_labels: int, *, are_common: bool) -> list[str]:
    """Give the types of the cells, then types of the Cell Ontology.

    Common ones are those with most markers; the others are drawn from all, with longer names.
    """
    types = sorted(set(ad.read_h5ad(DATA / CELLS, backed="r").obs["cell_type"].astype(str)))
    if are_common:
        column = pd.read_csv(DATA / MARKERS, usecols=["CL_celltype"])["CL_celltype"]
        others = column.value_counts().index.tolist()
    else:
        column = pd.read_csv(DATA / ONTOLOGY, sep="\t", usecols=["label"])["label"]
        others = np.random.default_rng(0).permutation(sorted({*column.dropna()} - {*types}))
    others = [str(one) for one in others if one not in types]
    return [*types, *others[: n_labels - len(types)]]


# --- a decoder that knows the labels ----------------------------------------------------------


def train(folder: Path, *, n_steps: int) -> None:
    """Train two layers on short prompts at random places of the context, for the answers only."""
    tokenizer = make_tokenizer(gene_names())
    lm = loaded(gpt2_small(n_layers=1), tokenizer)
    prompts, labels = real_cells(16, is_held_out=False, n_cells=8_000)
    encoded = [ids.tolist() for ids in lm.format.all_ids(prompts)]
    answers = [lm.format.answer_ids(label, ends=True).tolist() for label in labels]
    model, rng = gpt2_small(n_layers=2).train().requires_grad_(), np.random.default_rng(0)
    model.transformer.wte.requires_grad_(requires_grad=False)  # half of the time of a step
    learned = [one for one in model.parameters() if one.requires_grad]
    optimiser = torch.optim.AdamW(learned, lr=1e-3, fused=True)
    losses = []
    for step in range(1, n_steps + 1):
        rows = rng.integers(0, len(encoded), 12)
        loss = answer_loss(model, [encoded[r] for r in rows], [answers[r] for r in rows], rng)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * min(1.0, step / 10)
        optimiser.step()
        losses.append(loss.item())
        if step % 20 == 0:
            print(f"step {step}: {np.mean(losses[-20:]):.3f} nats an answer", flush=True)
        if step % 100 == 0 or step == n_steps:
            as_deep_as_gpt2(model).save_pretrained(folder)


def answer_loss(
    model: Any, prompts: list[list[int]], answers: list[list[int]], rng: np.random.Generator
) -> torch.Tensor:
    """Mean negative log-probability of the answers, in nats an answer."""
    texts = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
    ids = torch.zeros(len(texts), max(map(len, texts)), dtype=torch.int64)
    for line, text in zip(ids, texts, strict=True):
        line[: len(text)] = torch.tensor(text)
    shift = torch.from_numpy(rng.integers(0, 1_024 - ids.shape[1], len(texts)))
    places = torch.arange(ids.shape[1]) + shift[:, None]
    mask = torch.ones_like(ids)
    hidden = model.transformer(input_ids=ids, position_ids=places, attention_mask=mask)[0]
    rows, columns = [], []
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        rows += [row] * len(answer)
        columns += range(len(prompt) - 1, len(prompt) + len(answer) - 1)
    at = torch.tensor(columns)
    logits = model.lm_head(hidden[rows, at])
    truth = ids[rows, at + 1]
    return torch.nn.functional.cross_entropy(logits, truth, reduction="sum") / len(texts)


def as_deep_as_gpt2(trained: Any) -> Any:
    """Put layers that change nothing above the trained ones, up to GPT-2 small's twelve.

    The function stays the same, and its cost becomes that of GPT-2 small.
    """
    whole = gpt2_small()
    whole.load_state_dict(trained.state_dict(), strict=False)
    with torch.no_grad():
        for block in whole.transformer.h[trained.config.n_layer :]:
            for last in (block.attn.c_proj, block.mlp.c_proj):
                last.weight.zero_()
                last.bias.zero_()
    return whole


# --- what is timed ----------------------------------------------------------------------------


class Sides:
    """Everything that is timed, on the same cells."""

    def __init__(
        self, *, decoder: Path | None, n_cells: int, precision: str, are_common: bool
    ) -> None:
        names = gene_names()
        if decoder is None:
            self.plain = gpt2_small()
            cells = drawn_cells(Vocabulary(names), 24)
            self.prompts, self.truth = [(*cell, QUESTION) for cell in cells], []
        else:
            self.plain = GPT2LMHeadModel.from_pretrained(decoder).eval()
            self.prompts, self.truth = real_cells(N_REAL_GENES, is_held_out=True, n_cells=400)
        self.plain.requires_grad_(requires_grad=False)
        self.lm = loaded(self.plain, make_tokenizer(names), precision=precision)
        self.labels = {n: label_set(n, are_common=are_common) for n in N_LABELS}
        self.n_cells = n_cells

    @cached_property
    def ids(self) -> list[np.ndarray]:
        """Token ids of all prompts."""
        return self.lm.format.all_ids(self.prompts)

    @cached_property
    def n_tokens(self) -> float:
        """Tokens of a prompt."""
        return float(np.mean([len(one) for one in self.ids]))

    def n_rows(self, n_labels: int) -> int:
        """Nodes of the labels' tree that a network has to read."""
        answers = [self.lm.format.answer_ids(one, ends=True) for one in self.labels[n_labels]]
        return len(TokenTrie.of(answers).inner)

    def of(self, number: int) -> slice:
        """Give the cells of a round."""
        start = (number + 1) * self.n_cells % (len(self.prompts) - self.n_cells + 1)
        return slice(start, start + self.n_cells)

    def prefill(self, number: int) -> None:
        """Read the prompts, in the batches and threads that scoring uses; no logits, no cache."""

        def forward(batch) -> np.ndarray:
            with torch.inference_mode():
                self.lm.network.hidden(torch.from_numpy(batch.ids))
            return np.zeros((len(batch.rows), 1), np.float32)

        runner = Runner(CPU_TOKENS, longest=1_024, is_threaded=True)
        runner.run(self.ids[self.of(number)], forward, n_dimensions=1)

    def score(self, number: int, *, n_labels: int, best_only: bool = False) -> Any:
        """Score labels, from prompts to numbers."""
        some = self.prompts[self.of(number)]
        return self.lm.score(some, self.labels[n_labels], best_only=best_only)

    def label_by_label(self, number: int, *, keeps: bool = False) -> np.ndarray:
        """One forward of transformers per cell and label, for a few labels.

        `keeps` computes the logits of the answer's tokens only, which transformers can.
        """
        answers = [self.lm.format.answer_ids(one, ends=True) for one in self.labels[30]]
        found = []
        with torch.inference_mode():
            for prompt in self.ids[self.of(number)]:
                for answer in answers[:N_TIMED_LABELS]:
                    ids = torch.tensor([[*prompt.tolist(), *answer.tolist()]])
                    kept = len(answer) + 1 if keeps else 0
                    logits = self.plain(input_ids=ids, use_cache=False, logits_to_keep=kept).logits
                    logp = logits[0, -len(answer) - 1 : -1].log_softmax(dim=-1)
                    found.append(logp[torch.arange(len(answer)), ids[0, -len(answer) :]].sum())
        return np.array(found).reshape(-1, N_TIMED_LABELS)

    def one_cell_at_a_time(self, number: int) -> None:
        """Cell2Sentence's flow: one call of generate a cell, greedy, fp32."""
        for prompt in self.ids[self.of(number)]:
            ids = torch.from_numpy(prompt.astype(np.int64))[None]
            self.plain.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=N_NEW_TOKENS,
                min_new_tokens=N_NEW_TOKENS,
                pad_token_id=0,
            )


def measure(sides: Sides, *, n_pairs: int, is_trained: bool) -> None:
    """Print the table of one kind of weights."""
    works: Works = {"prefill": sides.prefill}
    for n in N_LABELS:
        name = f"best of {n}" if is_trained else f"all of {n}"  # random weights lead no search
        works[name] = partial(sides.score, n_labels=n, best_only=is_trained)
    works["flow"] = sides.one_cell_at_a_time
    if not is_trained and sides.lm.precision == "fp32":
        works["one label"] = sides.label_by_label
        works["one label, its logits only"] = partial(sides.label_by_label, keeps=True)
    spent = {name: one / sides.n_cells for name, one in time_in_turn(works, n_pairs).items()}
    for name in [one for one in spent if one.startswith("one label")]:
        spent[name] /= N_TIMED_LABELS
    print("| what | seconds a cell | of processor time | MB above the model |\n|---|---|---|---|")
    for name, one in spent.items():
        wall, cpu = np.median(one, axis=0)
        print(f"| {name} | {wall:.3f} | {cpu:.3f} | {memory_above(partial(works[name], 0)):.0f} |")
    print("\n| ratio | wall time (90 % interval) | processor time (90 % interval) | target |")
    print("|---|---|---|---|")
    for n in N_LABELS:
        rows(sides, spent, n)


def rows(sides: Sides, spent: dict[str, np.ndarray], n: int) -> None:
    """Print the ratios of one set of labels."""
    r, prefill = sides.n_rows(n), spent["prefill"]
    if f"best of {n}" in spent:
        best = spent[f"best of {n}"]
        show(f"best of {n} / prefill", best / prefill, "at most 1.15")
        show(f"generate, one cell / best of {n}", spent["flow"] / best, "at least 2.7")
        return
    whole = spent[f"all of {n}"]
    for name in [one for one in ("one label", "one label, its logits only") if one in spent]:
        target = f"at least {0.8 * n:.0f}" if name == "one label" else ""
        show(f"{n} × {name} / scores of {n}", n * spent[name] / whole, target)
    bound = f"at most {1.25 * (1 + 1.45 * r / sides.n_tokens):.2f}"
    show(f"scores of {n} (r = {r}) / prefill", whole / prefill, bound)
    show(f"generate, one cell / scores of {n}", spent["flow"] / whole, "at least 2.7")


def show(name: str, ratios: np.ndarray, target: str) -> None:
    """Print one row: the ratio in wall time, and in processor time."""
    wall, cpu = interval(ratios[:, 0]), interval(ratios[:, 1])
    print(f"| {name} | {wall} | {cpu} | {target} |", flush=True)


def show_search(sides: Sides, n_cells: int = 8) -> None:
    """Print how much of the tree the search reads, and that it finds the best of all."""
    read, prompts, whole = [], sides.prompts[:n_cells], CausalNetwork.hidden
    n_padded = sum(-(-len(one) // 16) * 16 for one in sides.ids[:n_cells])

    def hidden(network: CausalNetwork, ids: torch.Tensor, **beside: Any) -> torch.Tensor:
        read.append(ids.shape[1])
        return whole(network, ids, **beside)

    for n, labels in sides.labels.items():
        scores = sides.lm.score(prompts, labels)
        CausalNetwork.hidden = hidden
        read.clear()
        best = [sides.lm.score([one], labels, best_only=True).best[0] for one in prompts]
        CausalNetwork.hidden = whole
        n_steps = len(read) / n_cells - 1
        same = np.mean(np.array(best) == scores.best)
        chosen = [labels[one] for one in scores.best]
        right = np.mean([one == truth for one, truth in zip(chosen, sides.truth, strict=False)])
        print(
            f"best of {n}: {n_steps:.1f} steps and {(sum(read) - n_padded) / n_cells:.0f} nodes a "
            f"cell, of {sides.n_rows(n)}; the best of all in {same:.0%}; right {right:.0%}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--decoder", type=Path, help="folder of a trained decoder")
    parser.add_argument("--train", type=int, metavar="STEPS", help="make it, and stop")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--cells", type=int, default=2, help="cells of one timing")
    parser.add_argument("--labels", choices=("common", "any"), default="common")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    asked = parser.parse_args()
    if asked.train is not None:
        train(asked.decoder, n_steps=asked.train)
        return
    sides = Sides(
        decoder=asked.decoder,
        n_cells=asked.cells,
        precision=asked.precision,
        are_common=asked.labels == "common",
    )
    is_trained = asked.decoder is not None
    print(machine())
    weights = "trained" if is_trained else "random"
    print(
        f"{weights} weights, {asked.precision}, {asked.pairs} rounds of {asked.cells} cells, "
        f"prompts of {sides.n_tokens:.0f} tokens\n"
    )
    if is_trained:
        show_search(sides)
    else:
        exact = sides.score(0, n_labels=30).logp[:, :N_TIMED_LABELS]
        gap = np.abs(exact - sides.label_by_label(0)).max()
        print(f"largest difference to one forward per label: {gap:.1e} nats\n")
    measure(sides, n_pairs=asked.pairs, is_trained=is_trained)


if __name__ == "__main__":
    main()
