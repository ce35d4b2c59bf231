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
from celloquy.evaluation._leaks import Leaks, check_leaks
from celloquy.evaluation._split_files import load_split, save_split
from celloquy.evaluation._split_makers import (
    cell_folds,
    group_folds,
    hold_out,
    leave_one_group_out,
    split_by_cell,
    split_by_group,
)
from celloquy.evaluation._splits import Split, hash_names

__all__ = [
    "METHODS",
    "TEXT_METHODS",
    "AnnotationMetrics",
    "Leaks",
    "Split",
    "blood_types",
    "cell_folds",
    "check_leaks",
    "coarse_blood_types",
    "compare_across",
    "compare_within",
    "group_folds",
    "hash_names",
    "hold_out",
    "leave_one_group_out",
    "load_split",
    "measure_annotation",
    "save_split",
    "split_by_cell",
    "split_by_group",
    "stratified_splits",
    "summarise",
]
