"""A parent type where the children are uncertain: probabilities added up a table of parents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from celloquy.errors import InputError
from celloquy.learn._predictions import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_ROUNDING = 1e-9
"""A probability this little below the threshold reaches it: it is a sum of several."""


@dataclass(frozen=True, eq=False)
class Ancestry:
    """Labels and everything above them."""

    names: tuple[str, ...]
    """The labels in their order, then their ancestors by name; length ``n_nodes``."""
    n_labels: int
    """How many of them are labels."""
    contains: NDArray[np.bool_]
    """Whether a label is, or lies below, a node; shape ``(n_labels, n_nodes)``."""
    depths: NDArray[np.int64]
    """Longest way from a node without parents, 0 for such a node; shape ``(n_nodes,)``."""


@dataclass(frozen=True, eq=False)
class RolledUp:
    """The most specific node of each cell that is likely enough."""

    names: NDArray[np.object_]
    """A label, an ancestor, or ``"unknown"``; shape ``(n_obs,)``."""
    score: NDArray[np.float64]
    """Probability of that node; for ``"unknown"`` that of the likeliest label."""
    is_rolled_up: NDArray[np.bool_]
    """Whether the node is no label, but above some; shape ``(n_obs,)``."""


def ancestry_of(labels: Sequence[str], parents: Mapping[str, str | Sequence[str]]) -> Ancestry:
    """Find everything above some labels, in any table of parents.

    Parameters
    ----------
    labels
        The labels, each once; one that the table does not hold has no parents. A label may lie
        above another.
    parents
        Child to its parent, or to its parents.

    Raises
    ------
    InputError
        If a label repeats, or the table leads from a type back to itself.

    Examples
    --------
    >>> found = ancestry_of(["CD4 T", "CD8 T", "B"], {"CD4 T": "T", "CD8 T": "T", "T": "blood"})
    >>> found.names, found.depths.tolist()
    (('CD4 T', 'CD8 T', 'B', 'T', 'blood'), [2, 2, 0, 1, 0])
    """
    if len(set(labels)) < len(labels):
        twice = next(label for i, label in enumerate(labels) if label in labels[:i])
        msg = f"The label {twice!r} is given twice."
        raise InputError(msg, hint="give each label once.")
    above: dict[str, list[str]] = {}
    order: list[str] = []  # parents before children
    for label in labels:
        _visit(label, parents, above, order)
    beyond = sorted(set(order) - set(labels))
    names = (*labels, *beyond)
    place = {name: i for i, name in enumerate(names)}
    depths = np.zeros(len(names), dtype=np.int64)
    reaches = np.eye(len(names), dtype=np.bool_)  # (node, what contains it)
    for name in order:
        node = place[name]
        for parent in above[name]:
            depths[node] = max(depths[node], depths[place[parent]] + 1)
            reaches[node] |= reaches[place[parent]]
    return Ancestry(names, len(labels), reaches[: len(labels)], depths)


def _visit(
    label: str,
    parents: Mapping[str, str | Sequence[str]],
    above: dict[str, list[str]],
    order: list[str],
) -> None:
    """Add a type and everything above it, without recursion.

    Raises
    ------
    InputError
        If the table leads from a type back to itself.
    """
    todo: list[tuple[str, bool]] = [(label, False)]
    way: list[str] = []
    while todo:
        name, is_done = todo.pop()
        if is_done:
            order.append(way.pop())
            continue
        if name in way:
            circle = " > ".join([*way[way.index(name) :], name])
            msg = f"The table of parents leads in a circle: {circle}."
            raise InputError(msg, hint="a type cannot be its own ancestor; mend the table.")
        if name in above:
            continue
        given = parents.get(name) or ()
        above[name] = [given] if isinstance(given, str) else list(dict.fromkeys(given))
        way.append(name)
        todo.append((name, True))
        todo += [(parent, False) for parent in above[name]]


def roll_up(
    probabilities: NDArray[np.float64], ancestry: Ancestry, *, min_score: float = 0.5
) -> RolledUp:
    """Give each cell the most specific type that is likely enough.

    The probability of a type is the sum over the labels that it is or contains, each counted
    once. Of the types that reach `min_score` the deepest is taken; of equally deep ones the
    likeliest, then a label, then the first by name.

    Parameters
    ----------
    probabilities
        Of the labels, rows sum to 1; shape ``(n_obs, n_labels)``.
    ancestry
        What lies above the labels; see :func:`ancestry_of`.
    min_score
        Least probability of a type that is named.

    Raises
    ------
    InputError
        If there are not as many columns as labels, or `min_score` is not above 0 and at most 1.

    Examples
    --------
    >>> ancestry = ancestry_of(["CD4 T", "CD8 T", "B"], {"CD4 T": "T", "CD8 T": "T"})
    >>> roll_up(np.array([[0.45, 0.35, 0.2]]), ancestry).names.tolist()
    ['T']
    """
    if probabilities.shape[1] != ancestry.n_labels:
        n_labels = ancestry.n_labels
        msg = f"There are {probabilities.shape[1]} columns of probabilities for {n_labels} labels."
        raise InputError(msg, hint="pass the labels in the order of the columns.")
    if not 0 < min_score <= 1:
        msg = f"`min_score` must be above 0 and at most 1, got {min_score}."
        raise InputError(msg, hint="0.5 names a type that is likelier than all others together.")
    of_node = np.minimum(probabilities @ ancestry.contains, 1.0)
    reaches = of_node >= min_score - _ROUNDING
    depth = np.where(reaches, ancestry.depths, -1)
    deepest = depth == depth.max(axis=1, keepdims=True)
    chosen = np.where(deepest, of_node, -1.0).argmax(axis=1)
    is_known = reaches.any(axis=1)
    names = np.array(ancestry.names, dtype=object)[chosen]
    names[~is_known] = UNKNOWN
    score = np.where(
        is_known, of_node[np.arange(len(chosen)), chosen], probabilities.max(axis=1, initial=0.0)
    )
    return RolledUp(names, score, is_known & (chosen >= ancestry.n_labels))
