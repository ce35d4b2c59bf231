"""How a model that was trained on a corpus wants its cells, to be kept beside its weights."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from celloquy.lm import CellReading
from celloquy.training._corpus_read import GENES, Corpus
from celloquy.training._recipe_corpus import CorpusRecipe, SourcePart

if TYPE_CHECKING:
    import os

_ORGANISM = "organism"
_BY_DEFAULT = "human"


def reading_of_corpus(corpus: Corpus | str | os.PathLike[str]) -> CellReading:
    """Say how a model that learns from a corpus reads cells, and what it is taught to say.

    Parameters
    ----------
    corpus
        The corpus, or its folder.
    """
    corpus = corpus if isinstance(corpus, Corpus) else Corpus(corpus)
    recipe = corpus.record["recipe"]
    most = int(recipe.get("n_top_genes", CorpusRecipe.model_fields["n_top_genes"].default))
    fewest, longest = recipe.get("augment", {}).get("n_genes") or (most, most)
    return CellReading(
        n_top_genes=most,
        n_genes=(min(fewest, most), max(longest, most)),
        rank_by=recipe.get("rank_by", "value"),
        genes=GENES if (corpus.folder / GENES).is_file() else None,
        organisms=_organisms(recipe.get("source", ())),
        labels=_labels(corpus),
        templates=dict.fromkeys(corpus.tasks, 0),
        about={
            "sources": ", ".join(one["source"] for one in corpus.record["sources"]),
            "corpus_sha256": corpus.record["recipe_sha256"],
            "card": "README.md",
        },
        folder=corpus.folder,
    )


def _organisms(sources: list[dict[str, Any]]) -> tuple[str, ...]:
    """Name the organisms of all sources; none where a column of obs tells it."""
    parts = [SourcePart.model_validate(one) for one in sources]
    if any(_ORGANISM in part.columns for part in parts):
        return ()
    return tuple(dict.fromkeys(part.values.get(_ORGANISM, _BY_DEFAULT) for part in parts))


def _labels(corpus: Corpus) -> dict[str, tuple[str, ...]]:
    """Give the labels that training examples are answered with, by task."""
    asked = {name for name, task in corpus.tasks.items() if task.answer.kind == "label"}
    found: dict[str, set[str]] = defaultdict(set)
    for path in corpus.files("train") if asked else ():
        table = pq.read_table(path, columns=["task", "answer"])
        pairs = table.group_by(["task", "answer"]).aggregate([])
        for task, answer in zip(
            *(pairs[name].to_pylist() for name in pairs.column_names), strict=True
        ):
            if task in asked and answer is not None:
                found[task].add(answer)
    return {task: tuple(sorted(labels)) for task, labels in sorted(found.items())}
