"""How far predictions are from the truth in the Cell Ontology."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from celloquy.errors import InputError
from celloquy.evaluation._intervals import interval_of
from celloquy.evaluation._measured import Meaning, Measured
from celloquy.learn import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from celloquy.evaluation._label_counts import LabelCounts
    from celloquy.evaluation._ontology import CellOntology, Term

RELATIONS = ("same", "parent", "child", "other")


_SOURCE = "steps of is-a in the Cell Ontology through the nearest common ancestor"
MEANINGS = {
    "ontology_distance": Meaning(
        "mean steps from the true to the predicted cell type", _SOURCE, best=0.0,
        highest=math.inf,
    ),
    "same": Meaning("share of cells whose prediction is the true type", _SOURCE),
    "parent": Meaning("share whose prediction lies above the truth", _SOURCE),
    "child": Meaning("share whose prediction lies below the truth", _SOURCE),
    "other": Meaning("share whose prediction is neither", _SOURCE, best=0.0),
}  # fmt: skip


@dataclass(frozen=True, eq=False, kw_only=True)
class OntologyReport(Measured):
    """Of the answered cells whose truth and prediction are both cell types of the ontology."""

    meanings: ClassVar[Mapping[str, Meaning]] = MEANINGS
    title: ClassVar[str] = "ontology"

    terms: pd.DataFrame
    """Each label with its cells, its term (`cl_id`, `term`) and how that was found."""

    def to_dict(self) -> dict[str, Any]:
        """Give everything for machines."""
        return super().to_dict() | {"terms": self.terms.reset_index().to_dict("records")}


def evaluate_ontology(
    counted: LabelCounts, ontology: CellOntology, *, weights: NDArray[np.int64] | None
) -> OntologyReport:
    """Measure distances between true and predicted terms.

    Parameters
    ----------
    counted
        Cells by group, true label and prediction.
    ontology
        The terms.
    weights
        How often each resample holds each group; `None` gives no intervals.

    Raises
    ------
    InputError
        If no cell has both terms.
    """
    labels = counted.labels
    found = [None if label == UNKNOWN else ontology.find(label) for label in labels]
    sums = _sums(found, ontology)
    by_group = counted.counts @ sums.T  # (groups, sums)
    total = by_group.sum(axis=0)
    names = ("ontology_distance", *RELATIONS)
    if not total[-1]:
        true = [label for label, n in zip(labels, counted.of_truth, strict=True) if n]
        told = ", ".join(map(repr, true[:5]))
        msg = (
            f"No cell has a true and a predicted label that are cell types of the ontology: {told}."
        )
        raise InputError(msg, hint="map labels to names of the Cell Ontology with `labels_by`.")
    metrics = {
        name: float(value / total[-1]) for name, value in zip(names, total[:-1], strict=True)
    }
    intervals = {}
    if weights is not None:
        drawn = weights @ by_group
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = drawn[:, :-1] / drawn[:, -1:]
        made = [interval_of(share, n_groups=len(counted.groups)) for share in shares.T]
        intervals = {name: one for name, one in zip(names, made, strict=True) if one is not None}
    terms = pd.DataFrame(
        {
            "n_truth": counted.total.sum(axis=1).astype(int),
            "n_predicted": counted.total.sum(axis=0).astype(int),
            "cl_id": [term.cl_id if term else "" for term in found],
            "term": [term.label if term else "" for term in found],
            "matched_by": [term.matched_by if term else "not found" for term in found],
        },
        index=pd.Index(labels, name="label"),
    ).drop(index=UNKNOWN, errors="ignore")
    return OntologyReport(
        metrics=metrics,
        intervals=intervals,
        baselines=_majority(counted, sums, names),
        n={"cells with both terms": int(total[-1])},
        notes=tuple(_notes(counted, terms, int(total[-1]))),
        terms=terms,
    )


def _sums(found: Sequence[Term | None], ontology: CellOntology) -> NDArray[np.float64]:
    """Give distance, each relation and whether both are terms; ``(6, n_labels * n_labels)``."""
    sums = np.zeros((len(RELATIONS) + 2, len(found), len(found)))
    for i, truth in enumerate(found):
        for j, told in enumerate(found):
            if truth is None or told is None:
                continue
            steps = ontology.distance(truth.cl_id, told.cl_id)
            if steps is not None:
                kind = ontology.relation(truth.cl_id, told.cl_id)
                sums[0, i, j] = steps
                sums[1 + RELATIONS.index(kind), i, j] = sums[-1, i, j] = 1
    return sums.reshape(len(sums), -1)


def _majority(
    counted: LabelCounts, sums: NDArray[np.float64], names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Give the same numbers, if every judged cell had the most frequent of their true labels."""
    size = len(counted.labels)
    tables = sums.reshape(-1, size, size)  # the last says whether both are terms
    judged = (counted.total * tables[-1]).sum(axis=1)  # cells by true label
    usual = int(judged.argmax())
    values = tables[:, :, usual] @ judged
    found = {name: float(one / values[-1]) for name, one in zip(names, values[:-1], strict=True)}
    return {f"majority class ({counted.labels[usual]})": found}


def _notes(counted: LabelCounts, terms: pd.DataFrame, n_judged: int) -> list[str]:
    answered = counted.total.sum()
    if UNKNOWN in counted.labels:
        answered -= counted.total[:, counted.labels.index(UNKNOWN)].sum()
    lost = terms.index[terms["matched_by"] == "not found"].tolist()
    if not lost:
        return []
    shown = ", ".join(map(repr, lost[:8])) + (", …" if len(lost) > 8 else "")
    left = int(answered) - n_judged
    return [
        f"No cell type of the ontology: {shown}; {left:,} of {int(answered):,} answered cells "
        "are left out of the distances."
    ]
