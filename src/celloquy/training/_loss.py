"""The loss of answers: logits are computed only where a token is learned.

This module loads torch, and is imported only where something is trained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from celloquy.lm._network import CausalNetwork

if TYPE_CHECKING:
    from celloquy.training._batching import Batch

MOST_LOGITS = 2**25
"""Logits that are held at once (128 MiB); more are computed in pieces, and again backwards."""


class AnswerLoss(torch.nn.Module):
    """A language model that gives the summed loss of what is learned of a batch.

    A language model's own loss takes the logits of every token of a prompt, most of which the
    loss then leaves out. Here the head sees the places of the answer alone: the same numbers, and
    for a cell's label about 1 place in 100.

    Parameters
    ----------
    model
        A causal model or an encoder-decoder with its head.
    device
        Where it runs.
    precision
        ``"bf16"`` computes products in 16 bits; weights and losses stay in 32.
    """

    def __init__(self, model: Any, *, device: str, precision: str) -> None:  # noqa: ANN401
        super().__init__()
        self.model = model
        self._device, self._is_bf16 = device.partition(":")[0], precision == "bf16"
        self.is_seq2seq = bool(model.config.is_encoder_decoder)

    def forward(self, batch: Batch) -> torch.Tensor:
        """Give the weighted sum of the losses of a batch, a number."""
        with torch.autocast(self._device, dtype=torch.bfloat16, enabled=self._is_bf16):
            if self.is_seq2seq:
                return self._seq2seq(batch)
            network = CausalNetwork(self.model, self._device)
            hidden = network.hidden(batch.ids, positions=batch.positions)
            chosen = hidden.reshape(-1, hidden.shape[-1])[batch.asked]  # (m, d)
            return self._of_hidden(chosen, batch.targets, batch.weights)

    def _seq2seq(self, batch: Batch) -> torch.Tensor:
        logits = self.model(
            input_ids=batch.ids,
            attention_mask=(batch.positions >= 0).long(),
            decoder_input_ids=batch.answers,
            use_cache=False,
        ).logits  # (n, a, v)
        chosen = logits.reshape(-1, logits.shape[-1])[batch.asked]
        return _summed(chosen, batch.targets, batch.weights)

    def _of_hidden(
        self, hidden: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor
    ) -> torch.Tensor:
        n_rows = int(self.model.config.get_text_config().vocab_size)
        piece = max(1, MOST_LOGITS // n_rows)
        if len(targets) <= piece:
            return self._loss(hidden, targets, weights)
        total = hidden.new_zeros((), dtype=torch.float32)
        for at in range(0, len(targets), piece):
            part = slice(at, at + piece)
            total = total + checkpoint(
                self._loss, hidden[part], targets[part], weights[part], use_reentrant=False
            )
        return total

    def _loss(
        self, hidden: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor
    ) -> torch.Tensor:
        logits = self.model.get_output_embeddings()(hidden)
        cap = getattr(self.model.config.get_text_config(), "final_logit_softcapping", None)
        if cap is not None:
            logits = torch.tanh(logits / cap) * cap
        return _summed(logits, targets, weights)


def _summed(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    losses = functional.cross_entropy(logits.float(), targets, reduction="none")
    return (losses * weights).sum()
