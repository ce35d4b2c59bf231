"""What is asked of cells: the only place where cells, tasks and models meet."""

from __future__ import annotations

from celloquy.roles._block import read_block
from celloquy.roles._calibrations import calibrate
from celloquy.roles._cells import ReadOptions
from celloquy.roles._clusters import ClusterOptions, NamedClusters, name_clusters, plan_clusters
from celloquy.roles._generate_options import GenerateOptions
from celloquy.roles._predict import predict
from celloquy.roles._predict_options import PredictOptions
from celloquy.roles._predict_plan import PredictionPlan, plan_prediction
from celloquy.roles._prediction import Predicted
from celloquy.roles._project import embedding_of, fit_projection
from celloquy.roles._reference import load_or_fit
from celloquy.roles._text_vectors import TextSource
from celloquy.roles.encoder import (
    EncodeOptions,
    Encoding,
    encode,
    encode_genes,
    encode_together,
)
from celloquy.roles.generator import generate, plan_generation
from celloquy.roles.predictor import AnnotateOptions, Annotation, annotate

__all__ = [
    "AnnotateOptions",
    "Annotation",
    "ClusterOptions",
    "EncodeOptions",
    "Encoding",
    "GenerateOptions",
    "NamedClusters",
    "PredictOptions",
    "Predicted",
    "PredictionPlan",
    "ReadOptions",
    "TextSource",
    "annotate",
    "calibrate",
    "embedding_of",
    "encode",
    "encode_genes",
    "encode_together",
    "fit_projection",
    "generate",
    "load_or_fit",
    "name_clusters",
    "plan_clusters",
    "plan_generation",
    "plan_prediction",
    "predict",
    "read_block",
]
