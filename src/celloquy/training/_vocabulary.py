"""Training with genes as tokens: which rows learn, and what an adapter stores."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celloquy.lm._added_genes import AddedGenes, add_genes, token_ids

if TYPE_CHECKING:
    import os

__all__ = ["AddedGenes", "add_genes", "save_adapter", "trainable_tokens"]


def trainable_tokens(model: Any, tokenizer: Any, *, added: AddedGenes) -> dict[str, list[int]]:  # noqa: ANN401
    """Say which rows of which tables PEFT shall train, for `LoraConfig`.

    Parameters
    ----------
    model
        A base with genes added, before PEFT wraps it.
    tokenizer
        Its tokenizer.
    added
        What was added.

    Returns
    -------
    `trainable_token_indices`: row numbers by the name of the table; both tables where reading and
    writing have their own, since else the rows that write would never learn.
    """
    ids = token_ids(tokenizer, added.genes)
    reads, writes = model.get_input_embeddings(), model.get_output_embeddings()
    names = {id(module): name for name, module in model.named_modules(remove_duplicate=True)}
    found = {names[id(reads)].rpartition(".")[2]: ids}
    if writes is not None and writes.weight is not reads.weight:
        found[names[id(writes)].rpartition(".")[2]] = ids
    return found


def save_adapter(adapter: Any, folder: str | os.PathLike[str], *, added: AddedGenes) -> None:  # noqa: ANN401
    """Save an adapter with what it learned alone: its layers and the rows of its genes.

    PEFT itself would store whole tables of embeddings as soon as a vocabulary grew. Here the
    file ``added_genes.json`` says how the base is made again, bit by bit.

    Parameters
    ----------
    adapter
        PEFT's wrapper.
    folder
        Where it shall be saved.
    added
        Which genes were added to the base.
    """
    folder = Path(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT looks for the base on the hub
        adapter.save_pretrained(str(folder), save_embedding_layers=False)
    added.write(folder)
