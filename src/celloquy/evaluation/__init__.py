"""Splits, metrics and comparisons with baselines."""

from __future__ import annotations

from celloquy.evaluation._annotation import (
    UNKNOWN,
    AnnotationMetrics,
    measure_annotation,
    stratified_splits,
)

__all__ = ["UNKNOWN", "AnnotationMetrics", "measure_annotation", "stratified_splits"]
