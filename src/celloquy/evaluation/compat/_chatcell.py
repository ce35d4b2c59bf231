"""ChatCell's measures of generated cells and of labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from celloquy.errors import InputError
from celloquy.evaluation._generated_edit import edit_distances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

N_NEIGHBOURS = 5


@dataclass(frozen=True)
class Neighbourhoods:
    """What ChatCell says of pseudo-cells; shares in [0, 1], more is better."""

    quality: float
    """Share of cells whose label the nearest true cells give."""
    discriminability: float
    """Share of cells whose label both the nearest true and the nearest generated cells give;
    among the latter is the cell itself."""


def character_distance(first: Sequence[str], second: Sequence[str]) -> NDArray[np.float64]:
    """Count characters to insert, delete or replace (AF-32); shape ``(n, m)``.

    Parameters
    ----------
    first
        n texts.
    second
        m texts.

    Examples
    --------
    >>> character_distance(["A B C", "CD8A CD3D"], ["A C B", "CD3D CD8A"]).diagonal().tolist()
    [2.0, 4.0]
    """
    sides = [[list(map(ord, text)) for text in side] for side in (first, second)]
    lengths = [np.array(list(map(len, side))) for side in sides]
    longest = np.maximum.outer(*lengths)
    return np.asarray(np.rint(edit_distances(*sides) * longest))


def chatcell_neighbours(
    generated: Sequence[str],
    intended: Sequence[str],
    *,
    truth: Sequence[str],
    truth_labels: Sequence[str],
    n_neighbours: int = N_NEIGHBOURS,
) -> Neighbourhoods:
    """Judge generated sentences by the labels of their neighbours in characters (AF-32).

    Parameters
    ----------
    generated
        Generated cell sentences.
    intended
        Label that each was asked to have.
    truth
        True cell sentences.
    truth_labels
        Their labels.
    n_neighbours
        Neighbours that vote; a tie goes to the label that comes first in the alphabet.

    Raises
    ------
    InputError
        If sentences and labels are not as many, or there are none.

    Notes
    -----
    After ChatCell (Fang et al., 2024), whose second set of neighbours holds the cell itself:
    with one neighbour, discriminability is quality. ``evaluate_generated`` counts genes and
    leaves the cell out.

    Examples
    --------
    >>> found = chatcell_neighbours(
    ...     ["A B C", "A B D", "X Y Z"], ["t1", "t2", "t2"],
    ...     truth=["A B C", "A B E", "X Y W", "X Y Z"], truth_labels=["t1", "t1", "t2", "t2"],
    ...     n_neighbours=1,
    ... )
    >>> round(found.quality, 3), round(found.discriminability, 3)
    (0.667, 0.667)
    """
    for texts, labels in ((generated, intended), (truth, truth_labels)):
        if len(texts) != len(labels) or not len(texts):
            msg = f"There are {len(texts)} sentences and {len(labels)} labels."
            raise InputError(msg, hint="pass one label a sentence.")
    wanted = np.array(list(map(str, intended)), dtype=object)
    by_truth = _voted(character_distance(generated, truth), truth_labels, n_neighbours)
    by_own = _voted(character_distance(generated, generated), intended, n_neighbours)
    right = by_truth == wanted
    return Neighbourhoods(float(right.mean()), float((right & (by_own == wanted)).mean()))


def _voted(
    distances: NDArray[np.float64], labels: Sequence[str], n_neighbours: int
) -> NDArray[np.object_]:
    """Give the most frequent label of the nearest."""
    names, codes = np.unique(np.array(list(map(str, labels)), dtype=object), return_inverse=True)
    near = np.argsort(distances, axis=1, kind="stable")[:, :n_neighbours]
    votes = np.zeros((len(distances), len(names)))
    np.add.at(votes, (np.arange(len(distances))[:, None], codes[near]), 1)
    return np.asarray(names[votes.argmax(axis=1)], dtype=object)


def chatcell_labels(truth: Sequence[str], prediction: Sequence[str]) -> dict[str, float]:
    """Score labels in per cent as ChatCell does (AF-31): stripped, in small letters, weighted.

    An answer outside of the truth's labels counts as wrong and takes no part in the weights.

    Parameters
    ----------
    truth
        True labels.
    prediction
        What was answered, in the same order.

    Returns
    -------
    Accuracy and weighted precision, recall and F1, in per cent to two decimals.

    Raises
    ------
    InputError
        If the two are not as many, or there are none.

    Examples
    --------
    >>> chatcell_labels(["res", "res", "sens", "sens"], ["res", "sens", "sens", "resistan"])
    {'accuracy': 50.0, 'precision': 75.0, 'recall': 50.0, 'f1': 58.33}
    """
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    if len(truth) != len(prediction) or not len(truth):
        msg = f"There are {len(truth)} true labels and {len(prediction)} answers."
        raise InputError(msg, hint="pass the two in the same order.")
    true, told = ([str(one).strip().lower() for one in side] for side in (truth, prediction))
    precision, recall, f1, _ = precision_recall_fscore_support(
        true, told, average="weighted", zero_division=0
    )
    found = {
        "accuracy": accuracy_score(true, told), "precision": precision, "recall": recall, "f1": f1
    }  # fmt: skip
    return {name: round(100 * float(value), 2) for name, value in found.items()}
