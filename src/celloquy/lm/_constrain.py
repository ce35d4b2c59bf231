"""Constrained decoding: which tokens may come next, for any tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from celloquy.errors import InputError
from celloquy.lm._constrain_kernel import Rows, Tree, follow, look, survey
from celloquy.lm._constrain_tables import StringTokens, string_tokens
from celloquy.lm._trie import TokenTrie
from celloquy.text import JSONSchema, OneOf, Sequence

if TYPE_CHECKING:
    from collections.abc import Sequence as Listed

    from numpy.typing import NDArray

    from celloquy.lm._formats import PromptFormat
    from celloquy.text import Constraint

__all__ = ["Compiled", "Progress", "StringTree", "compile_constraint"]

N_FORCED = 4
"""Tokens that are the only ones allowed, taken at once without asking the model."""


class Progress(Protocol):
    """Where the answers of a batch stand."""

    def look(self) -> NDArray[np.bool_] | None:
        """Say which tokens may come first in each row; `None` allows all."""

    def follow(
        self, active: NDArray[np.int64], columns: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_] | None]:
        """Take a token in each active row, and those that must follow.

        Returns
        -------
        Columns of the tokens that were taken, the drawn one first, then forced ones, then -1;
        shape ``(n, 1 + forced)``. And which may come next; shape ``(n, v)``.
        """

    def has_ended(self, active: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say which rows are complete."""


class Compiled(Protocol):
    """A constraint in the tokens of one model."""

    @property
    def tokens(self) -> NDArray[np.int32] | None:
        """Every token that an answer may hold, rising: the rows of the head that are computed."""

    @property
    def likely(self) -> int | None:
        """Tokens that answers seldom exceed; `None` where that is not known."""

    def start(self, rooms: NDArray[np.int64], n_forced: int = N_FORCED) -> Progress:
        """Begin an answer in each row, of at most so many tokens, its end included.

        Of the tokens that are the only ones allowed, `n_forced` are taken with a drawn one.
        """


@dataclass(frozen=True, eq=False)
class StringTree:
    """A list of strings, or one of some, as a tree of tokens."""

    tree: Tree
    """The tree, as the compiled part reads it."""
    tokens: NDArray[np.int32]
    """Every token that an answer may hold, rising."""
    end_ids: tuple[int, ...]
    """Tokens that end an answer."""
    n_unused: NDArray[np.int32]
    """Strings below each node of the first tree."""
    fewest: int
    """Tokens of the shortest answer, its end included."""
    likely: int
    """Tokens of an answer of strings a quarter longer than the mean: memory is planned by it."""

    def start(self, rooms: NDArray[np.int64], n_forced: int = N_FORCED) -> TreeProgress:
        """Begin an answer in each row.

        Raises
        ------
        InputError
            If the shortest answer does not fit.
        """
        if len(rooms) and rooms.min() < self.fewest:
            n, exactly = self.tree.rule[:2]
            what = f"{n:,} strings take" if exactly and n > 1 else "An answer takes"
            msg = f"{what} at least {self.fewest:,} tokens, and {rooms.min():,} are left for them."
            raise InputError(msg, hint=self._way_out(int(rooms.min())))
        return TreeProgress(self, rooms, n_forced)

    def _way_out(self, room: int) -> str:
        n = self.tree.rule[0]
        rest = self.tree.rest
        longer = self.fewest - int(rest[0]) - 1  # what a first string takes beyond another one
        fits = int(np.searchsorted(rest[0] - rest[: n + 1], room - 1 - longer, side="right")) - 1
        if n == 1 or fits < 1:
            return "shorten the prompt, raise `max_new_tokens`, or take a model that reads more."
        return f"ask for {fits:,} at the most, or raise `max_new_tokens`."


class TreeProgress:
    """Answers that walk through a tree of strings."""

    def __init__(self, compiled: StringTree, rooms: NDArray[np.int64], n_forced: int) -> None:
        n, tree = len(rooms), compiled.tree
        root = len(tree.first_child) - 2
        self.tree = tree
        self.n_forced = n_forced
        self.width = len(compiled.tokens)
        after = len(tree.string)
        branches = tree.child[tree.first_child[after] : tree.first_child[after + 1]]
        is_open = np.zeros((n, self.width), dtype=np.bool_)
        is_open[:, tree.column[branches]] = True
        self.rows = Rows(
            node=np.full(n, root, dtype=np.int32),
            n_done=np.zeros(n, dtype=np.int32),
            room=rooms.astype(np.int32),
            n_left=np.tile(compiled.n_unused, (n, 1)),
            is_used=np.zeros((n, len(tree.end)), dtype=np.bool_),
            is_open=is_open,
            n_open=np.full(n, len(branches), dtype=np.int32),
        )

    def look(self) -> NDArray[np.bool_]:
        """Say which tokens may come first."""
        masks = np.zeros((len(self.rows.node), self.width), dtype=np.bool_)
        look(self.tree, self.rows, np.arange(len(masks)), masks)
        return masks

    def follow(
        self, active: NDArray[np.int64], columns: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Take a token in each active row, and those that must follow."""
        taken = np.full((len(active), 1 + self.n_forced), -1, dtype=np.int64)
        taken[:, 0] = columns
        masks = np.empty((len(active), self.width), dtype=np.bool_)
        follow(self.tree, self.rows, (active, taken), masks)
        return taken, masks

    def has_ended(self, active: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say which rows are complete."""
        return np.asarray(self.rows.node[active] < 0)


def compile_constraint(constraint: Constraint, words: PromptFormat) -> Compiled:
    """Turn a constraint into the tokens of one model.

    Parameters
    ----------
    constraint
        What may be answered.
    words
        How the model writes answers in tokens.

    Returns
    -------
    The compiled constraint, to be used for any number of prompts.

    Raises
    ------
    InputError
        If the tokenizer cannot write an allowed string, two cannot be told apart, or a schema
        cannot be used.
    """
    if isinstance(constraint, JSONSchema):
        from celloquy.lm._constrain_json import compile_schema

        return compile_schema(constraint, words)
    if not words.end_ids:
        msg = "The model has no token that ends an answer, so a constrained one cannot end."
        raise InputError(msg, hint="name the end-of-text token in its generation_config.json.")
    if isinstance(constraint, OneOf):
        sequence = Sequence(constraint.answers, 1)
        tokens = string_tokens(sequence.strings, words, delimiter=None)
    else:
        sequence = constraint
        tokens = string_tokens(sequence.strings, words, delimiter=sequence.delimiter)
    _refuse_same(sequence.strings, tokens)
    return _string_tree(sequence, tokens, tuple(sorted(set(map(int, words.end_ids)))))


def _refuse_same(strings: Listed[str], tokens: StringTokens) -> None:
    """Refuse two strings of the same tokens.

    Raises
    ------
    InputError
        If there are any.
    """
    for table in (tokens.first, tokens.after):
        seen: dict[tuple[int, ...], int] = {}
        for i, ids in enumerate(table):
            other = seen.setdefault(tuple(ids), i)
            if other != i:
                msg = f"The tokenizer writes {strings[other]!r} and {strings[i]!r} alike."
                raise InputError(msg, hint="leave one of them out.")


def _string_tree(sequence: Sequence, tokens: StringTokens, end_ids: tuple[int, ...]) -> StringTree:
    after = TokenTrie.of(tokens.after)
    tries = [after] if tokens.first == tokens.after else [after, TokenTrie.of(tokens.first)]
    shifts = np.cumsum([0, *(len(trie) for trie in tries)])
    n_nodes = int(shifts[-1])
    ids = np.concatenate([trie.tokens for trie in tries])
    used = np.unique(np.concatenate([ids, np.array(end_ids, dtype=np.int32)])).astype(np.int32)
    parent = np.concatenate(
        [
            np.where(trie.parents < 0, n_nodes + i, trie.parents + shift)
            for i, (trie, shift) in enumerate(zip(tries, shifts, strict=False))
        ]
    ).astype(np.int32)
    order = np.argsort(parent, kind="stable").astype(np.int32)
    starts = np.searchsorted(parent[order], np.arange(n_nodes + len(tries) + 1))
    string = np.concatenate([trie.answer_at for trie in tries])
    size, n_unused, top = survey(parent, string)
    longest = max(int(trie.n_tokens.max()) for trie in tries)
    tree = Tree(
        first_child=starts.astype(np.int32),
        child=order,
        column=np.searchsorted(used, ids).astype(np.int32),
        string=string,
        size=size,
        depth=np.concatenate([trie.depths for trie in tries]),
        parent=parent,
        end=after.ends,
        top=top[after.ends],
        ends=np.searchsorted(used, end_ids).astype(np.int32),
        rest=_rest(sequence, np.sort(after.n_tokens)),
        rule=(sequence.n, sequence.exactly, sequence.repeats, longest),
    )
    _refuse_ambiguous(sequence, tree)
    fewest = int(tries[-1].n_tokens.min()) + int(tree.rest[1]) + 1
    likely = int(1.25 * sequence.n * after.n_tokens.mean()) + longest + 1
    n_left = n_unused[: len(after)].astype(np.int32)
    return StringTree(tree, used, end_ids, n_left, fewest, likely)


def _rest(sequence: Sequence, lengths: NDArray[np.int32]) -> NDArray[np.int32]:
    """Count the tokens that suffice for the strings after 0, 1, ... of them, whichever those were.

    `lengths` rise. After c strings, at most c of the shortest are used.
    """
    rest = np.zeros(sequence.n + 2, dtype=np.int64)
    if sequence.exactly:
        shortest = np.full(sequence.n, lengths[0]) if sequence.repeats else lengths[: sequence.n]
        rest[: sequence.n] = np.cumsum(shortest[::-1].astype(np.int64))[::-1]
    return np.minimum(rest, 2**29).astype(np.int32)


def _refuse_ambiguous(sequence: Sequence, tree: Tree) -> None:
    """Refuse strings of which it would not show whether they go on or another one begins.

    Raises
    ------
    InputError
        If there are any.
    """
    root = len(tree.string)
    begins = tree.column[tree.child[tree.first_child[root] : tree.first_child[root + 1]]]
    begins = tree.ends if sequence.n == 1 else np.concatenate([begins, tree.ends])
    inner = tree.parent < root
    inner[inner] = tree.string[tree.parent[inner]] >= 0
    unclear = np.flatnonzero(inner & np.isin(tree.column, begins))
    if len(unclear):
        whole = sequence.strings[tree.string[tree.parent[unclear[0]]]]
        msg = (
            f"After {whole!r}, the tokenizer writes the rest of a longer string and the start of "
            f"the next one alike, so the two cannot be told apart ({len(unclear):,} such places)."
        )
        raise InputError(msg, hint="take another delimiter, or leave the longer strings out.")
