"""What was predicted of cells: codes and probabilities of a part, and the table of all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from celloquy._runtime import count_of
from celloquy.learn import UNKNOWN, answer_probabilities, roll_up, top_answers
from celloquy.roles._unknown import as_column, packed, reasons, unpacked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from celloquy.learn import Ancestry, Normalise
    from celloquy.lm import Scores
    from celloquy.roles._collect import Collected

UNCALIBRATED = (
    "The scores are not calibrated: no labelled cells were used to make them so, and they may be "
    "far too sure of themselves."
)
NO_PROBABILITIES = (
    "The language model gives no probabilities: each answer is one of the labels or unknown, and "
    "its score is missing (NaN)."
)
_IMPOSSIBLE = -1e6
BEST_ONLY = "Only the likeliest label was searched, so its score is missing (NaN)."


@dataclass(frozen=True, eq=False)
class Reading:
    """How scores of answers become labels and probabilities."""

    labels: tuple[str, ...]
    """The closed set."""
    min_score: float
    """Least probability of a label that is named."""
    top_n: int
    """How many of the likeliest labels are kept."""
    keep_all: bool
    """Whether the probabilities of all labels are kept."""
    normalise: Normalise
    """How lengths of answers are corrected."""
    log_prior: NDArray[np.float64] | None
    """What the model answers without genes; shape ``(m,)``."""
    temperature: float
    """Divides the scores."""
    ancestry: Ancestry | None
    """What lies above the labels."""
    best_only: bool = False
    """Whether only the likeliest label was searched, so that there are no probabilities."""

    @property
    def names(self) -> tuple[str, ...]:
        """All that can be answered besides "unknown": the labels, then what lies above them."""
        return self.labels if self.ancestry is None else self.ancestry.names

    def read(self, scores: Scores, *, is_empty: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
        """Give the answers of some prompts as arrays, one row a prompt.

        Parameters
        ----------
        scores
            What the model answered.
        is_empty
            Where a prompt names no gene, so that its answer says nothing of the cell.
        """
        n_top = min(max(2, self.top_n), len(self.labels))
        n = len(scores.best)
        found: dict[str, NDArray[Any]] = {
            "code": np.where(scores.best < 0, len(self.names), scores.best).astype(np.int32),
            "score": np.full(n, np.nan, dtype=np.float32),
            "top": np.full((n, n_top), -1, dtype=np.int32),
            "top_score": np.full((n, n_top), np.nan, dtype=np.float32),
        }
        if self.keep_all:
            found["probabilities"] = np.full((n, len(self.labels)), np.nan, dtype=np.float32)
        if not self.best_only:
            self._add_probabilities(found, scores)
        found["code"][is_empty] = len(self.names)
        why = reasons(
            found["code"], found["score"], unknown=len(self.names), min_score=self.min_score,
            said=getattr(scores, "why", ()), is_empty=is_empty,
        )  # fmt: skip
        return found | {"why": packed(why)}

    def _add_probabilities(self, found: dict[str, NDArray[Any]], scores: Scores) -> None:
        """Put in what is known of the rows that have log-probabilities."""
        known = ~np.isnan(scores.logp).any(axis=1)
        if not known.any():
            return
        n_tokens = scores.n_tokens[known]
        # an answer that a model holds impossible keeps a number, so that the others have theirs
        logp = np.where(n_tokens > 0, np.maximum(scores.logp[known], _IMPOSSIBLE), -np.inf)
        probabilities = answer_probabilities(
            logp, n_tokens, normalise=self.normalise, log_prior=self.log_prior,
            temperature=self.temperature,
        )  # fmt: skip
        found["code"][known], found["score"][known] = self._named(probabilities)
        top = top_answers(probabilities, found["top"].shape[1])
        found["top"][known], found["top_score"][known] = top.codes, top.probabilities
        if self.keep_all:
            found["probabilities"][known] = probabilities

    def _named(
        self, probabilities: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Name each row's label, its parent, or nothing; and give that one's probability."""
        if self.ancestry is not None:
            found = roll_up(probabilities, self.ancestry, min_score=self.min_score)
            place = {name: code for code, name in enumerate(self.names)}
            codes = [place.get(name, len(self.names)) for name in found.names]
            return np.array(codes, dtype=np.int64), found.score
        code, score = probabilities.argmax(axis=1), probabilities.max(axis=1)
        return np.where(score >= self.min_score, code, len(self.names)), score


def table_of(
    key: str,
    reading: Reading,
    collected: Collected,
    *,
    names: pd.Index,
    rows: NDArray[np.int64] | None,
) -> pd.DataFrame:
    """Make the table of all cells.

    Parameters
    ----------
    key
        Name of the column of labels.
    reading
        Which labels there are.
    collected
        The answers.
    names
        Names of the cells.
    rows
        The answer's row of each cell, -1 for none; `None` where each cell has its own.
    """
    parts = {
        name: np.concatenate(list(collected.blocks(name)))
        for name in ("code", "score", "top", "top_score", "n_cut")
    }
    if rows is not None:
        parts = {name: spread(part, rows) for name, part in parts.items()}
        parts["code"][rows < 0] = len(reading.names)
        parts["n_cut"][rows < 0] = 0
    known = np.array([*reading.names, UNKNOWN], dtype=object)
    columns: dict[str, Any] = {
        key: pd.Categorical(known[parts["code"]], categories=list(known)),
        f"{key}_score": parts["score"],
    }
    for place in range(1, parts["top"].shape[1]):
        name = f"{key}_second" if place == 1 else f"{key}_{place + 1}"
        codes: NDArray[np.int32] = parts["top"][:, place]
        kinds = pd.Index(reading.labels)
        columns[name] = pd.Categorical.from_codes(codes, categories=kinds)  # -1 is missing
        columns[f"{name}_score"] = parts["top_score"][:, place]
    columns[f"{key}_why"] = as_column(unpacked(collected.blocks("why")), rows)
    columns[f"{key}_genes_cut"] = parts["n_cut"]
    return pd.DataFrame(columns, index=names)


def column_names(key: str, n_top: int) -> list[str]:
    """Name the columns of :func:`table_of`."""
    names = [key, f"{key}_score"]
    for place in range(1, n_top):
        name = f"{key}_second" if place == 1 else f"{key}_{place + 1}"
        names += [name, f"{name}_score"]
    return [*names, f"{key}_why", f"{key}_genes_cut"]


def spread(part: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
    """Give each cell the row of its group; a cell without a group gets a missing one."""
    if not len(part):
        shape = (len(rows), *part.shape[1:])
        return np.full(shape, np.nan if part.dtype.kind == "f" else -1, dtype=part.dtype)
    found = part[np.maximum(rows, 0)]
    found[rows < 0] = np.nan if part.dtype.kind == "f" else -1
    return np.asarray(found)


@dataclass(frozen=True, eq=False)
class Predicted:
    """Labels of cells by a language model, and what they rest on."""

    key: str
    """Name of the column of labels."""
    table: pd.DataFrame
    """One row a cell: the label (categorical, "unknown" among them), its probability
    (``…_score``), the runner-up (``…_second``) and its probability, why it is unknown
    (``…_why``; missing where there is a label), and the genes that did not fit into the prompt
    (``…_genes_cut``); indexed by cell name."""
    record: dict[str, Any]
    """Options, model, task and counts; also in ``uns[key]``."""
    labels_of_probabilities: Sequence[str] = ()
    """The labels of the columns of `probabilities`."""
    probabilities: NDArray[np.float32] | None = None
    """Probability of every label, shape ``(n_obs, n_labels)``, where that was asked for."""

    @property
    def labels(self) -> pd.Series[Any]:
        """The label of each cell, or ``"unknown"``."""
        return self.table[self.key]

    @property
    def score(self) -> pd.Series[Any]:
        """Probability of the label, in [0, 1]; missing where the model gives none."""
        return self.table[f"{self.key}_score"]

    @property
    def coverage(self) -> float:
        """Share of cells with a label other than "unknown"."""
        return float((self.labels != UNKNOWN).mean())

    def __str__(self) -> str:
        counts = self.labels.value_counts()
        n_cells = int((self.table[f"{self.key}_genes_cut"] > 0).sum())
        others = ", the others unknown" if self.coverage < 1 else ""
        n_obs = count_of(len(self.table), "cells")
        lines = [f"{n_obs} · {self.coverage:.1%} labelled{others}"]
        lines += [f"unknown as {why}: {n:,}" for why, n in self.record["unknown_because"].items()]
        if n_cells:
            n_genes = int(self.record["n_genes_cut"])
            cut = f"{count_of(n_genes, 'genes')} of {count_of(n_cells, 'cells')}"
            lines.append(f"{cut} did not fit into the model's tokens")
        if self.record["note"]:
            lines.append(str(self.record["note"]))
        lines += [f"  {label}: {n:,}" for label, n in counts.items() if n]
        return "\n".join(lines)
