"""Keys and values of many answers, in memory that was set aside once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from celloquy.lm._network import CausalNetwork

AHEAD = 96
"""Tokens beyond the prompt for which memory is taken first."""


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
        Tokens that a row may have; memory for them is taken as they come.
    """

    is_compileable = False

    def __init__(self, n: int, columns: int) -> None:
        self.n = n
        self.most = columns
        self.columns = 0
        self.keys: list[torch.Tensor] = []
        self.values: list[torch.Tensor] = []
        self.places: torch.Tensor | None = None
        self.rows: torch.Tensor | None = None
        self.place: int | None = None
        self.n_seen = 0
        self.is_step = False

    def fill(self, prefilled: Any, rows: torch.Tensor, prompt_of: torch.Tensor) -> None:  # noqa: ANN401
        """Take the keys and values of prompts for some rows, each of one prompt."""
        for layer, held in enumerate(prefilled.layers):
            length = held.keys.shape[2]
            if layer == len(self.keys):
                self.columns = max(self.columns, min(self.most, length + AHEAD))
                self.keys.append(self._set_aside(held.keys))
                self.values.append(self._set_aside(held.values))
            self.keys[layer][rows, :, :length] = held.keys[prompt_of]
            self.values[layer][rows, :, :length] = held.values[prompt_of]

    def _set_aside(self, like: torch.Tensor) -> torch.Tensor:
        _, heads, _, width = like.shape
        # zeros, because what no row may look at is still multiplied by nought
        return like.new_zeros((self.n, heads, self.columns, width))

    def expect(self, places: torch.Tensor, n_seen: int) -> None:
        """Say where the next tokens stand, ``(n, q)``, and how many columns are looked at."""
        import torch

        if n_seen > self.columns:
            self._take(None, columns=min(self.most, max(n_seen, 3 * self.columns // 2)))
        self.places, self.n_seen = places, n_seen
        self.rows = torch.arange(len(places), device=places.device)[:, None]
        are_alike = places.shape[1] == 1 and bool((places == places[0]).all())
        self.place = int(places[0, 0]) if are_alike else None

    def expect_step(self, rows: torch.Tensor, places: torch.Tensor) -> None:
        """Say to which rows and places the next tokens, end to end, belong; both ``(t,)``."""
        n_seen = int(places.max()) + 1
        if n_seen > self.columns:
            self._take(None, columns=min(self.most, max(n_seen, 3 * self.columns // 2)))
        self.is_step, self.rows, self.places, self.place = True, rows, places, None
        self.n_seen = max(n_seen, self.n_seen)

    def keep(self, rows: torch.Tensor) -> None:
        """Keep some rows only."""
        self.n = len(rows)
        self._take(rows, columns=self.columns)

    def _take(self, rows: torch.Tensor | None, *, columns: int) -> None:
        """Move what was seen, of all rows or some, to new memory."""
        seen, self.columns = self.n_seen or self.columns, columns
        for held in (self.keys, self.values):
            for layer, old in enumerate(held):
                held[layer] = self._set_aside(old)
                seen_here = old[:, :, :seen]
                held[layer][:, :, :seen] = seen_here if rows is None else seen_here[rows]

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write new keys and values; give all that are looked at."""
        keys, values = self.keys[layer_idx], self.values[layer_idx]
        if self.is_step:  # tokens end to end; who looks at them picks what it needs
            keys[self.rows, :, self.places] = key_states[0].transpose(0, 1)
            values[self.rows, :, self.places] = value_states[0].transpose(0, 1)
            return keys, values
        if self.place is not None:  # one slice, which is faster than many places
            keys[:, :, self.place] = key_states[:, :, 0]
            values[:, :, self.place] = value_states[:, :, 0]
            return keys[:, :, : self.n_seen], values[:, :, : self.n_seen]
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
