"""The arithmetic of metrics; an answer that cannot be used is `None` and counts as wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from celloquy.errors import InputError

UNUSABLE = "unknown"
Labels = Sequence[str | None]
Lists = Sequence[Sequence[str] | None]


def accuracy(truth: Labels, predictions: Labels) -> float:
    """Share of predictions that are the truth.

    Examples
    --------
    >>> accuracy(["B", "T", "T", "T"], ["B", "T", None, "B"])
    0.5
    """
    true, told = _labels(truth, predictions)
    return float((true == told).mean())


def balanced_accuracy(truth: Labels, predictions: Labels) -> float:
    """Mean over the true labels of the share of its cells that are found.

    Examples
    --------
    Of B one of one is found, of T one of three.

    >>> round(balanced_accuracy(["B", "T", "T", "T"], ["B", "T", None, "B"]), 3)
    0.667
    """
    true, told = _labels(truth, predictions)
    return float(np.mean([(told[true == label] == label).mean() for label in np.unique(true)]))


def f1(truth: Labels, predictions: Labels, *, average: str) -> float:
    """F1 of the true labels: their mean (``"macro"``), or weighted by cells (``"weighted"``).

    Examples
    --------
    B: precision 1/2, recall 1, F1 2/3. T: precision 1, recall 1/3, F1 1/2.

    >>> round(f1(["B", "T", "T", "T"], ["B", "T", None, "B"], average="macro"), 3)
    0.583
    """
    from sklearn.metrics import f1_score

    true, told = _labels(truth, predictions)
    known = np.unique(true)
    return float(f1_score(true, told, labels=known, average=average, zero_division=0.0))


def cohen_kappa(truth: Labels, predictions: Labels) -> float:
    """Agreement beyond chance; 0 where there is none, and where all labels are one.

    Examples
    --------
    Observed 3/4; by chance 3/4 · 2/4 + 1/4 · 2/4 = 1/2.

    >>> cohen_kappa(["T", "T", "T", "B"], ["T", "T", "B", "B"])
    0.5
    """
    true, told = _labels(truth, predictions)
    names = np.union1d(true, told)
    chance = sum(float((true == name).mean() * (told == name).mean()) for name in names)
    return (float((true == told).mean()) - chance) / (1 - chance) if chance < 1 else 0.0


def gene_set_f1(truth: Lists, predictions: Lists) -> float:
    """Mean F1 of the named genes against the true ones, in any order.

    Examples
    --------
    Two of three named genes are true, two of four true genes are named: F1 4/7.

    >>> round(gene_set_f1([["A", "B", "C", "D"]], [["A", "B", "X"]]), 3)
    0.571
    """
    _same_length(truth, predictions)
    found = []
    for true, told in zip(truth, predictions, strict=True):
        wanted, named = set(true or ()), set(told or ())
        total = len(wanted) + len(named)
        found.append(2 * len(wanted & named) / total if total else 0.0)
    return float(np.mean(found))


def sample_gene_f1(
    truth: Sequence[Sequence[Sequence[str]]], predictions: Sequence[Sequence[Sequence[str]] | None]
) -> float:
    """Mean F1 of all genes that the cells of a sample name, whatever their cell and order.

    Examples
    --------
    Two of three named genes are true, two of four true genes are named: F1 4/7.

    >>> round(sample_gene_f1([[["A", "B"], ["C", "D"]]], [[["A"], ["B", "X"]]]), 3)
    0.571
    """
    flat = [
        [None if cells is None else [gene for cell in cells for gene in cell] for cells in side]
        for side in (truth, predictions)
    ]
    return gene_set_f1([genes or [] for genes in flat[0]], flat[1])


def gene_order(truth: Lists, predictions: Lists) -> float:
    """Mean Spearman correlation of the ranks of all genes that either list names.

    Genes that a list does not name share the rank after its last.

    Examples
    --------
    Ranks 0, 1, 2 against 0, 2, 1: 1 − 6 · 2 / (3 · 8).

    >>> gene_order([["A", "B", "C"]], [["A", "C", "B"]])
    0.5
    """
    _same_length(truth, predictions)
    return float(
        np.mean([_order(a or (), b or ()) for a, b in zip(truth, predictions, strict=True)])
    )


def _order(true: Sequence[str], told: Sequence[str]) -> float:
    genes = list(dict.fromkeys([*true, *told]))
    if not true or not told:
        return 0.0
    ranks = []
    for names in (true, told):
        place = {gene: rank for rank, gene in reversed(list(enumerate(names)))}
        raw = np.array([place.get(gene, len(names)) for gene in genes], dtype=float)
        order, inverse, counts = np.unique(raw, return_inverse=True, return_counts=True)
        middle = np.cumsum(counts) - (counts + 1) / 2
        ranks.append(middle[inverse] if len(order) else raw)
    if any(np.ptp(rank) == 0 for rank in ranks):
        return float(list(true) == list(told))
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def assigned_share(
    truth: Sequence[Mapping[str, str]], predictions: Sequence[Mapping[str, str] | None]
) -> float:
    """Share of all cells that have their true label.

    Examples
    --------
    >>> assigned_share([{"Cell 1": "B", "Cell 2": "T"}, {"Cell 1": "B"}],
    ...                [{"Cell 1": "B", "Cell 2": "B"}, None])
    0.3333333333333333
    """
    _same_length(truth, predictions)
    right = [
        (told or {}).get(cell) == label
        for true, told in zip(truth, predictions, strict=True)
        for cell, label in true.items()
    ]
    return float(np.mean(right))


def word_f1(truth: Sequence[str], predictions: Sequence[str | None]) -> float:
    """Mean F1 of the words of the answers, in small letters, without punctuation.

    Examples
    --------
    Two words are shared, of two and of three.

    >>> word_f1(["Interferon response"], ["the interferon response."])
    0.8
    """
    _same_length(truth, predictions)
    found = []
    for true, told in zip(truth, predictions, strict=True):
        wanted, named = _bag(true), _bag(told or "")
        total = wanted.total() + named.total()
        found.append(2 * (wanted & named).total() / total if total else 0.0)
    return float(np.mean(found))


def _bag(text: str) -> Counter[str]:
    words = (word.strip(".,;:!?\"'()[]") for word in text.casefold().split())
    return Counter(word for word in words if word)


def _labels(truth: Labels, predictions: Labels) -> tuple[np.ndarray, np.ndarray]:
    _same_length(truth, predictions)
    true = np.array([str(label) for label in truth], dtype=object)
    told = [UNUSABLE if label is None else str(label) for label in predictions]
    return true, np.array(told, dtype=object)


def _same_length(truth: Sequence[object], predictions: Sequence[object]) -> None:
    """Refuse what cannot be compared.

    Raises
    ------
    InputError
        If there is nothing, or not one prediction a truth.
    """
    if len(truth) != len(predictions) or not len(truth):
        msg = f"There are {len(truth)} true answers and {len(predictions)} predictions."
        raise InputError(msg, hint="pass the two in the same order.")
