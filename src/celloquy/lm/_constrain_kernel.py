"""The compiled part of constrained decoding: which tokens may follow, for many rows at once.

A string is a way through a tree of tokens. Every row remembers how many of its strings are left
below each node, so that a branch whose strings are all used is closed, and a string that
another one begins with is told apart by what follows: a token of its branch, the first
token of a next string, or the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int32]
    Mask = NDArray[np.bool_]


_FEW = 3
"""Fewer open branches than these are looked at one by one, since one of them may be forced."""


class Tree(NamedTuple):
    """Two trees in one numbering: strings after another one, then strings that begin an answer.

    The nodes of the first come first; after all nodes stand the two roots.
    """

    first_child: Integers
    """Where the children of each node begin in `child`; shape ``(n_nodes + 1,)``."""
    child: Integers
    """Nodes, the children of one node side by side, by token id."""
    column: Integers
    """Column of each node's token; shape ``(n_nodes,)``."""
    string: Integers
    """String that ends at each node, else -1; shape ``(n_nodes,)``."""
    size: Integers
    """Nodes of the subtree of each node, itself included; they stand side by side."""
    depth: Integers
    """Tokens from the root to each node; shape ``(n_nodes,)``."""
    parent: Integers
    """Node before each node, a root before the first; shape ``(n_nodes,)``."""
    end: Integers
    """Node of the first tree at which each string ends; shape ``(n_strings,)``."""
    top: Integers
    """Child of the first root on the way to each string; shape ``(n_strings,)``."""
    ends: Integers
    """Columns of the tokens that end an answer."""
    rest: Integers
    """Tokens that always suffice for the other strings after so many; shape ``(n + 2,)``."""
    rule: tuple[int, bool, bool, int]
    """Strings, whether exactly so many, whether they may repeat, tokens of the longest."""


class Rows(NamedTuple):
    """Where the answers of a batch stand."""

    node: Integers
    """Node of each row; -1 after the end; shape ``(n,)``."""
    n_done: Integers
    """Strings that are complete beyond doubt; shape ``(n,)``."""
    room: Integers
    """Tokens that each row may still take; shape ``(n,)``."""
    n_left: Integers
    """Unused strings below each node of the first tree; shape ``(n, n_nodes)``."""
    is_used: NDArray[np.bool_]
    """Whether a string was taken; shape ``(n, n_strings)``."""
    is_open: Mask
    """Which columns can begin a next string; shape ``(n, n_columns)``."""
    n_open: Integers
    """How many can; shape ``(n,)``."""


@njit(nogil=True, cache=True)
def _is_open(rows: Rows, row: int, node: int) -> bool:
    return bool(node >= rows.n_left.shape[1] or rows.n_left[row, node] > 0)


@njit(nogil=True, cache=True)
def _shortest(tree: Tree, rows: Rows, at: tuple[int, int], taken: int) -> int:
    """Count the tokens from a node, itself included, to the nearest end of an unused string.

    `at` is (row, node); `taken` is a string that was just used, or -1.
    """
    row, node = at
    nearest = 2**30
    for below in range(node, node + tree.size[node]):
        string = tree.string[below]
        if string >= 0 and string != taken and not rows.is_used[row, string]:
            nearest = min(nearest, tree.depth[below])
    return int(nearest - tree.depth[node] + 1)


@njit(nogil=True, cache=True)
def _allow_children(
    tree: Tree, rows: Rows, at: tuple[int, int, int, int], mask: Mask
) -> tuple[int, int]:
    """Allow the open children of a node; `at` is (row, node, strings done, string just taken)."""
    row, node, n_done, taken = at
    need = tree.rest[n_done + 1] + 1
    is_tight = rows.room[row] < tree.rule[3] + need
    n_allowed, last = 0, -1
    for i in range(tree.first_child[node], tree.first_child[node + 1]):
        child = tree.child[i]
        if not _is_open(rows, row, child):
            continue
        if taken >= 0 and child == tree.top[taken] and rows.n_left[row, child] == 1:
            continue
        if is_tight and _shortest(tree, rows, (row, child), taken) + need > rows.room[row]:
            continue
        mask[tree.column[child]] = True
        n_allowed += 1
        last = tree.column[child]
    return n_allowed, last


@njit(nogil=True, cache=True)
def _allow_next(tree: Tree, rows: Rows, at: tuple[int, int, int], mask: Mask) -> tuple[int, int]:
    """Allow what begins a next string; `at` is (row, strings done, string just taken).

    Among thousands of strings, what is open is copied from what was kept, not found again.
    """
    row, n_done, taken = at
    root = len(tree.string)
    is_tight = rows.room[row] < tree.rule[3] + tree.rest[n_done + 1] + 1
    if is_tight or rows.n_open[row] < _FEW:
        return _allow_children(tree, rows, (row, root, n_done, taken), mask)
    n_allowed, closed, before = rows.n_open[row], -1, False
    if taken >= 0 and rows.n_left[row, tree.top[taken]] == 1:
        closed = tree.column[tree.top[taken]]
        before = mask[closed]
        n_allowed -= 1
    for column in range(len(mask)):
        mask[column] |= rows.is_open[row, column]
    if closed >= 0:
        mask[closed] = before
    return n_allowed, -1


@njit(nogil=True, cache=True)
def _allow(tree: Tree, rows: Rows, row: int, mask: Mask) -> tuple[int, int]:
    """Mark what may follow in a row; give how much that is, and one of it."""
    n, exactly, repeats, _ = tree.rule
    node = rows.node[row]
    n_done = rows.n_done[row]
    mask[:] = False
    n_allowed, last = _allow_children(tree, rows, (row, node, n_done, -1), mask)
    string = tree.string[node] if node < len(tree.string) else -1
    if string < 0 or (rows.is_used[row, string] and not repeats):
        return n_allowed, last
    if n_done + 1 < n:
        taken = -1 if repeats else string
        more, other = _allow_next(tree, rows, (row, n_done + 1, taken), mask)
        n_allowed += more
        last = other if more else last
    if n_done + 1 == n or not exactly:
        for column in tree.ends:
            mask[column] = True
            last = column
        n_allowed += len(tree.ends)
    return n_allowed, last


@njit(nogil=True, cache=True)
def _child(tree: Tree, node: int, column: int) -> int:
    low, high = tree.first_child[node], tree.first_child[node + 1]
    while low < high:
        middle = (low + high) // 2
        if tree.column[tree.child[middle]] < column:
            low = middle + 1
        else:
            high = middle
    if low < tree.first_child[node + 1] and tree.column[tree.child[low]] == column:
        return int(tree.child[low])
    return -1


@njit(nogil=True, cache=True)
def _advance(tree: Tree, rows: Rows, row: int, column: int) -> None:
    """Take one token."""
    rows.room[row] -= 1
    node = rows.node[row]
    child = _child(tree, node, column)
    if child >= 0:
        rows.node[row] = child
        return
    string = tree.string[node]
    rows.n_done[row] += 1
    if not tree.rule[2]:
        rows.is_used[row, string] = True
        above = tree.end[string]
        while above < rows.n_left.shape[1]:
            rows.n_left[row, above] -= 1
            above = tree.parent[above]
        top = tree.top[string]
        if rows.n_left[row, top] == 0:
            rows.is_open[row, tree.column[top]] = False
            rows.n_open[row] -= 1
    rows.node[row] = _child(tree, len(tree.string), column)  # -1: it was an end


@njit(nogil=True, cache=True)
def look(tree: Tree, rows: Rows, active: NDArray[np.int64], masks: Mask) -> None:
    """Mark what may come first in the active rows."""
    for i in range(len(active)):
        _allow(tree, rows, active[i], masks[i])


@njit(nogil=True, cache=True)
def follow(
    tree: Tree, rows: Rows, moves: tuple[NDArray[np.int64], NDArray[np.int64]], masks: Mask
) -> None:
    """Take a token in each active row, and every further one that is the only one allowed.

    `moves` is (active rows, taken): the second holds the drawn column in front and gets the
    forced ones behind it, at most as many as fit, then -1; `masks` gets what may follow.
    """
    active, taken = moves
    for i in range(len(active)):
        row, n_taken = active[i], 1
        _advance(tree, rows, row, taken[i, 0])
        taken[i, 1:] = -1
        while rows.node[row] >= 0:
            n_allowed, last = _allow(tree, rows, row, masks[i])
            if n_allowed != 1 or n_taken == taken.shape[1]:
                break
            taken[i, n_taken] = last
            n_taken += 1
            _advance(tree, rows, row, last)


@njit(nogil=True, cache=True)
def survey(parent: Integers, string: Integers) -> tuple[Integers, Integers, Integers]:
    """Count the nodes and strings of each subtree, and find the child of a root above it."""
    n = len(parent)
    size = np.ones(n, dtype=np.int32)
    n_strings = np.zeros(n, dtype=np.int32)
    top = np.arange(n).astype(np.int32)
    for node in range(n - 1, -1, -1):
        n_strings[node] += string[node] >= 0
        if parent[node] < n:
            size[parent[node]] += size[node]
            n_strings[parent[node]] += n_strings[node]
    for node in range(n):
        if parent[node] < n:
            top[node] = top[parent[node]]
    return size, n_strings, top
