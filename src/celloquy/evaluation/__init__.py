"""Splits, metrics and comparisons with baselines."""

from __future__ import annotations

from celloquy.evaluation._annotation import (
    AnnotationMetrics,
    measure_annotation,
    stratified_splits,
)
from celloquy.evaluation._blood import blood_types, coarse_blood_types
from celloquy.evaluation._compare import (
    METHODS,
    TEXT_METHODS,
    compare_across,
    compare_within,
    summarise,
)

__all__ = [
    "METHODS",
    "TEXT_METHODS",
    "AnnotationMetrics",
    "blood_types",
    "coarse_blood_types",
    "compare_across",
    "compare_within",
    "measure_annotation",
    "stratified_splits",
    "summarise",
]
