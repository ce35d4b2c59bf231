"""What learns without a language model: representations, heads, neighbours, references."""

from __future__ import annotations

from celloquy.learn._answer_calibration import (
    AnswerCalibration,
    fit_answer_calibration,
    load_answer_calibration,
    save_answer_calibration,
)
from celloquy.learn._answers import (
    Normalise,
    TopAnswers,
    answer_predictions,
    answer_probabilities,
    top_answers,
)
from celloquy.learn._bags import RankBag, TfidfBag
from celloquy.learn._block import CellBlock, log_normalise
from celloquy.learn._cluster_markers import cluster_markers
from celloquy.learn._compressed import Compressed
from celloquy.learn._fusion import Fusion, TextVectors
from celloquy.learn._head import Head
from celloquy.learn._knn import NearestNeighbours
from celloquy.learn._labels import choose_cells, label_codes
from celloquy.learn._logistic import LogisticRegression
from celloquy.learn._mlp import NeuralNet
from celloquy.learn._neighbours import NeighbourIndex, Neighbours
from celloquy.learn._predictions import (
    NO_LABEL,
    UNKNOWN,
    Majority,
    Predictions,
    Thresholds,
    majority,
)
from celloquy.learn._projection import Projection
from celloquy.learn._projection_files import load_projection, save_projection
from celloquy.learn._projection_fit import project_labels
from celloquy.learn._recipe import Recipe
from celloquy.learn._reference import Overlap, Reference, fit_reference, measure_overlap
from celloquy.learn._reference_files import load_reference, save_reference
from celloquy.learn._reliability import Reliability, measure_reliability
from celloquy.learn._representation import Representation, Vectors
from celloquy.learn._roll_up import Ancestry, RolledUp, ancestry_of, roll_up
from celloquy.learn._specific import SpecificBag
from celloquy.learn._state import State
from celloquy.learn._trees import BoostedTrees
from celloquy.learn._values import LogValues
from celloquy.learn._weighted import weighted_gene_vectors

__all__ = [
    "NO_LABEL",
    "UNKNOWN",
    "Ancestry",
    "AnswerCalibration",
    "BoostedTrees",
    "CellBlock",
    "Compressed",
    "Fusion",
    "Head",
    "LogValues",
    "LogisticRegression",
    "Majority",
    "NearestNeighbours",
    "NeighbourIndex",
    "Neighbours",
    "NeuralNet",
    "Normalise",
    "Overlap",
    "Predictions",
    "Projection",
    "RankBag",
    "Recipe",
    "Reference",
    "Reliability",
    "Representation",
    "RolledUp",
    "SpecificBag",
    "State",
    "TextVectors",
    "TfidfBag",
    "Thresholds",
    "TopAnswers",
    "Vectors",
    "ancestry_of",
    "answer_predictions",
    "answer_probabilities",
    "choose_cells",
    "cluster_markers",
    "fit_answer_calibration",
    "fit_reference",
    "label_codes",
    "load_answer_calibration",
    "load_projection",
    "load_reference",
    "log_normalise",
    "majority",
    "measure_overlap",
    "measure_reliability",
    "project_labels",
    "roll_up",
    "save_answer_calibration",
    "save_projection",
    "save_reference",
    "top_answers",
    "weighted_gene_vectors",
]
