"""Splits, metrics and comparisons with baselines."""

from __future__ import annotations

from celloquy.evaluation._annotation import (
    AnnotationMetrics,
    measure_annotation,
    stratified_splits,
)
from celloquy.evaluation._annotation_cells import EvaluateOptions
from celloquy.evaluation._annotation_evaluate import evaluate_annotation
from celloquy.evaluation._annotation_labels import map_labels
from celloquy.evaluation._annotation_report import AnnotationReport
from celloquy.evaluation._blood import blood_types, coarse_blood_types
from celloquy.evaluation._bridges import (
    cz_benchmarks_inputs,
    scib_benchmarker,
    write_label_projection,
)
from celloquy.evaluation._compare import (
    METHODS,
    TEXT_METHODS,
    compare_across,
    compare_within,
    summarise,
)
from celloquy.evaluation._confidence import (
    ConfidenceReport,
    brier_score,
    coverage_curve,
    evaluate_confidence,
)
from celloquy.evaluation._drug import DrugReport, evaluate_drug_response
from celloquy.evaluation._embedding import EmbeddingReport, evaluate_embedding
from celloquy.evaluation._generated import (
    GeneratedOptions,
    GeneratedReport,
    evaluate_generated,
)
from celloquy.evaluation._intervals import Interval, mean_interval
from celloquy.evaluation._leaks import Leaks, check_leaks
from celloquy.evaluation._ontology import CellOntology, Term, ontology_of, read_ontology
from celloquy.evaluation._ontology_report import OntologyReport
from celloquy.evaluation._paired import PairedTest, paired_test
from celloquy.evaluation._perturbation import PerturbationReport, evaluate_perturbation
from celloquy.evaluation._reconstruction import ReconstructionReport, evaluate_reconstruction
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
from celloquy.evaluation._suite import Suite, data_folder, known_suites, load_suite
from celloquy.evaluation._suite_cells import set_records
from celloquy.evaluation._suite_lms import LmOptions
from celloquy.evaluation._suite_report import SuiteReport, make_report, write_report
from celloquy.evaluation._suite_run import run_suite
from celloquy.evaluation._text_answers import JudgedAnswer, ReadAnswer, judge_answer
from celloquy.evaluation._text_report import AnswersReport, evaluate_answers

__all__ = [
    "METHODS",
    "TEXT_METHODS",
    "AnnotationMetrics",
    "AnnotationReport",
    "AnswersReport",
    "CellOntology",
    "ConfidenceReport",
    "DrugReport",
    "EmbeddingReport",
    "EvaluateOptions",
    "GeneratedOptions",
    "GeneratedReport",
    "Interval",
    "JudgedAnswer",
    "Leaks",
    "LmOptions",
    "OntologyReport",
    "PairedTest",
    "PerturbationReport",
    "ReadAnswer",
    "ReconstructionReport",
    "Split",
    "Suite",
    "SuiteReport",
    "Term",
    "blood_types",
    "brier_score",
    "cell_folds",
    "check_leaks",
    "coarse_blood_types",
    "compare_across",
    "compare_within",
    "coverage_curve",
    "cz_benchmarks_inputs",
    "data_folder",
    "evaluate_annotation",
    "evaluate_answers",
    "evaluate_confidence",
    "evaluate_drug_response",
    "evaluate_embedding",
    "evaluate_generated",
    "evaluate_perturbation",
    "evaluate_reconstruction",
    "group_folds",
    "hash_names",
    "hold_out",
    "judge_answer",
    "known_suites",
    "leave_one_group_out",
    "load_split",
    "load_suite",
    "make_report",
    "map_labels",
    "mean_interval",
    "measure_annotation",
    "ontology_of",
    "paired_test",
    "read_ontology",
    "run_suite",
    "save_split",
    "scib_benchmarker",
    "set_records",
    "split_by_cell",
    "split_by_group",
    "stratified_splits",
    "summarise",
    "write_label_projection",
    "write_report",
]
