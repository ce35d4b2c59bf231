"""Expression to ranked cells: most expressed genes first, ties by the gene's name alone."""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from celloquy.checks._scales import SCALES
from celloquy.errors import InputError
from celloquy.io import RowChunk
from celloquy.text._keys import Keys, keys_of
from celloquy.text._ranked import RankedCells

if TYPE_CHECKING:
    import scipy.sparse as sp
    from numpy.typing import NDArray

    from celloquy.checks import Kind
    from celloquy.text._kernels import Ranks, Scratch, Wanted
    from celloquy.text._vocabulary import Vocabulary

_BLOCK = 64  # rows a thread takes at a time
_WORTH_A_THREAD = 100_000  # stored values from which a second thread pays
_ALL = 2**31 - 1  # more genes than a cell can have
_LOGARITHMS = frozenset({"log1p", "log2", "log10"})
_HINT = "pass counts or log1p values, for example `layer='counts'`."


@dataclass(frozen=True, eq=False)
class RankOptions:
    """What is ranked, and how far down.

    Raises
    ------
    InputError
        If a value is out of its range, or `medians` and `rank_by` do not fit together.
    """

    n_top_genes: int | None = None
    """The most genes kept in a cell, at least 1; `None` keeps all that are expressed."""
    rank_by: Literal["value", "specificity"] = "value"
    """Rank by expression, or by expression over the gene's median in a corpus. A cell's total
    scales all its values alike, so counts and counts per 10,000 give one order."""
    minimum: float = 0.0
    """Expression must exceed this, in the unit of the slot; else a gene is not expressed."""
    medians: NDArray[np.float64] | None = None
    """Median over a corpus of each gene of the vocabulary, in any one unit, NaN where it is
    unknown; shape ``(n_genes,)``. Only for ``rank_by="specificity"``. A gene without a
    positive median has no specificity: it is left out and, where expressed, counted in
    `cut`."""
    kind: Kind = "counts"
    """What the values are. For ``rank_by="specificity"``, logarithms are undone: medians are of
    molecules, and so are the values of the result then."""

    def __post_init__(self) -> None:
        if self.n_top_genes is not None and self.n_top_genes < 1:
            msg = f"`n_top_genes` must be at least 1, got {self.n_top_genes}."
            raise InputError(msg, hint="pass `n_top_genes=None` to keep every expressed gene.")
        if self.rank_by not in {"value", "specificity"}:
            msg = f"`rank_by` must be 'value' or 'specificity', got {self.rank_by!r}."
            raise InputError(msg)
        if not 0 <= self.minimum < np.inf:
            msg = f"`minimum` must be a number of at least 0, got {self.minimum}."
            raise InputError(msg, hint="pass `minimum=0` to keep every expressed gene.")
        if (self.medians is None) != (self.rank_by == "value"):
            given = "without" if self.medians is None else "with"
            msg = f"`rank_by={self.rank_by!r}` was given {given} `medians`."
            raise InputError(msg, hint="pass `rank_by='specificity'` and `medians=` together.")


BY_VALUE = RankOptions()
"""Every expressed gene, by value."""


class RankBuffers:
    """Memory that consecutive calls of :func:`rank_cells` share.

    A result that was written here is overwritten by the next call with the same buffers.
    One call at a time may use them.

    Parameters
    ----------
    n_threads
        Threads that rank one chunk together; `None` takes all cores. Pass 1 where each
        thread ranks a chunk of its own.
    """

    def __init__(self, *, n_threads: int | None = None) -> None:
        self.n_threads = n_threads or os.cpu_count() or 1
        self._arrays: dict[str, NDArray[np.int32]] = {}
        self._scratch: list[Scratch] = []
        self._genes: _Genes | None = None

    def take(self, name: str, size: int) -> NDArray[np.int32]:
        """Give an array of at least `size` integers, the same one as long as it is enough."""
        if name not in self._arrays or len(self._arrays[name]) < size:
            self._arrays[name] = np.empty(size + size // 8, dtype=np.int32)
        return self._arrays[name]

    def scratch(self, n_threads: int, longest: int, nowhere: int) -> list[Scratch]:
        """Give each thread what it works on, for rows of `longest` values."""
        from celloquy.text._kernels import MARGIN, new_scratch

        fits = self._scratch and (
            len(self._scratch[0].keys) >= longest
            and len(self._scratch[0].key_at) == nowhere + MARGIN
        )
        kept = self._scratch if fits else []
        missing = n_threads - len(kept)
        self._scratch = kept + [new_scratch(longest, nowhere) for _ in range(missing)]
        return self._scratch[:n_threads]

    def genes(self, columns: NDArray[np.int32] | None, vocabulary: Vocabulary, n: int) -> _Genes:
        """Give the tables of `n` columns, made again only for other columns or genes."""
        made = self._genes
        if made is None or not made.are_of(columns, vocabulary, n):
            self._genes = made = _Genes.of(columns, vocabulary, n)
        return made


def rank_cells(
    cells: RowChunk | sp.csr_matrix | sp.csr_array,
    vocabulary: Vocabulary,
    *,
    columns: NDArray[np.int32] | None = None,
    options: RankOptions = BY_VALUE,
    buffers: RankBuffers | None = None,
) -> RankedCells:
    """Rank the expressed genes of each cell: value descending, then the gene's name alone.

    Equal values follow :func:`celloquy.text.tie_key`, so a cell reads the same alone and
    among others, in any order of columns. The order is that of the values as stored, in
    their own precision; zeros, stored or not, have no rank.

    Parameters
    ----------
    cells
        Expression (counts, or any other non-negative values), shape ``(n_obs, n_vars)``;
        not changed.
    vocabulary
        The genes that the result points into.
    columns
        Position in `vocabulary` of each source column, -1 where it is left out; shape
        ``(n_vars,)``. `None` takes the columns as the vocabulary, in its order. Columns
        left out are not counted in `cut`. Values of columns of one gene are summed.
    options
        What is ranked, and how far down.
    buffers
        Memory to write to; the result is then valid until the next call with it.

    Raises
    ------
    InputError
        If a value is negative, infinite or NaN (in columns that are left out, too), or is
        no number, or if shapes do not fit together.

    Notes
    -----
    After Cell2Sentence (Levine et al., ICML 2024), which breaks ties at random; rank by
    specificity after Geneformer (Theodoris et al., Nature 2023).

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from celloquy.text import Vocabulary, rank_cells
    >>> counts = sp.csr_matrix([[3, 0, 9], [0, 0, 0]])
    >>> list(rank_cells(counts, Vocabulary(("CD3E", "MS4A1", "IL7R"))))
    [['IL7R', 'CD3E'], []]
    """
    buffers = RankBuffers() if buffers is None else buffers
    rows = _Rows.of(cells)
    genes = buffers.genes(columns, vocabulary, rows.n_vars)
    if options.medians is not None and options.kind in _LOGARITHMS:
        _refuse(rows, genes)
        undo = SCALES[options.kind][0]
        rows = rows._replace(data=undo(rows.data.astype(np.float64)))
        options = replace(options, minimum=float(undo(np.array([options.minimum]))[0]), kind="cpm")
    if genes.merged is not None:
        if not rows.are_sound():
            _refuse(rows, genes)  # a sum could hide a negative value
        rows = rows.with_sums(genes.merged)
    if options.medians is not None:
        return _by_specificity(rows, genes, options, buffers)
    keys, ranks = _rank(rows, genes, options, buffers)
    return _gather(ranks, keys, vocabulary)


class _Rows(NamedTuple):
    """The CSR arrays of some cells, checked to fit together."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    data: NDArray[Any]
    n_vars: int
    start: int

    @staticmethod
    def of(cells: RowChunk | sp.csr_matrix | sp.csr_array) -> _Rows:
        if isinstance(cells, RowChunk):
            n_vars, start = cells.n_vars, cells.start
        else:
            n_vars, start = cells.shape[1], 0
            if not cells.has_canonical_format:
                cells = cells.copy()
                cells.sum_duplicates()
        indptr = np.ascontiguousarray(cells.indptr, dtype=np.int64)
        ends = (indptr[0], indptr[-1], (np.diff(indptr) < 0).any())
        if ends[0] < 0 or ends[1] > min(len(cells.indices), len(cells.data)) or ends[2]:
            msg = "The row ends of the matrix (`indptr`) do not fit its values."
            raise InputError(msg, hint="the file is damaged: write it again from its source.")
        here = slice(indptr[0], indptr[-1])
        indices = np.ascontiguousarray(cells.indices[here], np.int32)
        data = np.ascontiguousarray(cells.data[here])
        return _Rows(indptr - indptr[0], indices, data, n_vars, start)

    def are_sound(self) -> bool:
        """Say whether every value has a rank and every column exists."""
        if not len(self.data):
            return True
        low, high = self.data.min(), self.data.max()  # of values with NaN both are NaN
        return bool(
            _is_rankable(np.array([low, high])).all()
            and self.indices.min() >= 0
            and self.indices.max() < self.n_vars
        )

    def with_sums(self, merged: NDArray[np.int32]) -> _Rows:
        """Put the sum of the values of each cell and merged gene at the first, 0 at others.

        `merged` numbers the columns whose gene has several, -1 for the others; shape
        ``(n_vars,)``. Values are added in rising order, in 64 bits: columns may come in any.
        The dtype stays where it holds the sums as they are.
        """
        genes = merged[self.indices]
        which = np.flatnonzero(genes >= 0)
        kind = self.data.dtype.kind
        exact = np.float64 if kind == "f" else np.int64 if kind in "bi" else np.uint64
        values, genes = self.data[which].astype(exact), genes[which]
        cells = np.searchsorted(self.indptr, which, side="right")
        order = np.lexsort((values, genes, cells))
        which, genes, cells = which[order], genes[order], cells[order]
        begins = np.flatnonzero(np.diff(cells, prepend=-1) | np.diff(genes, prepend=-1))
        sums = np.add.reduceat(values[order], begins) if len(which) else values
        with np.errstate(over="ignore"):
            narrow = sums.astype(self.data.dtype)
        data = self.data.astype(self.data.dtype if (narrow == sums).all() else exact)
        data[which] = 0
        data[which[begins]] = sums
        return self._replace(data=data)


class _Genes(NamedTuple):
    """Where the columns of a source stand in the vocabulary and among equals."""

    columns: NDArray[np.int32] | None
    vocabulary: Vocabulary
    positions: NDArray[np.int32]
    place: NDArray[Any]
    gene: NDArray[Any]
    nowhere: int
    stands: NDArray[np.uint64]
    merged: NDArray[np.int32] | None

    @staticmethod
    def of(columns: NDArray[np.int32] | None, vocabulary: Vocabulary, n_vars: int) -> _Genes:
        from celloquy.text._kernels import MARGIN

        n_genes = len(vocabulary)
        positions = np.arange(n_genes, dtype=np.int32) if columns is None else columns
        if len(positions) != n_vars:
            told = "columns" if columns is not None else "vocabulary"
            msg = f"The cells have {n_vars:,} columns, but `{told}` has {len(positions):,}."
            raise InputError(msg, hint="pass `columns=`, one position or -1 for each column.")
        if n_vars and not -1 <= positions.min() <= positions.max() < n_genes:
            msg = f"`columns` points outside the vocabulary of {n_genes:,} genes."
            raise InputError(msg, hint="positions run from 0; -1 leaves a column out.")
        nowhere = -(-max(n_genes, 1) // 64) * 64
        dtype = np.uint16 if nowhere < 2**16 else np.int32
        place = np.full(n_vars + 1, nowhere, dtype=dtype)
        place[:-1][positions >= 0] = vocabulary.place[positions[positions >= 0]]
        gene = np.zeros(nowhere + MARGIN, dtype=dtype)
        gene[vocabulary.place] = np.arange(n_genes)
        bits = np.zeros(-(-max(n_vars, 1) // 64) * 64, dtype=np.bool_)
        bits[:n_vars] = positions >= 0
        stands = np.packbits(bits, bitorder="little").view("<u8").astype(np.uint64)
        shared = np.bincount(positions[positions >= 0], minlength=n_genes) > 1
        merged = None
        if shared.any():
            several = (positions >= 0) & shared[positions]
            merged = np.where(several, positions, -1).astype(np.int32)
        return _Genes(columns, vocabulary, positions, place, gene, nowhere, stands, merged)

    def are_of(self, columns: NDArray[np.int32] | None, vocabulary: Vocabulary, n: int) -> bool:
        return (
            self.columns is columns and self.vocabulary is vocabulary and len(self.positions) == n
        )

    def wanted(self, *, floor: int, ceiling: int, n_top_genes: int | None) -> Wanted:
        from celloquy.text._kernels import Wanted

        leaves_out = bool((self.positions < 0).any())
        most = n_top_genes or _ALL
        return Wanted(
            self.place, self.gene, self.nowhere, self.stands, leaves_out, floor, ceiling, most
        )


def _rank(
    rows: _Rows, genes: _Genes, options: RankOptions, buffers: RankBuffers
) -> tuple[Keys, Ranks]:
    """Rank by the stored values.

    Raises
    ------
    InputError
        If a value has no rank, or a column does not exist or repeats within a cell.
    """
    from celloquy.text._kernels import BAD_COLUMN

    keys = keys_of(rows.data, rows.indptr, minimum=options.minimum)
    wanted = genes.wanted(
        floor=keys.floor(options.minimum), ceiling=keys.ceiling, n_top_genes=options.n_top_genes
    )
    ranks = _run(rows, keys, wanted, buffers)
    if not ranks.status.any():
        return keys, ranks
    _refuse(rows, genes)
    if (ranks.status == BAD_COLUMN).any():
        msg = (
            f"Cell {rows.start + int(np.argmax(ranks.status == BAD_COLUMN))} names a column twice."
        )
        raise InputError(msg, hint="the file is damaged: write it again from its source.")
    return _rank(rows._replace(data=rows.data + 0.0), genes, options, buffers)  # -0.0 to 0.0


def _run(rows: _Rows, keys: Keys, wanted: Wanted, buffers: RankBuffers) -> Ranks:
    """Run the kernel, blocks of rows on each thread; it releases the GIL."""
    from celloquy.text._kernels import Cells, Job, Ranks, rank_rows

    n_obs = len(rows.indptr) - 1
    lengths = np.diff(rows.indptr)
    first = np.concatenate([[0], np.cumsum(np.minimum(lengths, wanted.n_top_genes))])
    ranks = Ranks(
        buffers.take("genes", first[-1]),
        buffers.take("keys", first[-1]),
        first,
        np.zeros(n_obs, np.int64),
        np.zeros(n_obs, np.int32),
        np.zeros(n_obs, np.uint8),
    )
    job = Job(Cells(rows.indptr, rows.indices, keys.keys), wanted, ranks)
    n_threads = 1 if lengths.sum() < _WORTH_A_THREAD else buffers.n_threads
    blocks = itertools.count(0, _BLOCK)

    def work(scratch: Scratch) -> None:
        while (start := next(blocks)) < n_obs:
            rank_rows(job, scratch, start, min(start + _BLOCK, n_obs))

    scratch = buffers.scratch(n_threads, int(lengths.max(initial=0)), wanted.nowhere)
    if n_threads == 1:
        work(scratch[0])
    else:
        with ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(work, scratch))
    return ranks


def _gather(ranks: Ranks, keys: Keys, vocabulary: Vocabulary) -> RankedCells:
    from celloquy.text._kernels import close_gaps

    offsets = np.concatenate([[0], np.cumsum(ranks.kept)])
    if offsets[-1] != ranks.first[-1]:
        close_gaps(ranks, offsets)
    n_kept = offsets[-1]
    values = keys.values(ranks.keys[:n_kept])
    return RankedCells(ranks.genes[:n_kept], offsets, values, ranks.cut, vocabulary)


def _by_specificity(
    rows: _Rows, genes: _Genes, options: RankOptions, buffers: RankBuffers
) -> RankedCells:
    """Rank by value over median, and give the values.

    Raises
    ------
    InputError
        If there is not one median a gene, or a value has no rank.
    """
    from celloquy.text._kernels import Cells, take_keys

    medians = np.append(np.asarray(options.medians, dtype=np.float64), np.nan)
    if len(medians) != len(genes.vocabulary) + 1:
        msg = (
            f"`medians` has {len(medians) - 1:,} values, the vocabulary"
            f" {len(genes.vocabulary):,} genes."
        )
        raise InputError(msg, hint="give one median a gene, NaN where it is unknown.")
    _refuse(rows, genes)
    medians[~(medians > 0)] = np.nan
    medians = medians[genes.positions][rows.indices]
    expressed = rows.data > options.minimum
    shares = np.where(expressed & (medians > 0), rows.data / medians, 0.0)
    unknown = expressed & np.isnan(medians) & (genes.positions[rows.indices] >= 0)
    keys, ranks = _rank(
        rows._replace(data=shares), genes, RankOptions(options.n_top_genes), buffers
    )
    cells = np.repeat(np.arange(len(ranks.cut)), np.diff(rows.indptr))
    ranks.cut[:] += np.bincount(cells[unknown], minlength=len(ranks.cut)).astype(np.int32)
    keys = keys_of(rows.data, rows.indptr)
    wanted = genes.wanted(floor=0, ceiling=0, n_top_genes=None)
    key_at = np.empty(genes.nowhere + 1, dtype=np.int32)
    take_keys(Cells(rows.indptr, rows.indices, keys.keys), wanted, ranks, key_at)
    return _gather(ranks, keys, genes.vocabulary)


def _is_rankable(data: NDArray[Any]) -> NDArray[np.bool_]:
    return (data >= 0) & (data <= np.finfo(np.float32).max)  # a comparison with NaN is false


def _refuse(rows: _Rows, genes: _Genes) -> None:
    """Name the first value without a rank, or the first column that is not there.

    Raises
    ------
    InputError
        If there is one.
    """
    outside = (rows.indices < 0) | (rows.indices >= rows.n_vars)
    if outside.any():
        first = int(np.argmax(outside))
        cell, column = _cell(rows, first), rows.indices[first]
        msg = f"Cell {cell} has a value in column {column}, but there are {rows.n_vars} columns."
        raise InputError(msg, hint="the file is damaged: write it again from its source.")
    bad = ~_is_rankable(rows.data)
    if not bad.any():
        return
    first = int(np.argmax(bad))
    gene = genes.positions[rows.indices[first]]
    name = repr(genes.vocabulary.names[gene]) if gene >= 0 else f"column {rows.indices[first]}"
    msg = f"Cell {_cell(rows, first)} holds {rows.data[first]} for {name}, which has no rank."
    raise InputError(msg, hint=_HINT)


def _cell(rows: _Rows, position: int) -> int:
    return rows.start + int(np.searchsorted(rows.indptr, position, side="right")) - 1
