"""The loss of pairs of texts, by the losses of sentence-transformers.

This module loads torch and sentence-transformers, and is imported only where an encoder is
trained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from sentence_transformers.sentence_transformer import losses

if TYPE_CHECKING:
    from celloquy.training._encoder import PairBatch
    from celloquy.training._recipe_train import PairsPart


class PairLoss(torch.nn.Module):
    """A sentence encoder that gives the summed loss of a batch of pairs.

    Parameters
    ----------
    model
        A ``SentenceTransformer``.
    part
        Which loss.
    device
        Where it runs.
    precision
        ``"bf16"`` computes products in 16 bits.
    """

    def __init__(self, model: Any, part: PairsPart, *, device: str, precision: str) -> None:  # noqa: ANN401
        super().__init__()
        self.model = model
        self._device, self._is_bf16 = device.partition(":")[0], precision == "bf16"
        self._is_contrastive = part.loss == "contrastive"
        if self._is_contrastive:
            self.loss: Any = losses.ContrastiveLoss(model, margin=part.margin)
        else:
            self.loss = losses.CosineSimilarityLoss(model)

    def forward(self, batch: PairBatch) -> torch.Tensor:
        """Give the sum of the losses of a batch of pairs, a number."""
        labels = (batch.labels > 0.5).float() if self._is_contrastive else batch.labels
        features = [{"input_ids": ids, "attention_mask": mask} for ids, mask in batch.texts]
        with torch.autocast(self._device, dtype=torch.bfloat16, enabled=self._is_bf16):
            total: torch.Tensor = self.loss(features, labels) * len(labels)
            return total

    def cosines(self, batch: PairBatch) -> torch.Tensor:
        """Give the cosine of the two texts of each pair; shape ``(n,)``."""
        vectors = [
            self.model({"input_ids": ids, "attention_mask": mask})["sentence_embedding"]
            for ids, mask in batch.texts
        ]
        return torch.cosine_similarity(*vectors)
