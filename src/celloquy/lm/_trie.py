"""Answers as a tree of tokens: what several answers begin with stands in it once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from celloquy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

ROOT = -1
"""The place before the first token of every answer: the end of the prompt."""


@dataclass(frozen=True, eq=False)
class TokenTrie:
    """A tree of tokens; every answer is a way from the root to one of its nodes.

    Nodes stand in depth-first order, children by token id: parents come before children, and the
    tree does not depend on the order of the answers.
    """

    tokens: NDArray[np.int32]
    """Token of each node; shape ``(n_nodes,)``."""
    parents: NDArray[np.int32]
    """Node before each node, -1 after the prompt; shape ``(n_nodes,)``."""
    depths: NDArray[np.int32]
    """Tokens from the prompt to each node, itself included: 1, 2, ...; shape ``(n_nodes,)``."""
    ends: NDArray[np.int32]
    """Node at which each answer ends, in the order of the answers; shape ``(n_answers,)``."""

    @classmethod
    def of(cls, answer_ids: Sequence[Sequence[int] | NDArray[np.int32]]) -> TokenTrie:
        """Build the tree of a set of answers.

        Parameters
        ----------
        answer_ids
            Token ids of each answer, with or without an end.

        Raises
        ------
        InputError
            If there is no answer, one has no tokens, or two have the same tokens.

        Examples
        --------
        >>> trie = TokenTrie.of([[7, 5], [7, 2, 5]])  # "B", "B 2"; 5 ends an answer
        >>> trie.tokens.tolist(), trie.parents.tolist(), trie.ends.tolist()
        ([7, 2, 5, 5], [-1, 0, 1, 0], [3, 2])
        """
        answers = [tuple(map(int, answer)) for answer in answer_ids]
        if not answers:
            msg = "There is no answer to choose from."
            raise InputError(msg, hint="pass at least one allowed answer.")
        order = sorted(range(len(answers)), key=lambda i: (answers[i], i))
        tokens: list[int] = []
        parents: list[int] = []
        depths: list[int] = []
        ends = np.empty(len(answers), dtype=np.int32)
        way: list[int] = []  # nodes of the answer before
        last: tuple[int, ...] = ()
        for i in order:
            answer = answers[i]
            _check(answers, i, last, order)
            shared = _n_shared(last, answer)
            del way[shared:]
            for depth in range(shared, len(answer)):
                parents.append(way[-1] if way else ROOT)
                way.append(len(tokens))
                tokens.append(answer[depth])
                depths.append(depth + 1)
            ends[i], last = way[-1], answer
        nodes = np.array([tokens, parents, depths], dtype=np.int32)
        return cls(nodes[0], nodes[1], nodes[2], ends)

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def n_tokens(self) -> NDArray[np.int32]:
        """Tokens of each answer; shape ``(n_answers,)``."""
        return np.asarray(self.depths[self.ends], dtype=np.int32)

    @cached_property
    def ways(self) -> NDArray[np.int32]:
        """Nodes from the root to each node, itself included, then -1; ``(n_nodes, deepest)``."""
        ways = np.full((len(self), int(self.depths.max())), ROOT, dtype=np.int32)
        for node, (parent, depth) in enumerate(zip(self.parents, self.depths, strict=True)):
            if parent != ROOT:
                ways[node, : depth - 1] = ways[parent, : depth - 1]
            ways[node, depth - 1] = node
        return ways

    @cached_property
    def inner(self) -> NDArray[np.int32]:
        """Nodes that something follows, in order: what a network has to read."""
        return np.unique(self.parents[self.parents != ROOT])

    @cached_property
    def answer_at(self) -> NDArray[np.int32]:
        """The answer that ends at each node, else -1; shape ``(n_nodes,)``."""
        found = np.full(len(self), -1, dtype=np.int32)
        found[self.ends] = np.arange(len(self.ends))
        return found

    def way(self, answer: int) -> NDArray[np.int32]:
        """Give the nodes of one answer, first token first."""
        end = self.ends[answer]
        return self.ways[end, : self.depths[end]]

    def children(self, node: int) -> NDArray[np.int32]:
        """Give the nodes right after a node; -1 asks for those after the prompt."""
        first, last = self._first_child[node + 1 : node + 3]
        return self._by_parent[first:last]

    @cached_property
    def _by_parent(self) -> NDArray[np.int32]:
        return np.argsort(self.parents, kind="stable").astype(np.int32)

    @cached_property
    def _first_child(self) -> NDArray[np.int64]:
        starts = np.arange(ROOT, len(self) + 1)
        return np.searchsorted(self.parents[self._by_parent], starts)

    def add_up(self, logp: NDArray[np.float64]) -> NDArray[np.float64]:
        """Add the log-probabilities of tokens along the way to every node.

        Parameters
        ----------
        logp
            log P(token of a node | the prompt and the nodes before it); shape ``(..., n_nodes)``.
        """
        total = logp.copy()
        for depth in range(2, int(self.depths.max(initial=0)) + 1):
            nodes = np.flatnonzero(self.depths == depth)
            total[..., nodes] += total[..., self.parents[nodes]]
        return total


def _n_shared(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Count the tokens that two answers begin with."""
    shared = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        shared += 1
    return shared


def _check(answers: list[tuple[int, ...]], i: int, last: tuple[int, ...], order: list[int]) -> None:
    """Refuse an answer that has no tokens, or those of the answer before it in the order.

    Raises
    ------
    InputError
        Always then, with the number of the answer.
    """
    if not answers[i]:
        msg = f"Answer {i + 1} of {len(answers)} has no tokens."
        raise InputError(msg, hint="an answer has at least one token; leave empty answers out.")
    if answers[i] == last:
        first = order[order.index(i) - 1]
        ids = ", ".join(map(str, last[:8])) + (", ..." if len(last) > 8 else "")
        msg = f"Answers {first + 1} and {i + 1} have the same tokens ({ids})."
        raise InputError(msg, hint="give each answer once; the tokenizer may not tell them apart.")
