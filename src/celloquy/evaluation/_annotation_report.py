"""One report on predicted labels: metrics with intervals, each label, baseline, confidence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from celloquy.evaluation._measured import Meaning, Measured
from celloquy.learn import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from celloquy.evaluation._confidence import ConfidenceReport
    from celloquy.evaluation._label_counts import LabelCounts
    from celloquy.evaluation._ontology_report import OntologyReport
    from celloquy.evaluation._paired import PairedTest

MEANINGS = {
    "accuracy": Meaning("share of cells with the true label; unknown is wrong", "definition"),
    "macro_f1": Meaning("mean F1 of the true labels, each with the same say", "Rijsbergen, 1979"),
    "balanced_accuracy": Meaning(
        "mean over true labels of the share that was found", "Brodersen et al., ICPR 2010"
    ),
    "cohen_kappa": Meaning("agreement beyond chance", "Cohen, 1960", lowest=-1.0),
    "coverage": Meaning("share of cells with an answer other than unknown", "definition"),
    "accuracy_answered": Meaning("share of the answered cells with the true label", "definition"),
}
_SHOWN_GROUPS, _SHOWN_ERRORS = 30, 8


@dataclass(frozen=True, eq=False, kw_only=True)
class AnnotationReport(Measured):
    """What was measured of predicted labels."""

    meanings: ClassVar[Mapping[str, Meaning]] = MEANINGS
    title: ClassVar[str] = "prediction"

    per_label: pd.DataFrame
    """Precision, recall, F1, cells of the truth and of the prediction, by label."""
    confusion: pd.DataFrame
    """Cells by true label (rows) and prediction (columns)."""
    per_group: pd.DataFrame
    """Metrics and cells of each group; empty where there are no groups."""
    confidence: ConfidenceReport | None = None
    """What the confidence is worth; `None` without one."""
    ontology: OntologyReport | None = None
    """Distances in the Cell Ontology; `None` where not asked for."""
    mapped: pd.DataFrame | None = None
    """Which label became which (:func:`map_labels`); `None` where none was mapped."""
    tests: dict[str, dict[str, PairedTest]] = field(default_factory=dict)
    """Against each column beside, by metric: paired tests over groups."""

    def to_dict(self) -> dict[str, Any]:
        """Give everything for machines; what is no number is `None`."""
        tests = {
            name: {metric: test.to_dict() for metric, test in found.items()}
            for name, found in self.tests.items()
        }
        return super().to_dict() | {
            "per_label": _records(self.per_label),
            "confusion": {
                str(row): {str(told): int(n) for told, n in cells.items() if n}
                for row, cells in self.confusion.iterrows()
            },
            "per_group": _records(self.per_group),
            "confidence": None if self.confidence is None else self.confidence.to_dict(),
            "ontology": None if self.ontology is None else self.ontology.to_dict(),
            "mapped": None if self.mapped is None else _records(self.mapped),
            "tests": tests,
        }

    def __str__(self) -> str:
        """Write the metrics beside the baselines, confidence, each label, groups and notes."""
        return "\n".join(line for part in self._parts() for line in (*part, "")).rstrip()

    def _parts(self) -> Iterator[list[str]]:
        bare, *_ = super().__str__().split("\nnote: ")
        yield [bare.rstrip()]
        for part in (self.confidence, self.ontology):
            if part is not None:
                yield [str(part)]
        for name, found in self.tests.items():
            yield [f"against {name!r}, {metric}: {test}" for metric, test in found.items()]
        if self.mapped is not None:
            yield list(_mapping_lines(self.mapped))
        yield _shown(self.per_label.rename_axis(None))
        errors = list(self._errors())
        if errors:
            yield errors
        if len(self.per_group):
            held = self.per_group[["n_obs", "accuracy", "macro_f1", "coverage"]].rename_axis(None)
            more = len(held) - _SHOWN_GROUPS
            yield [*_shown(held.head(_SHOWN_GROUPS)), *([f"… {more} more"] if more > 0 else [])]
        tests = [
            note for found in self.tests.values() for test in found.values() for note in test.notes
        ]
        yield [f"note: {note}" for note in dict.fromkeys([*self.notes, *tests])]

    def _errors(self) -> Iterator[str]:
        """Name the most frequent errors."""
        wrong = [
            (int(n), str(truth), str(told))
            for truth, row in self.confusion.iterrows()
            for told, n in row.items()
            if n and told not in {truth, UNKNOWN}
        ]
        for n, truth, told in sorted(wrong, key=lambda one: (-one[0], one[1:]))[:_SHOWN_ERRORS]:
            share = n / self.confusion.loc[truth].sum()
            yield f"{truth} taken for {told}: {n:,} cells, {100 * share:.1f} %"


def _mapping_lines(mapped: pd.DataFrame) -> Iterator[str]:
    """Say which labels were mapped to which, and which predictions could not be."""
    moved = mapped["mapped_to"] != mapped["label"]
    if moved.any():
        yield from (
            "labels that were mapped:",
            *_shown(mapped[moved].set_index("side").rename_axis(None)),
        )
    else:
        yield "no label was mapped"
    is_told = mapped["side"] == "prediction"
    stayed = mapped[is_told & ~moved & ~mapped["how"].isin(["the same name", "the same type"])]
    if len(stayed):
        yield "predictions that stayed as they are:"
        yield from (f"  {row.label}: {row.how}" for row in stayed.itertuples())


def per_label_of(counted: LabelCounts) -> pd.DataFrame:
    """Give precision, recall, F1 and cells of each label, the most frequent in the truth first."""
    hits, told = np.diag(counted.total), counted.total.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        table = pd.DataFrame(
            {
                "precision": hits / told,
                "recall": hits / counted.of_truth,
                "f1": 2 * hits / (told + counted.of_truth),
                "n_truth": counted.of_truth.astype(int),
                "n_predicted": told.astype(int),
            },
            index=pd.Index(counted.labels, name="label"),
        )
    table.loc[table["n_truth"] == 0, ["precision", "recall", "f1"]] = np.nan
    return table.sort_values(["n_truth", "n_predicted"], ascending=False, kind="stable")


def confusion_of(counted: LabelCounts) -> pd.DataFrame:
    """Give cells by true label and prediction, without labels that one side lacks."""
    table = pd.DataFrame(
        counted.total.astype(int),
        index=pd.Index(counted.labels, name="truth"),
        columns=pd.Index(counted.labels, name="prediction"),
    )
    return table.loc[table.sum(axis=1) > 0, table.sum(axis=0) > 0]


def per_group_of(counted: LabelCounts) -> pd.DataFrame:
    """Give the cells and metrics of each group."""
    n_obs = np.asarray(counted.counts.sum(axis=1)).ravel().astype(int)
    table = {"n_obs": n_obs} | counted.by_group
    return pd.DataFrame(table, index=pd.Index(counted.groups, name="group"))


def _shown(table: pd.DataFrame) -> list[str]:
    return table.to_string(float_format="{:.3f}".format, na_rep="–").splitlines()


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    flat = table if isinstance(table.index, pd.RangeIndex) else table.reset_index()
    return [
        {str(name): None if value != value else value for name, value in row.items()}  # noqa: PLR0124 (NaN)
        for row in flat.astype(object).to_dict("records")
    ]
