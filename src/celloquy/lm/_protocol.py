"""What every language model says of itself and can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from celloquy.text import Prompt

Capability = Literal["embed"]
Pooling = Literal["mean", "cls", "last", "max"]
TooLong = Literal["refuse", "cut"]


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
        )


class LanguageModel(Protocol):
    """A loaded language model: its name, what it can do, and how it is asked."""

    name: str
    """How it was asked for: ``"st:minilm"``."""
    revision: str
    """SHA-256 of its weights and of the settings that change its answers."""
    precision: str
    """``"fp32"`` or ``"bf16"``."""
    max_tokens: int
    """Tokens that one prompt may take."""
    capabilities: frozenset[Capability]
    """What it can be asked for."""

    def plan(self, prompts: Sequence[Prompt | str], *, too_long: TooLong = "refuse") -> PromptPlan:
        """Count the tokens of prompts, and cut gene names where they do not fit."""

    def embed(
        self,
        prompts: Sequence[Prompt | str] | PromptPlan,
        *,
        pooling: Pooling | None = None,
        layer: int | None = None,
        too_long: TooLong = "refuse",
    ) -> NDArray[np.float32]:
        """Give one vector a prompt; shape ``(n, d)``."""
