"""What answers are measured by: names, ranges and sources; nothing is imported until asked for."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from celloquy._runtime import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Metric:
    """A number that says how good answers are."""

    name: str
    """How tasks name it."""
    function: str
    """``"module:function"`` of ``(truth, predictions)``."""
    source: str
    """Where it is described."""
    lowest: float = 0.0
    """The least it can be."""
    highest: float = 1.0
    """The most it can be."""
    best: float = 1.0
    """What the best answers have."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the function."""

    def measure(self, truth: Any, predictions: Any) -> float:  # noqa: ANN401 (labels, genes, …)
        """Measure predictions against what is held to be true; `None` is an unusable answer."""
        module, _, name = self.function.partition(":")
        function: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return float(function(truth, predictions, **self.settings))


_HERE = "celloquy.tasks._measures"
ACCURACY = Metric("accuracy", f"{_HERE}:accuracy", "share of answers that are the truth")
BALANCED_ACCURACY = Metric(
    "balanced_accuracy", f"{_HERE}:balanced_accuracy", "Brodersen et al., ICPR 2010"
)
MACRO_F1 = Metric(
    "macro_f1", f"{_HERE}:f1", "van Rijsbergen, 1979; mean of the true labels",
    settings={"average": "macro"},
)  # fmt: skip
WEIGHTED_F1 = Metric(
    "weighted_f1", f"{_HERE}:f1", "van Rijsbergen, 1979; mean weighted by cells",
    settings={"average": "weighted"},
)  # fmt: skip
COHEN_KAPPA = Metric("cohen_kappa", f"{_HERE}:cohen_kappa", "Cohen, 1960", lowest=-1.0)
ROC_AUC = Metric(
    "roc_auc", "sklearn.metrics:roc_auc_score",
    "Hanley & McNeil, 1982; of the probability of the first label, not of answers",
)  # fmt: skip
GENE_SET_F1 = Metric(
    "gene_set_f1", f"{_HERE}:gene_set_f1", "F1 of named against true genes, mean of answers"
)
SAMPLE_GENE_F1 = Metric(
    "sample_gene_f1", f"{_HERE}:sample_gene_f1", "F1 of all genes of a sample, mean of answers"
)
GENE_ORDER = Metric(
    "gene_order", f"{_HERE}:gene_order", "Spearman, 1904; of ranks, mean of answers", lowest=-1.0
)
ASSIGNED_SHARE = Metric(
    "assigned_share", f"{_HERE}:assigned_share", "share of cells with their true label"
)
WORD_F1 = Metric("word_f1", f"{_HERE}:word_f1", "Rajpurkar et al., EMNLP 2016; mean of answers")

METRICS = Registry[Metric](
    "metric",
    {
        name: f"celloquy.tasks._metrics:{name.upper()}"
        for name in (
            "accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "cohen_kappa", "roc_auc",
            "gene_set_f1", "sample_gene_f1", "gene_order", "assigned_share", "word_f1",
        )
    },
    group="celloquy.metrics",
)  # fmt: skip
"""The metrics by name; other packages add theirs as entry points of ``celloquy.metrics``."""
