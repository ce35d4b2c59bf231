"""Encoder-decoders (``hf:`` with T5): the prompt is encoded once, the answer is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

from celloquy.lm._hf_model import HFModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from celloquy.lm._answering import AnswerIds
    from celloquy.lm._hf_model import Constraints
    from celloquy.lm._hidden import Read
    from celloquy.lm._protocol import Generated, Limits, Pooling, Scores


@dataclass(eq=False, kw_only=True)
class Seq2Seq(HFModel):
    """An encoder-decoder that was loaded: it scores answers, writes them, and gives vectors.

    At equal precision a prompt's result does not depend on which others are asked with it.
    """

    answer_shares_room: ClassVar[bool] = False
    """The decoder has room of its own, so `max_tokens` is the prompt's alone."""

    model: Any
    """The model with its head (``AutoModelForSeq2SeqLM``), in evaluation mode."""
    default_pooling: Pooling = "mean"
    """How token vectors become one unless asked otherwise."""

    @property
    def n_layers(self) -> int:
        """Layers of the encoder."""
        return int(self.model.config.num_layers)

    def n_dimensions(self, *, layer: int | None = None) -> int:
        """Dimensions of a vector."""
        return int(self.model.config.d_model)

    def reader_to(self, layer: int) -> Read:
        """Give what reads tokens as far as one layer of the encoder, which sees no padding."""
        from celloquy.lm._hidden import stack_to

        encoder = stack_to(self.model.get_encoder(), layer, n_layers=self.n_layers)
        return lambda ids, is_real: cast(
            "torch.Tensor", encoder(input_ids=ids, attention_mask=is_real.long()).last_hidden_state
        )

    def _score(
        self, ids: Sequence[NDArray[np.int32]], allowed: AnswerIds, *, best_only: bool
    ) -> Scores:
        from celloquy.lm._score_seq2seq import score_answers_seq2seq

        return score_answers_seq2seq(self.model, ids, allowed.sets, best_only=best_only)

    def _generate(
        self,
        ids: Sequence[NDArray[np.int32]],
        constraint: Constraints,
        *,
        seeds: Sequence[int],
        limits: Limits,
        contrast: Sequence[NDArray[np.int32]],
    ) -> Generated:
        from celloquy.lm._generate_seq2seq import generate_answers_seq2seq

        del contrast  # guidance was refused before
        return generate_answers_seq2seq(
            self.model, ids, constraint, words=self.format, seeds=seeds, limits=limits
        )
