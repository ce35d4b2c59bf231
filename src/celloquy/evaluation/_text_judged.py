"""Many answers beside every true type: what is, and what answers of other cells would give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from celloquy.evaluation._text_answers import markers_of, verdict_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from celloquy.evaluation._text_answers import ReadAnswer, Verdict
    from celloquy.evaluation._text_names import TypeNames
    from celloquy.io import CellStream


@dataclass(frozen=True, eq=False)
class HeldGenes:
    """Named genes that cells express; NaN for an answer without a measured gene."""

    own: NDArray[np.float64]
    """Share of each answer's genes that its own cell expresses; shape ``(n_answers,)``."""
    others: NDArray[np.float64]
    """Mean of that share over all judged cells; shape ``(n_answers,)``."""


@dataclass(frozen=True, eq=False)
class JudgedAnswers:
    """Answers, and what each would be worth for each true type."""

    read: Sequence[ReadAnswer]
    """What each answer says."""
    labels: Sequence[str]
    """The true types."""
    true: NDArray[np.int64]
    """Number of each answer's true type; shape ``(n_answers,)``."""
    kinds: NDArray[np.object_]
    """Verdict of each answer for each type; shape ``(n_answers, n_labels)``."""
    markers: NDArray[np.float64]
    """Share of each answer's genes that are markers of each type; ``(n_answers, n_labels)``."""
    constant_kinds: Sequence[Verdict]
    """Verdict of naming the most frequent type, for each type."""

    @property
    def verdicts(self) -> list[Verdict]:
        """Verdict of each answer for its own cell."""
        return list(self.kinds[np.arange(len(self.true)), self.true])

    @property
    def weights(self) -> NDArray[np.float64]:
        """Share of the cells that are of each type."""
        counts = np.bincount(self.true, minlength=len(self.labels))
        return np.asarray(counts / len(self.true))

    @property
    def usual(self) -> str:
        """The most frequent true type."""
        return self.labels[int(self.weights.argmax())]

    def values(self, held: HeldGenes | None) -> dict[str, NDArray[np.float64]]:
        """Give every metric of each answer; NaN where it does not apply."""
        own = np.array(self.verdicts, dtype=object)
        found = {
            "right": (own == "right").astype(float),
            "right_or_parent": np.isin(own.astype(str), ["right", "parent"]).astype(float),
            "named_a_type": (own != "none").astype(float),
            "markers": self.markers[np.arange(len(self.true)), self.true],
        }
        return found | ({} if held is None else {"expressed": held.own})

    def constant(self) -> dict[str, float]:
        """Give the metrics if every answer named the most frequent type, and no gene."""
        right = np.array([kind == "right" for kind in self.constant_kinds])
        above = np.array([kind in {"right", "parent"} for kind in self.constant_kinds])
        shares = {"right": right, "right_or_parent": above}
        return {name: float(one @ self.weights) for name, one in shares.items()} | {
            "named_a_type": 1.0
        }

    def of_others(self, held: HeldGenes | None) -> dict[str, float]:
        """Give the metrics if each cell had the answer of any cell, in the mean."""
        right, parent = self.kinds == "right", self.kinds == "parent"
        has = np.isfinite(self.markers)
        mass = has @ self.weights
        sums = np.where(has, self.markers, 0) @ self.weights
        shares = np.divide(sums, mass, out=np.full(len(mass), np.nan), where=mass > 0)
        found = {
            "right": float((right @ self.weights).mean()),
            "right_or_parent": float(((right | parent) @ self.weights).mean()),
            "named_a_type": float((self.kinds[:, 0] != "none").mean()),
            "markers": mean_known(shares),
        }
        return found | ({} if held is None else {"expressed": mean_known(held.others)})


def judge_all(
    truth: NDArray[np.object_],
    read: Sequence[ReadAnswer],
    *,
    labels: Sequence[str],
    names: TypeNames,
) -> JudgedAnswers:
    """Judge every answer for every true type.

    Parameters
    ----------
    truth
        True type of each answer's cell.
    read
        What each answer says.
    labels
        The true types, sorted.
    names
        What names mean.
    """
    ontology = names.ontology
    meanings = [names.meaning(label) for label in labels]
    panel = [markers_of(label, ontology) for label in labels]
    place = {label: i for i, label in enumerate(labels)}
    true = np.array([place[label] for label in truth], dtype=np.int64)
    usual = meanings[int(np.bincount(true).argmax())]
    kinds = {
        types: [verdict_of(types, meaning, ontology) for meaning in meanings]
        for types in {one.types for one in read}
    }
    return JudgedAnswers(
        read,
        labels,
        true,
        np.array([kinds[one.types] for one in read], dtype=object),
        np.array(
            [[_share(one.genes, known) if known else np.nan for known in panel] for one in read]
        ),
        [verdict_of((usual,), meaning, ontology) for meaning in meanings],
    )


def expressed_by(
    stream: CellStream,
    rows: NDArray[np.int64],
    read: Sequence[ReadAnswer],
    *,
    genes: Collection[str],
) -> HeldGenes:
    """Look the named genes up in every judged cell, row chunk by row chunk.

    Parameters
    ----------
    stream
        The cells.
    rows
        Row number of each answer's cell, rising.
    read
        What each answer says.
    genes
        The measured genes.
    """
    named = sorted({gene for one in read for gene in one.genes if gene in genes})
    place = {gene: i for i, gene in enumerate(named)}
    of_column = np.array([place.get(str(name), -1) for name in stream.var.index], dtype=np.int64)
    n_cells = np.zeros(len(named))
    answers = dict(zip(rows.tolist(), read, strict=True))
    own: list[float] = []
    for chunk in stream.chunks():
        for i in range(chunk.n_obs):
            one = answers.get(chunk.start + i)
            if one is None:
                continue
            inside = slice(chunk.indptr[i], chunk.indptr[i + 1])
            found = of_column[chunk.indices[inside][chunk.data[inside] > 0]]
            found = np.unique(found[found >= 0])
            n_cells[found] += 1
            has = {named[code] for code in found}
            own.append(_share([gene for gene in one.genes if gene in place], has))
    chance = dict(zip(named, n_cells / max(len(read), 1), strict=True))
    return HeldGenes(
        np.array(own),
        np.array([mean_known([chance[g] for g in one.genes if g in chance]) for one in read]),
    )


def _share(genes: Sequence[str], known: Collection[str]) -> float:
    """Give the share of genes that are known; NaN without genes."""
    return sum(gene in known for gene in genes) / len(genes) if genes else float("nan")


def mean_known(values: Sequence[float] | NDArray[np.float64]) -> float:
    """Give the mean of the numbers that are; NaN without any.

    Examples
    --------
    >>> mean_known([1.0, float("nan"), 0.0])
    0.5
    """
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    return float(known.mean()) if len(known) else float("nan")
