"""A causal network asked piece by piece: prefill, then more tokens on top of its cached keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch


@dataclass(eq=False)
class CausalNetwork:
    """A decoder of transformers without its vocabulary head, and the head beside it.

    Logits are never computed for tokens that nobody asks about. Positions and what a token may
    look at are given by the caller, so prompts are padded on the right (real tokens stand before
    the padding and never see it), and a tree of answers can stand on top of one prompt.
    """

    model: Any
    """The model with its head (``AutoModelForCausalLM``), in evaluation mode."""
    device: str
    """Where it runs."""

    @property
    def config(self) -> Any:  # noqa: ANN401 (settings of any family)
        """Settings of the text part of the model."""
        return self.model.config.get_text_config()

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the weights."""
        return cast("torch.dtype", self.model.dtype)

    @property
    def n_layers(self) -> int:
        """Layers of the network."""
        return int(self.config.num_hidden_layers)

    @property
    def window(self) -> int | None:
        """Tokens that layers with a sliding window look back; `None` without such layers."""
        window = getattr(self.config, "sliding_window", None)
        if window is None or not getattr(self.config, "use_sliding_window", True):
            return None
        kinds = getattr(self.config, "layer_types", None)
        return None if kinds is not None and "sliding_attention" not in kinds else int(window)

    def new_cache(self) -> Any:  # noqa: ANN401 (a class of transformers)
        """Make an empty cache of keys and values that can be repeated, selected and cropped."""
        from transformers import DynamicCache

        return DynamicCache()

    def hidden(
        self,
        ids: torch.Tensor,
        *,
        positions: torch.Tensor | None = None,
        may_see: torch.Tensor | None = None,
        key_positions: torch.Tensor | None = None,
        cache: Any = None,  # noqa: ANN401
    ) -> torch.Tensor:
        """Run tokens through the network.

        Parameters
        ----------
        ids
            Token ids, shape ``(n, q)``.
        positions
            Place of each token in its text, shape ``(n, q)``; `None` counts from 0.
        may_see
            Whether a token looks at each cached and new token, shape ``(n, q, k)``, k = cached
            + q; `None` means all before it, padding included, which is right for prompts that are
            padded on the right and have no cache.
        key_positions
            Place of every cached and new token, shape ``(n, k)``; needed beside `may_see` where
            layers have a sliding window.
        cache
            Keys and values so far, extended in place; `None` keeps none.

        Returns
        -------
        Output of the last layer after its norm, shape ``(n, q, d)``.
        """
        import torch

        n, q = ids.shape
        if positions is None:
            positions = torch.arange(q, device=ids.device).expand(n, q)
        mask: Any = None
        if may_see is not None:
            mask = self._mask(may_see)
            if self.window is not None and key_positions is not None:
                back = positions[:, :, None] - key_positions[:, None, :]
                sliding = self._mask(may_see & (back < self.window))
                is_mixed = getattr(self.config, "layer_types", None) is not None
                whole = {"full_attention": mask, "sliding_attention": sliding}
                mask = whole if is_mixed else sliding
        output = self.model.base_model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        return cast("torch.Tensor", output.last_hidden_state)

    def _mask(self, may_see: torch.Tensor) -> torch.Tensor:
        """Make the additive mask of attention, shape ``(n, 1, q, k)``."""
        import torch

        mask = torch.zeros(may_see.shape, dtype=self.dtype, device=may_see.device)
        return mask.masked_fill_(~may_see, torch.finfo(self.dtype).min)[:, None]

    def logits(self, hidden: torch.Tensor, *, rows: torch.Tensor | None = None) -> torch.Tensor:
        """Give the logits of all tokens, or of some rows of the head only; float32.

        Parameters
        ----------
        hidden
            Output of :meth:`hidden`, shape ``(..., d)``.
        rows
            Token ids whose logits are wanted, shape ``(v,)``; `None` gives all.

        Returns
        -------
        Shape ``(..., v)``.
        """
        return self.head(rows)(hidden)

    def head(self, rows: torch.Tensor | None = None) -> Callable[[torch.Tensor], torch.Tensor]:
        """Give the function from hidden states to logits, its rows gathered once.

        Parameters
        ----------
        rows
            Token ids whose logits are wanted, shape ``(v,)``; `None` gives all.
        """
        import torch

        head = self.model.get_output_embeddings()
        weight, bias = head.weight, getattr(head, "bias", None)
        if rows is not None:
            weight, bias = weight[rows], None if bias is None else bias[rows]
        cap = getattr(self.config, "final_logit_softcapping", None)

        def logits(hidden: torch.Tensor) -> torch.Tensor:
            found = torch.nn.functional.linear(hidden, weight, bias).float()
            return found if cap is None else torch.tanh(found / cap) * cap

        return logits
