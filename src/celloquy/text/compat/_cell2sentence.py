"""Cell2Sentence 1.2.0: its vocabulary, its shuffled ties, its sentences and its table."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from celloquy.errors import InputError
from celloquy.text._ranked import RankedCells
from celloquy.text._render import over_cells
from celloquy.text._vocabulary import Vocabulary
from celloquy.text.compat._refusals import (
    OutOfRangeError,
    UnusableTypeError,
    as_csr,
    refuse_misnamed,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

    from celloquy.text.compat._refusals import Expression

RESERVED = ("cell_name", "cell_sentence")


def cell2sentence_vocabulary(expression: Expression, *, names: Sequence[str]) -> dict[str, int]:
    """Count the cells in which each upper-cased gene is above zero.

    Names that upper-casing makes equal share one entry: at the place of the first, with
    the count of the last. So later columns have no name of their own any more (see
    :func:`cell2sentence_rank`).

    Parameters
    ----------
    expression
        Cells by genes, shape ``(n_obs, n_vars)``.
    names
        Gene names, one a column.

    Raises
    ------
    InputError
        If the matrix is not CSR, or names and columns differ in number.
    """
    matrix = as_csr(expression)
    refuse_misnamed(matrix, names)
    counts = np.bincount(matrix.indices[matrix.data > 0], minlength=matrix.shape[1])
    return {name.upper(): int(count) for name, count in zip(names, counts, strict=True)}


def concatenate_vocabularies(vocabularies: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Join vocabularies: each gene where it is first seen, its counts summed.

    Examples
    --------
    >>> concatenate_vocabularies([{"A": 1, "B": 2}, {"B": 3, "C": 4}])
    {'A': 1, 'B': 5, 'C': 4}
    """
    joined: dict[str, int] = {}
    for vocabulary in vocabularies:
        for name, count in vocabulary.items():
            joined[name] = joined.get(name, 0) + count
    return joined


def cell2sentence_normalise(counts: Expression, *, target: float | None = None) -> sp.csr_matrix:
    """Scale every cell to one total, then take log10 of one plus the value, in float64.

    Parameters
    ----------
    counts
        Raw counts; cells by genes, shape ``(n_obs, n_vars)``.
    target
        The total: `None` is the median of the totals above zero (the tutorials of the
        package), ``1e4`` what the older ``transform.py`` and ChatCell take.

    Raises
    ------
    InputError
        If the matrix is not CSR.
    """
    matrix = as_csr(counts)
    totals = np.asarray(matrix.sum(axis=1), dtype=np.float64).ravel()
    if target is None:
        target = float(np.median(totals[totals > 0])) if (totals > 0).any() else 1.0
    scale = np.divide(target, totals, out=np.zeros_like(totals), where=totals > 0)
    data = np.log10(1.0 + matrix.data * np.repeat(scale, np.diff(matrix.indptr)))
    return sp.csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape)


class Cell2SentenceOrder:
    """The order of Cell2Sentence: value descending, ties as one random stream left them.

    One MT19937 stream, seeded once, shuffles the stored values of each row in turn before
    a stable sort. The order within a tie therefore depends on all earlier rows: rows given
    in several calls are ordered as if given in one. NumPy's global state is not touched.

    Parameters
    ----------
    seed
        Seed of the stream; the package always takes 42.
    compiled
        Whether the compiled twin runs, which gives the same order; `False` runs NumPy row
        by row.

    Examples
    --------
    >>> ones = sp.csr_matrix(np.ones((3, 6)))
    >>> columns, values = Cell2SentenceOrder().order(ones)
    >>> columns.reshape(3, 6).tolist()
    [[0, 1, 5, 2, 4, 3], [3, 0, 1, 2, 5, 4], [4, 1, 0, 3, 5, 2]]
    """

    def __init__(self, *, seed: int = 42, compiled: bool = True) -> None:
        self._stream = np.random.RandomState(seed)
        self._compiled = compiled
        legacy: Any = self._stream.get_state(legacy=False)
        state = np.array(legacy["state"]["key"], dtype=np.uint32)
        self._stream_words = state, np.empty_like(state)
        self._position = len(state)

    def order(self, expression: Expression) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Order the stored values of each further row.

        Parameters
        ----------
        expression
            Cells by genes, shape ``(n_obs, n_vars)``. Stored zeros and negatives are ordered
            like any value, and NaN comes last.

        Returns
        -------
        Columns and values of all rows end to end, each of shape ``(nnz,)``; row `i` lies
        between ``expression.indptr[i]`` and ``expression.indptr[i + 1]``.

        Raises
        ------
        InputError
            If the matrix is not CSR.
        UnusableTypeError
            If its values are booleans: an `InputError` that is also a `TypeError`.
        """
        matrix = as_csr(expression)
        if matrix.data.dtype == bool:
            msg = "Booleans have no negative, so Cell2Sentence cannot order them."
            raise UnusableTypeError(msg, hint="convert them: `expression.astype('uint8')`.")
        return self._order_compiled(matrix) if self._compiled else self._order_plain(matrix)

    def _order_plain(self, matrix: Expression) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        taken = np.empty(matrix.nnz, dtype=np.int64)
        for start, stop in pairwise(matrix.indptr):
            shuffled = np.arange(stop - start)
            self._stream.shuffle(shuffled)
            falling = np.argsort(-matrix.data[start:stop][shuffled], kind="stable")
            taken[start:stop] = start + shuffled[falling]
        return matrix.indices[taken].astype(np.int32), _as_float32(matrix.data)[taken]

    def _order_compiled(self, matrix: Expression) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        from celloquy.text.compat import _shuffle

        indptr = matrix.indptr.astype(np.int64)
        ordered = np.empty(matrix.nnz, dtype=np.int32), np.empty(matrix.nnz, dtype=np.float32)
        partners = np.empty(matrix.nnz, dtype=np.uint32)
        self._position = _shuffle.draw_partners(
            indptr, partners, self._stream_words, self._position
        )
        drawn = _rising_keys(matrix.data), partners
        stored = matrix.indices.astype(np.int32, copy=False), _as_float32(matrix.data)

        def arrange(rows: slice) -> None:
            _shuffle.arrange(indptr[rows.start : rows.stop + 1], drawn, stored, ordered)

        over_cells(matrix.shape[0], arrange)
        return ordered


def _as_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # float64 beyond the range becomes infinite: order is kept
        return values.astype(np.float32, copy=False)


def _rising_keys(values: NDArray[Any]) -> NDArray[Any]:
    """Give unsigned keys that sort as ``-values`` does in NumPy, wrap-around included."""
    from celloquy.text.compat import _shuffle

    if values.dtype.kind == "f":
        values = values.astype(np.float32 if values.itemsize <= 4 else np.float64, copy=False)
        counts = np.empty(len(values), dtype=np.uint32)
        if _shuffle.whole_keys(values, counts):
            return counts
        bits: NDArray[Any] = values.view(f"u{values.itemsize}")
        keys = np.empty_like(bits)
        infinity: Any = np.array(np.inf, dtype=values.dtype).view(bits.dtype)[()]
        _shuffle.falling_keys(bits, infinity, keys)
        return keys
    negated: NDArray[Any] = np.negative(values)
    unsigned: NDArray[Any] = negated.view(f"u{negated.itemsize}")
    if values.dtype.kind == "i":
        unsigned ^= unsigned.dtype.type(1) << unsigned.dtype.type(8 * negated.itemsize - 1)
    return unsigned.astype(np.uint32 if negated.itemsize <= 4 else np.uint64)


def cell2sentence_rank(
    expression: Expression,
    names: Sequence[str],
    *,
    order: Cell2SentenceOrder | None = None,
) -> RankedCells:
    """Rank every stored value as Cell2Sentence does, by upper-cased gene name.

    Parameters
    ----------
    expression
        Cells by genes, shape ``(n_obs, n_vars)``.
    names
        Gene names, one a column.
    order
        The stream to go on with, for one row chunk after another; `None` starts at seed 42.

    Raises
    ------
    InputError
        If matrix and names do not fit, or a name is empty.
    OutOfRangeError
        If upper-casing merged names, so that a column in use has none: an `InputError` that
        is also an `IndexError`.
    """
    matrix = as_csr(expression)
    refuse_misnamed(matrix, names)
    vocabulary = _upper_cased(tuple(names))
    genes, values = (order or Cell2SentenceOrder()).order(matrix)
    if len(genes) and genes.max() >= len(vocabulary):
        msg = (
            f"Column {genes.max()} has no name: upper-casing leaves {len(vocabulary)} of "
            f"{len(names)} gene names."
        )
        raise OutOfRangeError(msg, hint="make the upper-cased names unique first.")
    cut = np.zeros(matrix.shape[0], dtype=np.int32)
    return RankedCells(genes, matrix.indptr.astype(np.int64), values, cut, vocabulary)


@lru_cache(maxsize=2)
def _upper_cased(names: tuple[str, ...]) -> Vocabulary:
    """Give the upper-cased names, each once; one vocabulary for all row chunks."""
    return Vocabulary(tuple(dict.fromkeys(name.upper() for name in names)))


def cell2sentence_sentences(
    expression: Expression,
    names: Sequence[str],
    *,
    delimiter: str = " ",
    order: Cell2SentenceOrder | None = None,
) -> list[str]:
    """Write every cell as Cell2Sentence 1.2.0 does, full length.

    Parameters
    ----------
    expression
        Cells by genes, shape ``(n_obs, n_vars)``.
    names
        Gene names, one a column.
    delimiter
        What stands between two names.
    order
        The stream to go on with, for one row chunk after another; `None` starts at seed 42.

    Raises
    ------
    InputError
        As :func:`cell2sentence_rank`.

    Examples
    --------
    >>> cell2sentence_sentences(sp.csr_matrix([[0, 0, 3], [3, 0, 1]]), ["g1", "g2", "g3"])
    ['G3', 'G1 G3']
    """
    ranked = cell2sentence_rank(expression, names, order=order)
    return [delimiter.join(words) for words in ranked]


def cell2sentence_table(
    sentences: Sequence[str], *, obs: pd.DataFrame, label_columns: Sequence[str] = ()
) -> pa.Table:
    """Put sentences into the columns of Cell2Sentence's data set.

    Parameters
    ----------
    sentences
        One a cell.
    obs
        The cells' obs rows, indexed by cell name.
    label_columns
        Columns of `obs` to add.

    Returns
    -------
    Columns ``cell_name``, ``cell_sentence``, then the labels.

    Raises
    ------
    InputError
        If a label column has a reserved name or is not in `obs`, or numbers differ.
    """
    import pyarrow as pa

    if len(sentences) != len(obs):
        msg = f"There are {len(sentences)} sentences and {len(obs)} cells."
        raise InputError(msg)
    for column in label_columns:
        if column in RESERVED:
            msg = f"{column!r} is reserved and cannot be a label column."
            raise InputError(msg, hint="rename the column of obs.")
        if column not in obs.columns:
            msg = f"obs has no column {column!r}; it has {list(obs.columns)}."
            raise InputError(msg)
    labels = {column: _plain(obs[column]) for column in label_columns}
    return pa.table({"cell_name": list(obs.index), "cell_sentence": list(sentences), **labels})


def _plain(column: pd.Series[Any]) -> list[Any]:
    return column.astype(object).where(column.notna(), None).tolist()


def cell2sentence_examples(
    prompts: Sequence[str], answers: Sequence[str], *, task: str
) -> pa.Table:
    """Put prompts and answers into the columns of Cell2Sentence's training examples.

    Parameters
    ----------
    prompts
        What is asked.
    answers
        What is answered, one a prompt.
    task
        Name of the task.

    Returns
    -------
    Columns ``sample_type`` (the task), ``model_input``, ``response``.

    Raises
    ------
    InputError
        If there is not one answer a prompt.
    """
    import pyarrow as pa

    if len(prompts) != len(answers):
        msg = f"There are {len(prompts)} prompts and {len(answers)} answers."
        raise InputError(msg)
    return pa.table(
        {"sample_type": [task] * len(prompts), "model_input": prompts, "response": answers}
    )
