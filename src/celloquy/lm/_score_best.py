"""The likeliest answer alone, exactly, without reading the whole tree of answers."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

import numpy as np

from celloquy.lm._score_tree import Reading, Steps, step_logp
from celloquy.lm._trie import ROOT

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from celloquy.lm._network import CausalNetwork
    from celloquy.lm._trie import TokenTrie

NODES_AT_ONCE = 16
"""Nodes of one prompt that are read together: on a processor, 16 take hardly longer than 1."""


class Search:
    """The search of one prompt: what is known of its answers, and what to read next.

    An answer is at most as likely as each of its beginnings. So the most promising beginning is
    read first, and once no beginning is as likely as the best whole answer, that answer is the
    likeliest of all (best-first search with an admissible bound).
    """

    def __init__(self, trie: TokenTrie) -> None:
        self.trie = trie
        self.logp = np.full(len(trie), np.nan)
        self.is_read = np.zeros(len(trie), dtype=np.bool_)
        self.is_inner = np.zeros(len(trie), dtype=np.bool_)
        self.is_inner[trie.inner] = True
        self.best, self.best_logp = -1, -np.inf
        self._open: list[tuple[float, int]] = []

    def take(self, n_nodes: int) -> NDArray[np.int32]:
        """Choose the nodes to read next: the most promising ones and what follows them.

        Returns
        -------
        At most `n_nodes` nodes; none when the search is over.
        """
        taken: list[int] = []
        while self._open and len(taken) < n_nodes:
            bound, node = heapq.heappop(self._open)
            if -bound < self.best_logp:
                self._open.clear()
                break
            if self.is_read[node]:
                continue
            below = [node]
            for one in below:
                if len(taken) == n_nodes:
                    break
                taken.append(one)
                self.is_read[one] = True
                below += [int(kid) for kid in self.trie.children(one) if self.is_inner[kid]]
        return np.array(sorted(taken), dtype=np.int32)

    def learn(self, steps: Steps, logp: NDArray[np.float64]) -> None:
        """Take in the log-probabilities of steps, those of parents before or beside them."""
        for node, step in zip(steps.nodes.tolist(), logp.tolist(), strict=True):
            parent = int(self.trie.parents[node])
            self.logp[node] = step + (0.0 if parent == ROOT else self.logp[parent])
        for node in steps.nodes.tolist():
            self._answer(node)
            if self.is_inner[node] and not self.is_read[node]:
                heapq.heappush(self._open, (-self.logp[node], node))

    def _answer(self, node: int) -> None:
        """Keep the answer that ends at a node if it is the best so far, the first of equals."""
        answer, logp = int(self.trie.answer_at[node]), float(self.logp[node])
        if answer < 0 or logp < self.best_logp:
            return
        if logp > self.best_logp or self.best < 0 or answer < self.best:
            self.best, self.best_logp = answer, logp


def find_best(
    network: CausalNetwork, reading: Reading, last: torch.Tensor, *, n_nodes: int = NODES_AT_ONCE
) -> list[Search]:
    """Search the likeliest answer of each prompt.

    Parameters
    ----------
    network
        Who reads.
    reading
        The prompts, read; used up by the search.
    last
        Output at the last token of each prompt; shape ``(n, d)``.
    n_nodes
        Nodes of one prompt that are read together.
    """
    root = np.array([ROOT], dtype=np.int32)
    searches = [Search(trie) for trie in reading.tries]
    active, hidden, nodes = searches, last[:, None], [root] * len(searches)
    while True:
        tries = [search.trie for search in active]
        steps = [Steps.from_nodes(trie, some) for trie, some in zip(tries, nodes, strict=True)]
        found = step_logp(network, hidden, steps, tries)
        for search, step, logp in zip(active, steps, found, strict=True):
            search.learn(step, logp)
        nodes = [search.take(n_nodes) for search in active]
        rows = np.flatnonzero([len(some) > 0 for some in nodes])
        if not len(rows):
            return searches
        if len(rows) < len(active):
            reading.keep(rows)
            active, nodes = [active[row] for row in rows], [nodes[row] for row in rows]
        hidden = reading.extend(nodes)
