"""Who answers: language models behind small protocols; knows prompts, not cells."""

from __future__ import annotations

from celloquy.lm._embed import EmbeddedTexts, embed_texts
from celloquy.lm._endpoint import Endpoint, load_endpoint
from celloquy.lm._endpoint_options import EndpointOptions
from celloquy.lm._endpoint_results import DryRun, EndpointScores
from celloquy.lm._endpoint_store import AnswerStore
from celloquy.lm._fake import ScriptedModel
from celloquy.lm._load import BACKENDS, load_lm
from celloquy.lm._protocol import Capability, LanguageModel, Pooling, PromptPlan, TooLong
from celloquy.lm._sentence import SentenceEncoder
from celloquy.lm._store import VectorStore

__all__ = [
    "BACKENDS",
    "AnswerStore",
    "Capability",
    "DryRun",
    "EmbeddedTexts",
    "Endpoint",
    "EndpointOptions",
    "EndpointScores",
    "LanguageModel",
    "Pooling",
    "PromptPlan",
    "ScriptedModel",
    "SentenceEncoder",
    "TooLong",
    "VectorStore",
    "embed_texts",
    "load_endpoint",
    "load_lm",
]
