"""Vectors of cells, and of genes in a cell, from a decoder, beside the plain flow of transformers.

CPU, about four minutes on two cores:

    python benchmarks/decoder_embedding.py

A network of GPT-2 small's shape with random weights reads cells of 200 genes (about 880 tokens of
a byte-level BPE of 50,257 tokens). The plain flow is a forward of transformers over padded batches
with all hidden states and the logits, then the mean over real tokens. For genes in a cell it is
one forward a gene, without logits, timed on a few genes and told per gene. Each pair times other
cells, and the order alternates. Loading is not timed; the first cells warm every side up.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from _language import (
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
from celloquy.text import Names, Text, Vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable

    from celloquy.text import Prompt

N_TIMED_GENES = 3
"""Genes of which each takes a forward of its own, in one timing of the plain flow."""
MIDDLE = 6


class Sides:
    """The model, loaded twice, and cells to read."""

    def __init__(self, *, n_cells: int, n_genes: int, precision: str) -> None:
        names = gene_names()
        self.vocabulary = Vocabulary(names)
        self.model: Any = gpt2_small()
        self.lm: Any = loaded(self.model, make_tokenizer(names), precision=precision)
        self.prompts = drawn_cells(self.vocabulary, 32)
        self.n_cells, self.n_genes = n_cells, n_genes

    def cells(self, number: int) -> list[Prompt]:
        """Give the cells of a round."""
        start = (number + 1) * self.n_cells % (len(self.prompts) - self.n_cells + 1)
        return self.prompts[start : start + self.n_cells]

    def genes(self, number: int) -> list[Prompt]:
        """Draw the genes that are asked about in a round."""
        drawn = np.random.default_rng(number + 1).permutation(len(self.vocabulary))
        return [
            (Text(". In this cell, Gene "), Names(gene[None], self.vocabulary, may_cut=False))
            for gene in drawn[: self.n_genes].astype(np.int32)
        ]

    def plain(self, number: int) -> np.ndarray:
        """Embed cells as the forward of transformers does, one padded batch."""
        ids = [self.lm.format.ids(cell) for cell in self.cells(number)]
        longest = max(map(len, ids))
        padded = torch.zeros((len(ids), longest), dtype=torch.long)
        mask = torch.zeros((len(ids), longest), dtype=torch.long)
        for row, one in enumerate(ids):
            padded[row, : len(one)] = torch.from_numpy(one.astype(np.int64))
            mask[row, : len(one)] = 1
        with torch.inference_mode():
            output = self.model(input_ids=padded, attention_mask=mask, output_hidden_states=True)
        hidden = output.hidden_states[-1]
        return ((hidden * mask[:, :, None]).sum(1) / mask.sum(1)[:, None]).numpy()

    def ours(self, number: int, *, layer: int | None = None) -> np.ndarray:
        """Embed cells as the package does."""
        return self.lm.embed(self.cells(number), pooling="mean", layer=layer)

    def one_forward_a_gene(self, number: int) -> np.ndarray:
        """Embed a few genes of a cell, each with the whole cell before it; no logits."""
        found = []
        for gene in self.genes(number)[:N_TIMED_GENES]:
            ids = self.lm.format.ids((*self.cells(number)[0], *gene)).astype(np.int64)
            with torch.inference_mode():
                output = self.model.transformer(torch.from_numpy(ids)[None])
            found.append(output.last_hidden_state[0, -1].numpy())
        return np.array(found)

    def genes_of_a_cell(self, number: int) -> np.ndarray:
        """Embed all genes that are asked about, as the package does."""
        cell = self.cells(number)[:1]
        return self.lm.embed(cell, suffixes=[self.genes(number)], pooling="last")[0]


def measure(sides: Sides, n_pairs: int, *, asks_genes: bool) -> None:
    """Print the table of one question."""
    works: dict[str, Callable[[int], Any]]
    if asks_genes:
        works = {"plain": sides.one_forward_a_gene, "genes": sides.genes_of_a_cell}
        per = {"plain": N_TIMED_GENES, "genes": sides.n_genes}
        told = {"plain": "one forward a gene", "genes": f"{sides.n_genes} genes of one cell"}
        gap = np.abs(sides.genes_of_a_cell(0)[:N_TIMED_GENES] - sides.one_forward_a_gene(0)).max()
    else:
        works = {
            "plain": sides.plain,
            "last": sides.ours,
            "middle": partial(sides.ours, layer=MIDDLE),
        }
        per = dict.fromkeys(works, sides.n_cells)
        told = {
            "plain": "cells, plain flow",
            "last": "cells, last layer",
            "middle": f"cells, layer {MIDDLE} of 12",
        }
        gap = np.abs(sides.ours(0) - sides.plain(0)).max()
    spent = {name: one / per[name] for name, one in time_in_turn(works, n_pairs).items()}
    print(
        "| what | seconds each | of processor time | times as fast (90 % interval) "
        "| by processor time | MB above the model |\n|---|---|---|---|---|---|"
    )
    for name, one in spent.items():
        wall, cpu = np.median(one, axis=0)
        ratios = spent["plain"] / one
        fast = ["1", "1"] if name == "plain" else [interval(ratios[:, i]) for i in (0, 1)]
        memory = memory_above(partial(works[name], 0))
        print(
            f"| {told[name]} | {wall:.4f} | {cpu:.4f} | {fast[0]} | {fast[1]} | {memory:.0f} |",
            flush=True,
        )
    print(f"\nlargest difference of a vector's entry: {gap:.1e}\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--cells", type=int, default=2, help="cells of one timing, one batch")
    parser.add_argument("--genes", type=int, default=200, help="genes asked of one cell")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--only", choices=("cells", "genes"))
    asked = parser.parse_args()
    sides = Sides(n_cells=asked.cells, n_genes=asked.genes, precision=asked.precision)
    n_tokens = sides.lm.plan(sides.prompts).n_tokens.mean()
    print(machine())
    print(
        f"{asked.pairs} rounds of {asked.cells} cells, {asked.precision} beside fp32, "
        f"{n_tokens:.0f} tokens a cell\n"
    )
    for name in ("cells", "genes"):
        if asked.only in {None, name}:
            measure(sides, asked.pairs, asks_genes=name == "genes")


if __name__ == "__main__":
    main()
