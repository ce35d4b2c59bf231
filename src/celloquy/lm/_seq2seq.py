"""Encoder-decoders (``hf:`` with T5): the prompt is encoded once, the answer is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celloquy.lm._answering import (
    answer_ids,
    warn_of_cuts,
)
from celloquy.lm._plan import fit_prompts
from celloquy.lm._protocol import Limits, PromptPlan

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from celloquy.lm._batches import Runner
    from celloquy.lm._formats import PromptFormat
    from celloquy.lm._protocol import Capability, Generated, Pooling, Scores, TooLong
    from celloquy.text import Constraint, Prompt

    Prompts = Sequence[Prompt | str] | PromptPlan


@dataclass(eq=False)
class Seq2Seq:
    """An encoder-decoder that was loaded: it scores answers, writes them, and gives vectors.

    At equal precision a prompt's result does not depend on which others are asked with it.
    """

    name: str
    """How it was asked for."""
    revision: str
    """SHA-256 of its weights, adapter, prompt format and settings that change its answers."""
    device: str
    """Where it runs."""
    precision: str
    """How exactly it computes."""
    max_tokens: int
    """Tokens that a prompt may take; an answer has its own room."""
    model: Any
    """The model with its head (``AutoModelForSeq2SeqLM``), in evaluation mode."""
    tokenizer: Any
    """Its fast tokenizer of transformers."""
    format: PromptFormat
    """How prompts and answers become tokens."""
    runner: Runner
    """What makes and runs batches of embedding."""
    default_pooling: Pooling = "mean"
    """How token vectors become one unless asked otherwise."""
    licence: str | None = None
    """The licence of the weights, where it is known."""
    capabilities: frozenset[Capability] = frozenset({"embed", "score", "generate"})
    """What it can be asked for."""

    @property
    def n_layers(self) -> int:
        """Layers of the encoder."""
        return int(self.model.config.num_layers)

    def n_dimensions(self, *, layer: int | None = None) -> int:
        """Dimensions of a vector."""
        return int(self.model.config.d_model)

    def plan(
        self,
        prompts: Sequence[Prompt | str],
        *,
        n_answer_tokens: int = 0,
        too_long: TooLong = "refuse",
    ) -> PromptPlan:
        """Count the tokens of prompts, and cut gene names where they do not fit.

        Parameters
        ----------
        prompts
            Prompts as segments, or plain texts; length ``n``.
        n_answer_tokens
            Takes nothing from a prompt: the decoder has its own room.
        too_long
            ``"refuse"`` stops at a prompt that does not fit even without gene names;
            ``"cut"`` cuts the end of plain texts, and counts it.
        """
        return fit_prompts(
            prompts,
            self.format.all_ids,
            max_tokens=self.max_tokens,
            too_long=too_long,
            name=f"'{self.name}'",
            write=self.format.text,
        )

    def embed(
        self,
        prompts: Prompts,
        *,
        suffixes: Sequence[Sequence[Prompt | str]] | None = None,
        pooling: Pooling | None = None,
        layer: int | None = None,
        too_long: TooLong = "refuse",
    ) -> NDArray[np.float32]:
        """Give one vector a prompt, or one a suffix of each prompt, by the encoder.

        Parameters
        ----------
        prompts
            Prompts as segments, plain texts, or a plan of them; length ``n``.
        suffixes
            What follows each prompt, ``s`` for each. An encoder looks both ways, so the prompt is
            read again for each.
        pooling
            ``"mean"``, ``"last"``, ``"max"``, ``"cls"`` or ``"genes"``; `None` takes the mean.
        layer
            Layer of the encoder, 0 = the input, -1 = the last after its norm, which is also what
            `None` takes.
        too_long
            See :meth:`plan`.

        Returns
        -------
        Vectors in the order of the prompts, shape ``(n, d)``, or ``(n, s, d)`` with suffixes.

        Raises
        ------
        InputError
            If there is no such pooling or layer, or a prompt has no token to pool.
        BackendError
            If a vector is not finite, or one prompt does not fit into memory.
        """
        from celloquy.lm._hidden import embed_prompts
        from celloquy.lm._hidden_suffixes import embed_suffixes

        if suffixes is not None:
            return embed_suffixes(
                self, prompts, suffixes, pooling=pooling, layer=layer, too_long=too_long
            )
        return embed_prompts(self, prompts, pooling=pooling, layer=layer, too_long=too_long)

    def score(
        self,
        prompts: Prompts,
        answers: Sequence[str] | Sequence[Sequence[str]],
        *,
        best_only: bool = False,
        ends: bool = True,
    ) -> Scores:
        """Give log P(answer | prompt) of every allowed answer, exactly.

        Parameters
        ----------
        prompts
            Prompts as segments, plain texts, or a plan of them; length ``n``.
        answers
            One set for all prompts, or one a prompt.
        best_only
            Give the likeliest answer only; the others' log-probabilities are then ``-inf``.
        ends
            Whether the end of the answer is scored, which tells apart an answer and its prefix.
        """
        from celloquy.lm._score_seq2seq import score_answers_seq2seq

        allowed = answer_ids(self.format, answers, n_prompts=len(prompts), ends=ends)
        plan = self._planned(prompts)
        return score_answers_seq2seq(self.model, plan.ids, allowed.sets, best_only=best_only)

    def generate(
        self,
        prompts: Prompts,
        constraint: Constraint | Sequence[Constraint] | None = None,
        *,
        seeds: Sequence[int],
        limits: Limits | None = None,
    ) -> Generated:
        """Write an answer to every prompt.

        Parameters
        ----------
        prompts
            Prompts as segments, plain texts, or a plan of them; length ``n``.
        constraint
            What may be answered: one for all prompts, or one a prompt.
        seeds
            A seed for every prompt; length ``n``.
        limits
            How answers are drawn, and how long they may be.
        """
        from celloquy.lm._generate_seq2seq import generate_answers_seq2seq

        plan = self._planned(prompts)
        return generate_answers_seq2seq(
            self.model,
            plan.ids,
            constraint,
            words=self.format,
            seeds=seeds,
            limits=limits or Limits(),
        )

    def _planned(self, prompts: Prompts) -> PromptPlan:
        if isinstance(prompts, PromptPlan):
            return prompts
        return warn_of_cuts(self.plan(prompts), self.name)
