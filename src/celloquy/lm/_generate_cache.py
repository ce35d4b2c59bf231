"""Keys and values of many answers, in memory that was set aside once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from celloquy.lm._network import CausalNetwork


class RowCache:
    """A token's keys and values stand at its place in its own text, row by row.

    So rows may be of any length, new tokens overwrite padding, and a row may read more tokens
    than another in one step. Nothing is copied when tokens are added. Networks of transformers
    ask it as they ask their own caches.

    Parameters
    ----------
    n
        Rows.
    columns
        Tokens that a row may have.
    """

    is_compileable = False

    def __init__(self, n: int, columns: int) -> None:
        self.n = n
        self.columns = columns
        self.keys: list[torch.Tensor] = []
        self.values: list[torch.Tensor] = []
        self.places: torch.Tensor | None = None
        self.rows: torch.Tensor | None = None
        self.n_seen = 0

    def fill(self, prefilled: Any, rows: torch.Tensor, prompt_of: torch.Tensor) -> None:  # noqa: ANN401
        """Take the keys and values of prompts for some rows, each of one prompt."""
        for layer, held in enumerate(prefilled.layers):
            if layer == len(self.keys):
                self.keys.append(self._set_aside(held.keys))
                self.values.append(self._set_aside(held.values))
            length = held.keys.shape[2]
            self.keys[layer][rows, :, :length] = held.keys[prompt_of]
            self.values[layer][rows, :, :length] = held.values[prompt_of]

    def _set_aside(self, like: torch.Tensor) -> torch.Tensor:
        _, heads, _, width = like.shape
        # zeros, because what no row may look at is still multiplied by nought
        return like.new_zeros((self.n, heads, self.columns, width))

    def expect(self, places: torch.Tensor, n_seen: int) -> None:
        """Say where the next tokens stand, ``(n, q)``, and how many columns are looked at."""
        import torch

        self.places, self.n_seen = places, n_seen
        self.rows = torch.arange(len(places), device=places.device)[:, None]

    def keep(self, rows: torch.Tensor) -> None:
        """Keep some rows only."""
        for layer in range(len(self.keys)):
            self.keys[layer] = self.keys[layer][rows]
            self.values[layer] = self.values[layer][rows]

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write new keys and values; give all that are looked at."""
        keys, values = self.keys[layer_idx], self.values[layer_idx]
        keys[self.rows, :, self.places] = key_states.transpose(1, 2)
        values[self.rows, :, self.places] = value_states.transpose(1, 2)
        return keys[:, :, : self.n_seen], values[:, :, : self.n_seen]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Give the columns that were looked at."""
        del layer_idx
        return self.n_seen


def bytes_a_token(network: CausalNetwork) -> int:
    """Give the memory that one token's keys and values take in all layers."""
    config = network.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * network.n_layers * int(heads) * int(width) * int(network.dtype.itemsize)
