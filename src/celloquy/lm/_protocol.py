"""What every language model says of itself and can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from celloquy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from celloquy.text import Constraint, Prompt

Capability = Literal["embed", "score", "generate"]
Pooling = Literal["mean", "cls", "last", "max", "genes"]
TooLong = Literal["refuse", "cut"]
FinishReason = Literal["end", "length", "refused"]


@dataclass(frozen=True, eq=False)
class PromptPlan:
    """Prompts as a language model will read them, and what did not fit."""

    texts: tuple[str, ...]
    """The prompts as text, after names were cut; length ``n``."""
    ids: tuple[NDArray[np.int32], ...]
    """The token ids of each prompt, special tokens included; length ``n``."""
    n_names_cut: NDArray[np.int32]
    """Gene names that did not fit; shape ``(n,)``."""
    n_tokens_cut: NDArray[np.int32]
    """Tokens cut from the end of a plain text, if that was allowed; shape ``(n,)``."""
    prompts: tuple[Prompt | str, ...] = ()
    """The prompts after names were cut; length ``n``, or empty where a backend needs none."""

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def n_tokens(self) -> NDArray[np.int32]:
        """Tokens that each prompt takes; shape ``(n,)``."""
        return np.array([len(ids) for ids in self.ids], dtype=np.int32)

    @property
    def n_cut(self) -> int:
        """Prompts of which something was cut."""
        return int(((self.n_names_cut > 0) | (self.n_tokens_cut > 0)).sum())

    def take(self, rows: Sequence[int]) -> PromptPlan:
        """Give the plan of some of the prompts."""
        return PromptPlan(
            tuple(self.texts[row] for row in rows),
            tuple(self.ids[row] for row in rows),
            self.n_names_cut[list(rows)],
            self.n_tokens_cut[list(rows)],
            tuple(self.prompts[row] for row in rows) if self.prompts else (),
        )


@dataclass(frozen=True, eq=False)
class Scores:
    """How likely a language model finds each allowed answer."""

    logp: NDArray[np.float64]
    """log P(answer | prompt) in nats, shape ``(n, m)``; ``-inf`` where a prompt has fewer answers
    than another, and, if only the best was asked for, for the others. NaN where a backend
    gives no probabilities."""
    n_tokens: NDArray[np.int32]
    """Tokens of each answer, its end included if that was scored; shape ``(n, m)``."""
    best: NDArray[np.int32]
    """The likeliest answer of each prompt, the first of equals; -1 where there was no answer of
    the set; shape ``(n,)``."""


@dataclass(frozen=True)
class Limits:
    """How an answer is drawn, and when it ends."""

    max_new_tokens: int = 512
    """The most tokens of an answer; a constraint that needs more is refused."""
    temperature: float = 1.0
    """Divides the logits; 0 takes the likeliest token (greedy)."""
    top_k: int | None = None
    """Draw among this many likeliest tokens only; `None` among all."""
    top_p: float | None = None
    """Draw among the likeliest tokens that together have this probability; `None` among all."""
    guidance_scale: float = 1.0
    """How many times what a prompt adds to its contrast counts, where an answer has a contrast;
    1 asks the prompt alone."""

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            msg = f"`max_new_tokens` must be at least 1, got {self.max_new_tokens}."
            raise InputError(msg, hint="100 genes take about 450 tokens of a common tokenizer.")
        if not 0 <= self.temperature < float("inf"):
            msg = f"`temperature` must be 0 or more, got {self.temperature}."
            raise InputError(msg, hint="0 is greedy, 1 draws as the model finds it likely.")
        if self.top_k is not None and self.top_k < 1:
            msg = f"`top_k` must be at least 1, got {self.top_k}."
            raise InputError(msg, hint="leave it out to draw among all tokens.")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            msg = f"`top_p` must be above 0 and at most 1, got {self.top_p}."
            raise InputError(msg, hint="leave it out to draw among all tokens.")
        if not 0 <= self.guidance_scale < float("inf"):
            msg = f"`guidance_scale` must be 0 or more, got {self.guidance_scale}."
            raise InputError(msg, hint="1 is none, 2 counts what the prompt adds twice.")


@dataclass(frozen=True, eq=False)
class Generated:
    """What a language model wrote, in the order of the prompts."""

    texts: tuple[str, ...]
    """The answers, without prompt and special tokens; length ``n``."""
    ids: tuple[NDArray[np.int32], ...]
    """Token ids of each answer; empty where a backend gives none."""
    logp: NDArray[np.float64]
    """log probability of each answer as drawn, in nats; NaN where a backend gives none."""
    finish_reasons: tuple[FinishReason, ...]
    """Why each answer ended."""


class LanguageModel(Protocol):
    """A loaded language model: its name, what it can do, and how it is asked.

    `capabilities` says which of the methods can be called; the others raise an InputError that
    names a backend that can.
    """

    name: str
    """How it was asked for: ``"st:minilm"``."""
    revision: str
    """SHA-256 of its weights and of the settings that change its answers; of an endpoint, what
    the provider says of the model."""
    precision: str
    """``"fp32"`` or ``"bf16"``."""
    max_tokens: int
    """Tokens that one prompt and its answer may take together."""
    capabilities: frozenset[Capability]
    """What it can be asked for."""

    def plan(
        self,
        prompts: Sequence[Prompt | str],
        *,
        n_answer_tokens: int = 0,
        too_long: TooLong = "refuse",
    ) -> PromptPlan:
        """Count the tokens of prompts, and cut gene names where prompt and answer do not fit."""

    def embed(
        self,
        prompts: Sequence[Prompt | str] | PromptPlan,
        *,
        suffixes: Sequence[Sequence[Prompt | str]] | None = None,
        pooling: Pooling | None = None,
        layer: int | None = None,
        too_long: TooLong = "refuse",
    ) -> NDArray[np.float32]:
        """Give one vector a prompt, ``(n, d)``, or a suffix of each prompt, ``(n, s, d)``."""

    def score(
        self,
        prompts: Sequence[Prompt | str] | PromptPlan,
        answers: Sequence[str] | Sequence[Sequence[str]],
        *,
        best_only: bool = False,
        ends: bool = True,
    ) -> Scores:
        """Give log P(answer | prompt) of every allowed answer: one set, or one a prompt."""

    def generate(
        self,
        prompts: Sequence[Prompt | str] | PromptPlan,
        constraint: Constraint | Sequence[Constraint] | None = None,
        *,
        seeds: Sequence[int],
        limits: Limits | None = None,
        contrast: Sequence[Prompt | str] | PromptPlan | None = None,
    ) -> Generated:
        """Write an answer to every prompt; each has a seed, and may have a contrast."""


class Embedder(LanguageModel, Protocol):
    """A language model that gives vectors, and says what they are like."""

    default_pooling: Pooling
    """How token vectors become one unless asked otherwise."""

    def n_dimensions(self, *, layer: int | None = None) -> int:
        """Dimensions of a vector."""
