"""The methods of the suite of perturbations, and how they predict a fold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from celloquy.evaluation._gene_vectors import (
    mean_predictions,
    nearest_predictions,
    ridge_predictions,
)
from celloquy.evaluation._methods import Method, lm_title
from celloquy.evaluation._perturbation_baselines import (
    ADDITIVE,
    ELSEWHERE,
    MATCHING,
    MEAN,
    NO_CHANGE,
    baseline_predictions,
    parts_of,
)
from celloquy.evaluation._suite_perturbation_folds import SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from celloquy.evaluation._methods import Role
    from celloquy.evaluation._suite_perturbation_folds import Fold

    Floats = NDArray[np.float64]
    Predictor = Callable[[Floats, Floats, Floats], Floats]

SUMMARIES = "summaries-"
"""Begins the names of methods that read a paragraph of each gene."""
HALVES, FILLED, SHUFFLED = "halves", "filled", "shuffled"
WITHOUT_VECTORS = {
    "no-change": NO_CHANGE, "mean": MEAN, "matching": MATCHING, "additive": ADDITIVE,
    "elsewhere": ELSEWHERE,
}  # fmt: skip
"""Methods that are baselines of `evaluate_perturbation`, by their names there."""
PAIRS_ONLY = ("matching", "additive", FILLED)
"""Methods that of a single perturbation say no more than another one."""
HEADS: dict[str, tuple[str, Predictor]] = {
    "ridge": ("ridge regression", ridge_predictions),
    "nearest": ("the nearest perturbation", nearest_predictions),
    SHUFFLED: ("ridge regression", ridge_predictions),
}
"""What is learnt from vectors of genes."""
_TABLE: dict[str, tuple[str, Role]] = {
    "no-change": (NO_CHANGE, "baseline"),
    "mean": (MEAN, "baseline"),
    "matching": ("matching mean of its single perturbations", "baseline"),
    "additive": ("additive: the sum of its single changes", "baseline"),
    FILLED: ("additive, the mean for an unseen gene", "baseline"),
    "ridge": ("co-expression in other studies", "baseline"),
    "nearest": ("co-expression in other studies", "baseline"),
    SHUFFLED: ("co-expression of other genes", "control"),
    "elsewhere": ("seen in the other contexts of the set", "ceiling"),
    HALVES: ("one half of its cells by the other", "ceiling"),
}
METHODS = tuple(_TABLE)
"""Methods that need no language model."""
LM_METHODS = (*HEADS, *(f"{SUMMARIES}{name}" for name in HEADS))
"""What is done with the vectors of a language model."""


def perturbation_method(name: str) -> Method:
    """Make the method of a name of :data:`METHODS`.

    Examples
    --------
    >>> perturbation_method("ridge").title
    'co-expression in other studies, ridge regression'
    """
    said, role = _TABLE[name]
    return Method(name, said, HEADS[name][0] if name in HEADS else "", role)


def perturbation_method_of_lm(lm: str, name: str) -> Method:
    """Make a method that reads perturbed genes through a language model.

    Parameters
    ----------
    lm
        What :func:`celloquy.load_lm` takes.
    name
        A name of :data:`LM_METHODS`.

    Examples
    --------
    >>> perturbation_method_of_lm("st:minilm", "summaries-shuffled").title
    'MiniLM, paragraphs of other genes, ridge regression'
    """
    head = name.removeprefix(SUMMARIES)
    what = "names" if head == name else "paragraphs"
    whose = "other genes" if head == SHUFFLED else "genes"
    role: Role = "control" if head == SHUFFLED else "language model"
    said = f"{lm_title(lm)}, {what} of {whose}"
    return Method(f"{lm} {name}", said, HEADS[head][0], role, lm=lm)


def predict_plainly(fold: Fold, name: str) -> Floats:
    """Predict by a baseline of `evaluate_perturbation`; NaN where it has nothing to say.

    Parameters
    ----------
    fold
        What is held out, and what is learnt from.
    name
        A name of :data:`WITHOUT_VECTORS`.

    Returns
    -------
    Mean profiles; shape ``(n_held, n_genes)``.
    """
    told = baseline_predictions(
        fold.context, fold.held, separator=SEPARATOR, elsewhere=fold.elsewhere
    )
    nothing = np.full(fold.reference.shape, np.nan)
    return told.get(WITHOUT_VECTORS[name], nothing)


def predict_by_vectors(
    fold: Fold, genes: Sequence[str], vectors: Floats, predictor: Predictor
) -> Floats:
    """Predict by vectors of the perturbed genes.

    The changes of a combination's genes are added: the true one of a gene that was learnt from,
    the predicted one of every other.

    Parameters
    ----------
    fold
        What is held out, and what is learnt from.
    genes
        Names of the genes.
    vectors
        Vectors of the genes; shape ``(n_genes, d)``.
    predictor
        Takes vectors and changes of genes that are learnt from, and the vectors asked for.

    Returns
    -------
    Mean profiles; shape ``(n_held, n_genes)``. NaN where all genes were learnt from, so that
    nothing is left to predict.
    """
    place = {gene: i for i, gene in enumerate(genes)}
    control = fold.context.control
    known = {fold.context.perturbations[i]: fold.means[i] - control for i in fold.learnt}
    unseen = sorted({p for name in fold.names for p in parts_of(name, SEPARATOR)} - set(known))
    found = np.full(fold.reference.shape, np.nan)
    if not unseen:
        return found
    learnt = vectors[[place[gene] for gene in known]]
    asked = vectors[[place[gene] for gene in unseen]]
    told = predictor(learnt, np.stack(list(known.values())), asked)
    changes = known | dict(zip(unseen, told, strict=True))
    for row, name in enumerate(fold.names):
        parts = parts_of(name, SEPARATOR)
        if not set(parts) <= set(known):
            found[row] = control + np.sum([changes[part] for part in parts], axis=0)
    return found


def predict_with_mean(fold: Fold, genes: Sequence[str]) -> Floats:
    """Predict by adding changes, with the mean change in place of that of an unseen gene.

    Parameters
    ----------
    fold
        What is held out, and what is learnt from.
    genes
        Names of the genes.

    Returns
    -------
    Mean profiles; shape ``(n_held, n_genes)``; NaN where all genes were learnt from.
    """
    return predict_by_vectors(fold, genes, np.zeros((len(genes), 1)), mean_predictions)
