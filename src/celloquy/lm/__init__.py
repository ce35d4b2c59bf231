"""Who answers: language models behind small protocols; knows prompts, not cells."""

from __future__ import annotations

from celloquy.lm._embed import EmbeddedTexts, embed_texts
from celloquy.lm._fake import ScriptedModel
from celloquy.lm._load import BACKENDS, load_lm
from celloquy.lm._protocol import Capability, LanguageModel, Pooling, PromptPlan, TooLong
from celloquy.lm._sentence import SentenceEncoder
from celloquy.lm._store import VectorStore

__all__ = [
    "BACKENDS",
    "Capability",
    "EmbeddedTexts",
    "LanguageModel",
    "Pooling",
    "PromptPlan",
    "ScriptedModel",
    "SentenceEncoder",
    "TooLong",
    "VectorStore",
    "embed_texts",
    "load_lm",
]
