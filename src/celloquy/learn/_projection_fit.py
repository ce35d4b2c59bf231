"""Fitting a projection: how labels differ, over how cells and batches differ inside a label."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from celloquy.errors import InputError
from celloquy.learn._labels import MAX_CELLS, choose_cells, label_codes
from celloquy.learn._projection import Projection, checked_vectors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    Codes = NDArray[np.int64]
    Floats = NDArray[np.float64]

LEAST_SHRINKAGE = 1e-3
"""Share of an even spread that is mixed in at least, so that no direction has a spread of 0."""
_SAME = 1e-9
"""Directions that separate labels by less than this share of the best one separate none."""


def project_labels(
    vectors: ArrayLike,
    *,
    labels: Sequence[object],
    batches: Sequence[object] | None = None,
    n_components: int | None = None,
    shrinkage: float | None = None,
    seed: int = 0,
    of: Mapping[str, str] | None = None,
) -> Projection:
    """Fit the projection that separates labels most, for the spread inside them.

    The spread inside a label holds the differences between its batches, so directions along
    which batches differ are shrunk. Cells of one label in one batch weigh 1/√n each, so that a
    large batch does not drown the others.

    Parameters
    ----------
    vectors
        Vectors of labelled cells; shape ``(n, d)``.
    labels
        Label of each cell; a missing one leaves the cell out. A label of one cell has no spread,
        and is left out with a warning. Length ``n``.
    batches
        Donor, batch or study of each cell; a missing one leaves the cell out. Length ``n``.
    n_components
        Directions kept, at most labels less one; `None` keeps all.
    shrinkage
        Share of an even spread, in (0, 1], that is mixed into the spread inside labels; `None`
        takes that of Ledoit and Wolf.
    seed
        Seed of the draw where there are more than 50,000 cells.
    of
        What the vectors come from; kept in the result.

    Raises
    ------
    InputError
        If fewer than two labels are left, no label is in two of several batches, nothing is
        spread, or a number is out of range.

    Notes
    -----
    Linear discriminant analysis (Fisher 1936; Rao 1948), scaled as by within-class covariance
    normalisation (Hatch et al., Interspeech 2006), the covariance shrunk after Ledoit and Wolf
    (Journal of Multivariate Analysis 2004). scikit-learn's ``LinearDiscriminantAnalysis`` takes
    all cells as alike.

    Examples
    --------
    The second number differs between donors only, and nothing is left of it.

    >>> vectors = np.array([[0, 0], [1, 0], [0, 9], [1, 9], [4, 0], [5, 0], [4, 9], [5, 9]])
    >>> fitted = project_labels(vectors, labels=list("BBBBTTTT"), batches=list("xxyyxxyy"))
    >>> print(fitted)
    2 dimensions to 1, from 8 cells of 2 labels in 2 batches
    >>> bool(abs(fitted.components[0, 0]) > 1e6 * abs(fitted.components[0, 1]))
    True
    """
    given = checked_vectors(vectors)
    kept = _usable_rows(len(given), labels, batches)
    names, codes = label_codes(np.asarray(labels, dtype=object)[kept].tolist())
    kept, names, codes = _without_single(kept, names, codes)
    n_left_out = len(given) - len(kept)
    chosen = choose_cells(codes, max_cells=MAX_CELLS, seed=seed)
    kept, codes = kept[chosen], codes[chosen]
    held, batch_names = np.zeros(len(kept), np.int64), tuple[str, ...]()
    if batches is not None:
        batch_names, held = label_codes(np.asarray(batches, dtype=object)[kept].tolist())
        _refuse_confounded(names, codes, batch_names, held)
    if n_components is not None and not 1 <= n_components < len(names):
        most = len(names) - 1
        msg = f"`n_components` is {n_components}; {len(names)} labels lie in {most} directions."
        raise InputError(msg, hint=f"pass 1 to {most}, or leave it out.")
    centre, means, spread, used = _spread_inside(given[kept], codes, held, shrinkage)
    components, separation = _directions(means - centre, spread, n_components)
    return Projection(
        centre=centre, components=components, separation=separation, labels=names,
        batches=batch_names, shrinkage=used, n_cells=len(kept),
        n_left_out=n_left_out, seed=seed, of=dict(of or {}),
    )  # fmt: skip


def _usable_rows(n: int, labels: Sequence[object], batches: Sequence[object] | None) -> Codes:
    """Give the rows with a label and, where batches are given, a batch.

    Raises
    ------
    InputError
        If the lengths differ, or no row is left.
    """
    usable = np.ones(n, dtype=bool)
    for name, column in (("labels", labels), ("batches", batches)):
        if column is None:
            continue
        if len(column) != n:
            msg = f"There are {n:,} vectors and {len(column):,} `{name}`."
            raise InputError(msg, hint="pass one a cell.")
        told = pd.Series(np.asarray(column, dtype=object))
        usable &= ~(told.isna() | (told.astype(str).str.strip() == "")).to_numpy()
    if not usable.any():
        what = "label" if batches is None else "label and a batch"
        msg = f"None of the {n:,} cells has a {what}."
        raise InputError(msg, hint="name the columns that hold them.")
    return np.flatnonzero(usable)


def _without_single(
    kept: Codes, names: tuple[str, ...], codes: Codes
) -> tuple[Codes, tuple[str, ...], Codes]:
    """Leave out labels of one cell, with a warning.

    Raises
    ------
    InputError
        If fewer than two labels are left.
    """
    counts = np.bincount(codes)
    single = [name for name, n in zip(names, counts, strict=True) if n == 1]
    several = tuple(name for name, n in zip(names, counts, strict=True) if n > 1)
    if len(several) < 2:
        alone = f", and {len(single):,} more of one cell each" if single else ""
        which = f"the label {several[0]!r} alone" if several else "no label of two cells"
        msg = f"The {len(kept):,} labelled cells have {which}{alone}: there is nothing to tell "
        msg += "apart."
        raise InputError(msg, hint="name a column with two labels or more.")
    if not single:
        return kept, names, codes
    told = ", ".join(map(repr, single[:3]))
    msg = f"{len(single):,} of {len(names):,} labels have one cell and were left out: {told}."
    warnings.warn(msg, UserWarning, stacklevel=3)
    inside = counts[codes] > 1
    place = np.cumsum(counts > 1) - 1
    return kept[inside], several, place[codes[inside]]


def _refuse_confounded(
    names: tuple[str, ...], codes: Codes, batch_names: tuple[str, ...], held: Codes
) -> None:
    """Refuse batches that cannot be told from labels; warn of one that tells nothing.

    Raises
    ------
    InputError
        If there are several batches, and each label is in one of them only.
    """
    if len(batch_names) == 1:
        msg = f"All cells are of one batch, {batch_names[0]!r}: nothing shows how batches differ."
        warnings.warn(msg, UserWarning, stacklevel=3)
        return
    pairs = np.unique(np.stack([codes, held]), axis=1)
    if (np.bincount(pairs[0], minlength=len(names)) < 2).all():
        example = batch_names[pairs[1][0]]
        msg = (
            f"Each of the {len(names)} labels is in one of the {len(batch_names)} batches only, "
            f"such as {names[0]!r} in {example!r}: labels cannot be told from batches."
        )
        hint = "add cells of the same labels from another batch, or leave the batches out."
        raise InputError(msg, hint=hint)


def _spread_inside(
    vectors: Floats, codes: Codes, held: Codes, shrinkage: float | None
) -> tuple[Floats, Floats, Floats, float]:
    """Give the centre, the labels' means, the shrunk spread inside labels, and how it was shrunk.

    Raises
    ------
    InputError
        If `shrinkage` is out of range, or the cells of each label are all the same.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    if shrinkage is not None and not 0 < shrinkage <= 1:
        msg = f"`shrinkage` is above 0 and at most 1, got {shrinkage}."
        raise InputError(msg, hint="leave it out for that of Ledoit and Wolf.")
    _, group, n = np.unique(
        np.stack([codes, held]), axis=1, return_inverse=True, return_counts=True
    )
    weights = 1 / np.sqrt(n[group.ravel()])
    weights /= weights.sum()
    onto = np.zeros((codes.max() + 1, len(codes)))
    onto[codes, np.arange(len(codes))] = weights
    means = (onto @ vectors) / onto.sum(axis=1, keepdims=True)
    residuals = (vectors - means[codes]) * np.sqrt(weights * len(weights))[:, None]
    spread = residuals.T @ residuals / len(weights)
    even = float(np.trace(spread)) / len(spread)
    if even <= _SAME * float(np.square(vectors).mean()):
        msg = "The vectors of each label are all the same: no spread shows what labels differ by."
        raise InputError(msg, hint="pass vectors of cells, one a cell.")
    if shrinkage is None:
        found = float(ledoit_wolf_shrinkage(residuals, assume_centered=True))
        shrinkage = max(found, LEAST_SHRINKAGE)
    shrunk = (1 - shrinkage) * spread + shrinkage * even * np.eye(len(spread))
    return means.mean(axis=0), means, shrunk, shrinkage


def _directions(means: Floats, spread: Floats, n_components: int | None) -> tuple[Floats, Floats]:
    """Give the directions along which means differ most, for the spread, and by how much.

    Raises
    ------
    InputError
        If all labels have the same mean.
    """
    from scipy.linalg import eigh

    most = min(len(means) - 1, means.shape[1])
    between = means.T @ means / len(means)
    last = len(spread) - 1
    found, vectors = eigh(between, spread, subset_by_index=[last - most + 1, last])
    found, components = found[::-1], vectors.T[::-1]
    separates = found > _SAME * max(found[0], 1.0)
    if not separates.any():
        msg = f"The {len(means)} labels have the same mean vector: no direction tells them apart."
        raise InputError(msg, hint="fit it on vectors of another encoder.")
    components, found = components[separates][:n_components], found[separates][:n_components]
    largest = components[np.arange(len(components)), np.abs(components).argmax(axis=1)]
    return components * np.sign(largest)[:, None], found
