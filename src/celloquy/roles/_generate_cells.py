"""Answers become cells: genes read back, expression reconstructed, what was written kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from celloquy.roles._generate_prompts import listed
from celloquy.text import ReconstructOptions, reconstruct
from celloquy.text.compat import cell2sentence_repair

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from celloquy.roles._generate_prompts import Wanted


_ENDED = {
    "length": "the answer was cut at its limit",
    "refused": "the model refused to answer",
}
"""What is to be known of an answer that did not end by itself."""


def cells_of(answers: list[dict[str, Any]], wanted: Wanted) -> AnnData:
    """Make one cell of each answer, or several where a task asks for several.

    An answer that cannot be read gives one cell without expression, so that none is lost.

    Parameters
    ----------
    answers
        What was written, with its log-probability and why it ended.
    wanted
        What was asked for.
    """
    rows, sentences = [], []
    for number, one in enumerate(answers):
        cells, why = _read(one["answer"], wanted)
        why = why or _ENDED.get(one["finish_reason"], "")
        for place, (genes, counts) in enumerate(cells):
            sentences.append(" ".join(genes))
            said = {"why": why or None, "label": _label(wanted, number, place, len(cells))}
            rows.append({"answer_number": number, "place": place, **counts, **one, **said})
    table = pd.DataFrame(rows)
    several = wanted.task.answer.kind == "cells"
    table.index = pd.Index(
        [
            f"generated-{row.answer_number}" + (f"-{row.place}" if several else "")
            for row in table.itertuples()
        ],
        dtype=object,
    )
    obs = _obs(table, wanted, several=several)
    curve = wanted.options.rank_curve or getattr(wanted.lm, "rank_curve", None)
    typical = None if curve is not None else _typical(wanted)
    made = reconstruct(
        sentences,
        vocabulary=wanted.vocabulary,
        rank_curve=curve,
        obs=obs,
        options=ReconstructOptions(delimiter=" ", typical=typical),
    )
    for name in ("n_unknown", "n_repeated"):
        made.obs[name] = table[name].to_numpy()
    return made


def _typical(wanted: Wanted) -> NDArray[np.float32] | None:
    """Give what genes typically have, for a model that does not rank by expression."""
    reading = getattr(wanted.lm, "reading", None)
    if reading is None or reading.rank_by == "value" or reading.known is None:
        return None
    typical: NDArray[np.float32] | None = reading.known.typical_of(wanted.vocabulary.names)
    return typical


def _obs(table: pd.DataFrame, wanted: Wanted, *, several: bool) -> pd.DataFrame:
    obs = pd.DataFrame(index=table.index)
    number = table["answer_number"].to_numpy()
    for name, said in wanted.fields.items():
        obs[name] = pd.Categorical(np.array(said, dtype=object)[number])
    if wanted.control_names:
        obs["control"] = np.array(wanted.control_names, dtype=object)[number]
    if several:
        obs["sample"] = pd.Categorical([f"generated-{one}" for one in number])
        if table["label"].notna().any():
            obs["asked_for"] = pd.Categorical(table["label"])
    obs["answer"] = table["answer"].to_numpy(dtype=object)
    obs["logp"] = table["logp"].astype(np.float64).to_numpy()
    obs["finish_reason"] = pd.Categorical(table["finish_reason"])
    obs["why"] = pd.Categorical(table["why"])
    if wanted.question is not None:
        obs["p_asked"] = table["p_asked"].to_numpy(dtype=np.float64)
    obs["n_genes_named"] = table["n_genes_named"].to_numpy()
    if wanted.controls:
        obs["n_prompt_genes_cut"] = table["n_prompt_genes_cut"].to_numpy()
    return obs


def _label(wanted: Wanted, answer: int, place: int, n_cells: int) -> str | None:
    """Say what one cell of an answer was to be, where each cell was asked for by a label."""
    counted = wanted.task.inputs.get("n_cells")
    if counted is None or counted.of not in wanted.fields:
        return None
    labels = listed(wanted.fields[counted.of][answer])
    return labels[place] if len(labels) == n_cells else None


def _read(text: str, wanted: Wanted) -> tuple[list[tuple[list[str], dict[str, int]]], str]:
    """Read the genes of each cell of an answer, with words counted, and why none can be read."""
    vocabulary = wanted.vocabulary
    if wanted.options.repair == "cell2sentence" and wanted.task.answer.kind == "genes":
        (found,) = cell2sentence_repair([text], names=vocabulary.names)
        words, n_unknown = found
        n_named = len(words) - n_unknown
        n_repeated = len(text.split(" ")) - len(words)
        return [(words, _counts(n_named, n_unknown, n_repeated))], ""
    parsed = wanted.task.parse(text, allowed=vocabulary)
    counts = _counts(*(parsed.counts.get(name, 0) for name in ("known", "unknown", "repeated")))
    if not parsed.is_valid:
        return [([], counts | {"n_genes_named": 0})], parsed.why
    if wanted.task.answer.kind == "genes":
        return [(list(parsed.value), counts)], ""
    # what was left out is counted for the whole answer, and told at its first cell
    rest = _counts(0, 0, 0)
    each = [
        (list(genes), (counts if place == 0 else rest) | {"n_genes_named": len(genes)})
        for place, genes in enumerate(parsed.value)
    ]
    return each, ""


def _counts(n_named: int, n_unknown: int, n_repeated: int) -> dict[str, int]:
    return {"n_genes_named": n_named, "n_unknown": n_unknown, "n_repeated": n_repeated}
