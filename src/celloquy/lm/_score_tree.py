"""A tree of answers on top of prompts whose keys and values are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from celloquy.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray

    from celloquy.lm._batches import TokenBatch
    from celloquy.lm._network import CausalNetwork
    from celloquy.lm._trie import TokenTrie

LOGITS_AT_ONCE = 2**23
"""Numbers of one block of logits (32 MiB in float32): larger ones cost a processor new memory."""
LOGITS_IN_CACHE = 2**18
"""Numbers that stay in a processor's cache while they are summed."""


class Head(Protocol):
    """What turns output of the last layer into logits, in float32."""

    @property
    def config(self) -> Any:  # noqa: ANN401 (settings of any family)
        """Settings with the size of the vocabulary."""

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Give the logits of all tokens; shape ``(..., d)`` to ``(..., v)``."""


@dataclass(eq=False)
class Reading:
    """Prompts that a network has read, and the nodes of their answers that it read after them."""

    network: CausalNetwork
    """Who reads."""
    tries: list[TokenTrie]
    """The answers of each prompt."""
    lengths: NDArray[np.int64]
    """Tokens of each prompt; shape ``(n,)``."""
    is_real: NDArray[np.bool_]
    """Which cached tokens are the prompt's and no padding; shape ``(n, tokens)``."""
    cache: Any
    """Keys and values so far; `None` if nothing is read after the prompts."""
    slots: list[NDArray[np.int64]]
    """Where each node stands in the cache, -1 if it was not read yet; one array a prompt."""
    key_positions: NDArray[np.int64] = field(init=False)
    """Place of each cached token in its text; shape ``(n, cached)``."""

    def __post_init__(self) -> None:
        n, n_tokens = self.is_real.shape
        self.key_positions = np.broadcast_to(np.arange(n_tokens), (n, n_tokens))

    @classmethod
    def of(
        cls, network: CausalNetwork, batch: TokenBatch, tries: list[TokenTrie]
    ) -> tuple[Reading, torch.Tensor]:
        """Read prompts; give also the output at the last token of each, shape ``(n, d)``."""
        import torch

        cache = network.new_cache() if any(len(trie.inner) for trie in tries) else None
        hidden = network.hidden(torch.from_numpy(batch.ids).to(network.device), cache=cache)
        lengths = batch.mask.sum(axis=1)
        last = hidden[np.arange(len(lengths)), lengths - 1]
        slots = [np.full(len(trie), -1, dtype=np.int64) for trie in tries]
        return cls(network, tries, lengths, batch.mask, cache, slots), last

    def extend(self, nodes: Sequence[NDArray[np.int32]]) -> torch.Tensor:
        """Read nodes whose parents were read, or are among them.

        Parameters
        ----------
        nodes
            Inner nodes of each prompt's answers, not read before; one array a prompt.

        Returns
        -------
        Output at each node, shape ``(n, most nodes, d)``; without meaning after a prompt's own.
        """
        import torch

        n, n_cached = self.key_positions.shape
        n_new = max(len(some) for some in nodes)
        ids = np.zeros((n, n_new), dtype=np.int64)
        positions = np.repeat(self.lengths[:, None], n_new, axis=1)
        may_see = np.zeros((n, n_new, n_cached + n_new), dtype=np.bool_)
        may_see[:, :, : self.is_real.shape[1]] = self.is_real[:, None, :]
        for row, (trie, some) in enumerate(zip(self.tries, nodes, strict=True)):
            ids[row, : len(some)] = trie.tokens[some]
            positions[row, : len(some)] += trie.depths[some] - 1
            self.slots[row][some] = n_cached + np.arange(len(some))
            ways = trie.ways[some]
            line, _ = is_node = np.nonzero(ways >= 0)
            may_see[row, line, self.slots[row][ways[is_node]]] = True
        self.key_positions = np.concatenate([self.key_positions, positions], axis=1)

        def on_device(values: NDArray[Any]) -> torch.Tensor:
            return torch.from_numpy(values).to(self.network.device)

        return self.network.hidden(
            on_device(ids),
            positions=on_device(positions),
            may_see=on_device(may_see),
            key_positions=on_device(self.key_positions),
            cache=self.cache,
        )

    def forget_nodes(self) -> None:
        """Forget every node that was read; the prompts stay."""
        n_nodes = self.key_positions.shape[1] - self.is_real.shape[1]
        if n_nodes:
            self.cache.crop(-n_nodes)
            self.key_positions = self.key_positions[:, :-n_nodes]
            for slots in self.slots:
                slots[:] = -1

    def keep(self, rows: NDArray[np.int64]) -> None:
        """Go on with some of the prompts only."""
        import torch

        self.cache.batch_select_indices(torch.from_numpy(rows).to(self.network.device))
        self.tries = [self.tries[row] for row in rows]
        self.slots = [self.slots[row] for row in rows]
        self.lengths, self.is_real = self.lengths[rows], self.is_real[rows]
        self.key_positions = self.key_positions[rows]


@dataclass(frozen=True, eq=False)
class Steps:
    """Steps from places in a text to the tokens that may follow there."""

    places: NDArray[np.int64]
    """Where each step starts, as a row of the output; shape ``(n_steps,)``."""
    nodes: NDArray[np.int64]
    """Where each step leads, as a node of the tree; shape ``(n_steps,)``."""

    @classmethod
    def from_nodes(cls, trie: TokenTrie, nodes: NDArray[np.int32]) -> Steps:
        """Give the steps that lead away from nodes (-1 is the end of the prompt)."""
        place = np.full(len(trie) + 1, -1, dtype=np.int64)
        place[nodes + 1] = np.arange(len(nodes))
        places = place[trie.parents + 1]
        return cls(places[places >= 0], np.flatnonzero(places >= 0))

    def after(self, n_places: int) -> Steps:
        """Leave out the steps that start at the first places."""
        some = self.places >= n_places
        return Steps(self.places[some], self.nodes[some])


def step_logp(
    head: Head, hidden: torch.Tensor, steps: Sequence[Steps], tries: Sequence[TokenTrie]
) -> list[NDArray[np.float64]]:
    """Give log P of steps, without keeping the logits of the whole vocabulary.

    Parameters
    ----------
    head
        Gives logits.
    hidden
        Output of the last layer, shape ``(n, places, d)``.
    steps
        The steps of each prompt.
    tries
        The answers of each prompt.

    Returns
    -------
    One array a prompt, a number a step, in nats and at most 0.
    """
    width = hidden.shape[1]
    counts = np.cumsum([len(one.places) for one in steps])[:-1]
    rows = np.concatenate([row * width + one.places for row, one in enumerate(steps)])
    pairs = zip(tries, steps, strict=True)
    tokens = np.concatenate([trie.tokens[one.nodes] for trie, one in pairs])
    logp = _rows_logp(head, hidden.flatten(0, 1), rows, tokens.astype(np.int64))
    return np.split(logp, counts)


def _rows_logp(
    head: Head, hidden: torch.Tensor, rows: NDArray[np.int64], tokens: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Give log P of tokens after rows of the output, in blocks of rows.

    Raises
    ------
    BackendError
        If a log-probability is no number.
    """
    import torch

    used, line = np.unique(rows, return_inverse=True)
    order = np.argsort(line, kind="stable")
    found = np.empty(len(rows), dtype=np.float64)
    n_rows = max(1, LOGITS_AT_ONCE // int(head.config.vocab_size))
    for start in range(0, len(used), n_rows):
        some = torch.from_numpy(used[start : start + n_rows]).to(hidden.device)
        logits = head.logits(hidden[some])
        total = _log_totals(logits)
        first, last = np.searchsorted(line[order], [start, start + len(some)])
        part = order[first:last]
        of, token = line[part] - start, torch.from_numpy(tokens[part]).to(hidden.device)
        found[part] = (logits[of, token] - total[of]).double().cpu().numpy()
    if np.isnan(found).any():
        msg = f"{np.isnan(found).sum():,} of {len(found):,} log-probabilities are not numbers."
        raise BackendError(msg, hint='ask again with `precision="fp32"`, or check the weights.')
    return np.minimum(found, 0.0)


def _log_totals(logits: torch.Tensor) -> torch.Tensor:
    """Give the logarithm of the sum of exp of each row; few rows at a time on a processor."""
    import torch

    if logits.device.type != "cpu":
        return logits.logsumexp(dim=1)
    n_rows = max(1, LOGITS_IN_CACHE // logits.shape[1])
    return torch.cat([part.logsumexp(dim=1) for part in torch.split(logits, n_rows)])
