"""Who answers: language models behind small protocols; knows prompts, not cells."""

from __future__ import annotations

from celloquy.lm._decoder import Decoder
from celloquy.lm._describe import describe_lm
from celloquy.lm._embed import EmbeddedTexts, embed_texts
from celloquy.lm._endpoint import Endpoint, load_endpoint
from celloquy.lm._endpoint_options import EndpointOptions
from celloquy.lm._endpoint_results import DryRun, EndpointScores
from celloquy.lm._endpoint_store import AnswerStore
from celloquy.lm._fake import ScriptedModel
from celloquy.lm._formats import PromptFormat
from celloquy.lm._hf_model import HFModel
from celloquy.lm._known import KnownCheckpoint, known_checkpoints
from celloquy.lm._load import BACKENDS, load_lm
from celloquy.lm._mini import MINI, default_lm, mini_folder
from celloquy.lm._protocol import (
    Capability,
    Generated,
    LanguageModel,
    Limits,
    Pooling,
    PromptPlan,
    Scores,
    TooLong,
)
from celloquy.lm._reading import CellReading, read_reading
from celloquy.lm._sentence import SentenceEncoder
from celloquy.lm._seq2seq import Seq2Seq
from celloquy.lm._store import VectorStore

__all__ = [
    "BACKENDS",
    "MINI",
    "AnswerStore",
    "Capability",
    "CellReading",
    "Decoder",
    "DryRun",
    "EmbeddedTexts",
    "Endpoint",
    "EndpointOptions",
    "EndpointScores",
    "Generated",
    "HFModel",
    "KnownCheckpoint",
    "LanguageModel",
    "Limits",
    "Pooling",
    "PromptFormat",
    "PromptPlan",
    "Scores",
    "ScriptedModel",
    "SentenceEncoder",
    "Seq2Seq",
    "TooLong",
    "VectorStore",
    "default_lm",
    "describe_lm",
    "embed_texts",
    "known_checkpoints",
    "load_endpoint",
    "load_lm",
    "mini_folder",
    "read_reading",
]
