"""What learns without a language model: representations, heads, neighbours, references."""

from __future__ import annotations

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
from celloquy.learn._predictions import UNKNOWN, Majority, Predictions, Thresholds, majority
from celloquy.learn._recipe import Recipe
from celloquy.learn._reference import Overlap, Reference, fit_reference, measure_overlap
from celloquy.learn._reference_files import load_reference, save_reference
from celloquy.learn._representation import Representation, Vectors
from celloquy.learn._state import State
from celloquy.learn._trees import BoostedTrees
from celloquy.learn._values import LogValues
from celloquy.learn._weighted import weighted_gene_vectors

__all__ = [
    "UNKNOWN",
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
    "Overlap",
    "Predictions",
    "RankBag",
    "Recipe",
    "Reference",
    "Representation",
    "State",
    "TextVectors",
    "TfidfBag",
    "Thresholds",
    "Vectors",
    "choose_cells",
    "cluster_markers",
    "fit_reference",
    "label_codes",
    "load_reference",
    "log_normalise",
    "majority",
    "measure_overlap",
    "save_reference",
    "weighted_gene_vectors",
]
