"""CELLama: its top genes (unexpressed ones included), its sentence, its niche labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy.errors import InputError
from celloquy.text.compat._refusals import OutOfRangeError, as_csr, refuse_misnamed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from celloquy.text.compat._refusals import Expression

SENTENCE_COLUMN = "cell_sentence"


def cellama_list_sentence(names: Sequence[str]) -> str:
    """Write gene names as one sentence; no names give ``""``.

    Examples
    --------
    >>> cellama_list_sentence(["LYZ", "MS4A1"])
    'Top genes are LYZ, and MS4A1.'
    """
    if len(names) == 0:
        return ""
    if len(names) == 1:
        return f"Top gene is {names[0]}."
    return f"Top genes are {', '.join(names[:-1])}, and {names[-1]}."


def cellama_sentences(
    expression: Expression,
    names: Sequence[str],
    *,
    n_top_genes: int = 30,
    obs: pd.DataFrame | None = None,
    obs_features: Sequence[str] = (),
) -> list[str]:
    """Write every cell as CELLama does.

    The genes come from NumPy's default sort of the negated dense row, zeros included, so
    a cell that expresses few genes also names some that it does not. That sort promises no
    order within a tie: on rows longer than sixteen genes it depends on NumPy and the
    processor. Then follow the obs features, absent columns left out unsaid.

    Parameters
    ----------
    expression
        Cells by genes, shape ``(n_obs, n_vars)``.
    names
        Gene names, one a column.
    n_top_genes
        How many genes are named.
    obs
        The cells' obs rows. A column ``cell_sentence`` is taken as the sentence, unchanged.
    obs_features
        Columns of `obs` to add, in this order.

    Raises
    ------
    InputError
        If matrix, names and obs do not fit.
    OutOfRangeError
        If `n_top_genes` is below 1: an `InputError` that is also an `IndexError`.
    """
    matrix = as_csr(expression)
    refuse_misnamed(matrix, names)
    if obs is not None and len(obs) != matrix.shape[0]:
        msg = f"The matrix has {matrix.shape[0]} cells and obs has {len(obs)} rows."
        raise InputError(msg)
    if obs is not None and SENTENCE_COLUMN in obs.columns:
        return [str(sentence) for sentence in obs[SENTENCE_COLUMN]]
    if n_top_genes < 1:
        msg = f"`n_top_genes` must be at least 1, got {n_top_genes}."
        raise OutOfRangeError(msg, hint="CELLama's own value is 30.")
    tails = _features(matrix.shape[0], obs, obs_features)
    written = []
    for cell in range(matrix.shape[0]):
        row = matrix[[cell]].toarray()[0]
        top = np.argsort(-row)[:n_top_genes]
        written.append(cellama_list_sentence([names[gene] for gene in top]) + tails[cell])
    return written


def _features(n_obs: int, obs: pd.DataFrame | None, features: Sequence[str]) -> list[str]:
    present = [] if obs is None else [name for name in features if name in obs.columns]
    tails = [""] * n_obs
    for name in present:
        values = obs[name] if obs is not None else ()
        tails = [
            f"{tail} {name} of this cell is {value}."
            for tail, value in zip(tails, values, strict=True)
        ]
    return tails


def cellama_tokens_cut(
    sentences: Iterable[str], *, count_tokens: Callable[[str], int], max_tokens: int = 128
) -> NDArray[np.int64]:
    """Count the tokens that CELLama's encoder cuts off each sentence without a word.

    What is cut is the end, so the obs features go first.

    Parameters
    ----------
    sentences
        As :func:`cellama_sentences` gives.
    count_tokens
        Tokens of a sentence, the encoder's own two marks included.
    max_tokens
        What the encoder reads: 128 (all-MiniLM-L12-v2) or 256 (all-MiniLM-L6-v2).

    Returns
    -------
    Tokens cut, shape ``(n_obs,)``; 0 where the sentence fits.
    """
    counts = np.array([count_tokens(sentence) for sentence in sentences], dtype=np.int64)
    return np.maximum(counts - max_tokens, 0)


def cellama_niche_labels(
    coordinates: NDArray[Any], labels: Sequence[str], *, n_neighbours: int = 5
) -> list[str]:
    """Join the labels of each cell's nearest cells by commas, nearest first, itself left out.

    Parameters
    ----------
    coordinates
        Place of each cell, shape ``(n_obs, 2)`` or ``(n_obs, 3)``.
    labels
        Label of each cell.
    n_neighbours
        How many cells are named, fewer where there are fewer.

    Raises
    ------
    InputError
        If there is not one label a cell, or `n_neighbours` is below 1.

    Examples
    --------
    >>> cellama_niche_labels(np.array([[0, 0], [0, 1], [0, 3]]), ["T", "B", "NK"])
    ['B,NK', 'T,NK', 'B,T']
    """
    from scipy.spatial import cKDTree

    if len(labels) != len(coordinates):
        msg = f"There are {len(coordinates)} cells and {len(labels)} labels."
        raise InputError(msg)
    if n_neighbours < 1:
        msg = f"`n_neighbours` must be at least 1, got {n_neighbours}."
        raise InputError(msg)
    n_obs = len(labels)
    _, nearest = cKDTree(coordinates).query(
        coordinates, k=range(1, min(n_neighbours + 1, n_obs) + 1)
    )
    found = np.asarray(nearest)
    return [
        ",".join([labels[other] for other in found[cell] if other != cell][:n_neighbours])
        for cell in range(n_obs)
    ]
