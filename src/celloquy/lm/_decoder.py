"""Decoders (``hf:``): scores, answers and vectors of a causal language model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from celloquy.lm._hf_model import HFModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from celloquy.lm._answering import AnswerIds
    from celloquy.lm._hf_model import Constraints
    from celloquy.lm._hidden import Read
    from celloquy.lm._network import CausalNetwork
    from celloquy.lm._protocol import Generated, Limits, Pooling, Scores


@dataclass(eq=False, kw_only=True)
class Decoder(HFModel):
    """A decoder that was loaded: it scores answers, writes them, and gives vectors.

    At equal precision a prompt's result does not depend on which others are asked with it.
    """

    can_guide: ClassVar[bool] = True

    network: CausalNetwork
    """The network."""
    default_pooling: Pooling = "last"
    """How token vectors become one unless asked otherwise."""

    @property
    def n_layers(self) -> int:
        """Layers of the network."""
        return self.network.n_layers

    def n_dimensions(self, *, layer: int | None = None) -> int:
        """Dimensions of a vector."""
        return int(self.network.config.hidden_size)

    def reader_to(self, layer: int) -> Read:
        """Give what reads tokens as far as one layer.

        A decoder looks back only, so tokens before the padding never see it and no mask is needed.
        """
        from celloquy.lm._hidden import network_to

        network = network_to(self.network, layer)
        return lambda ids, _is_real: network.hidden(ids)

    def _score(
        self, ids: Sequence[NDArray[np.int32]], allowed: AnswerIds, *, best_only: bool
    ) -> Scores:
        from celloquy.lm._score import score_answers

        return score_answers(self.network, ids, allowed.sets, best_only=best_only)

    def _generate(
        self,
        ids: Sequence[NDArray[np.int32]],
        constraint: Constraints,
        *,
        seeds: Sequence[int],
        limits: Limits,
        contrast: Sequence[NDArray[np.int32]],
    ) -> Generated:
        from celloquy.lm._generate import generate_answers

        return generate_answers(
            self.network,
            ids,
            constraint,
            words=self.format,
            seeds=seeds,
            limits=limits,
            contrast=contrast,
            max_tokens=self.max_tokens,
        )
