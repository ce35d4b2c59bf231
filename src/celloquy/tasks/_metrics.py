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
    lowest: float
    """The least it can be."""
    highest: float
    """The most it can be."""
    best: float
    """What the best answers have."""
    source: str
    """Where it is described."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the function."""

    def measure(self, truth: Any, predictions: Any) -> float:  # noqa: ANN401 (labels, genes, …)
        """Measure predictions against what is held to be true."""
        module, _, name = self.function.partition(":")
        function: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return float(function(truth, predictions, **self.settings))


ACCURACY = Metric(
    "accuracy", "sklearn.metrics:accuracy_score", 0, 1, 1, "share of answers that are the truth"
)
BALANCED = Metric(
    "balanced_accuracy",
    "sklearn.metrics:balanced_accuracy_score",
    0,
    1,
    1,
    "Brodersen et al., ICPR 2010: mean recall of the labels",
)
MACRO_F1 = Metric(
    "macro_f1",
    "sklearn.metrics:f1_score",
    0,
    1,
    1,
    "van Rijsbergen, Information Retrieval, 1979; mean over labels",
    {"average": "macro", "zero_division": 0.0},
)
KAPPA = Metric(
    "cohen_kappa",
    "sklearn.metrics:cohen_kappa_score",
    -1,
    1,
    1,
    "Cohen, Educational and Psychological Measurement, 1960",
)
MCC = Metric(
    "matthews_correlation",
    "sklearn.metrics:matthews_corrcoef",
    -1,
    1,
    1,
    "Matthews, Biochimica et Biophysica Acta, 1975",
)
GENE_F1 = Metric(
    "gene_set_f1",
    "celloquy.tasks._measures:gene_set_f1",
    0,
    1,
    1,
    "F1 of named genes against true genes, mean over answers",
)
ORDER = Metric(
    "gene_order",
    "celloquy.tasks._measures:gene_order",
    -1,
    1,
    1,
    "Spearman, American Journal of Psychology, 1904; of the ranks of all genes, mean over answers",
)
ASSIGNED = Metric(
    "assigned_share",
    "celloquy.tasks._measures:assigned_share",
    0,
    1,
    1,
    "share of cells with the true label; cells of an unusable answer are wrong",
)
WORD_F1 = Metric(
    "word_f1",
    "celloquy.tasks._measures:word_f1",
    0,
    1,
    1,
    "Rajpurkar et al., EMNLP 2016 (SQuAD); mean over answers",
)

METRICS = Registry[Metric](
    "metric",
    {
        "accuracy": "celloquy.tasks._metrics:ACCURACY",
        "balanced_accuracy": "celloquy.tasks._metrics:BALANCED",
        "macro_f1": "celloquy.tasks._metrics:MACRO_F1",
        "cohen_kappa": "celloquy.tasks._metrics:KAPPA",
        "matthews_correlation": "celloquy.tasks._metrics:MCC",
        "gene_set_f1": "celloquy.tasks._metrics:GENE_F1",
        "gene_order": "celloquy.tasks._metrics:ORDER",
        "assigned_share": "celloquy.tasks._metrics:ASSIGNED",
        "word_f1": "celloquy.tasks._metrics:WORD_F1",
    },
    group="celloquy.metrics",
)
"""The metrics by name; other packages add theirs as entry points of ``celloquy.metrics``."""
