"""Expression by column → expression by gene, as a gene map says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, overload

import numpy as np

from celloquy.errors import InputError

if TYPE_CHECKING:
    import scipy.sparse as sp
    from numpy.typing import NDArray

    from celloquy.knowledge._report import GeneMap

Kind = Literal["counts", "log1p"]
Csr: TypeAlias = "sp.csr_matrix | sp.csr_array"
Block: TypeAlias = "Csr | NDArray[Any]"


@overload
def collapse(
    expression: sp.csr_matrix, gene_map: GeneMap, *, kind: Kind = "counts"
) -> sp.csr_matrix: ...
@overload
def collapse(
    expression: sp.csr_array, gene_map: GeneMap, *, kind: Kind = "counts"
) -> sp.csr_array: ...
@overload
def collapse(
    expression: NDArray[Any], gene_map: GeneMap, *, kind: Kind = "counts"
) -> NDArray[Any]: ...
def collapse(expression: Block, gene_map: GeneMap, *, kind: Kind = "counts") -> Block:
    """Bring the columns of a block of cells to the genes of a map.

    Columns of one gene are added, columns that are left out go. Without either, the result
    shares memory with the input.

    Parameters
    ----------
    expression
        Cells by columns, shape ``(n_obs, n_vars)``, CSR or dense; not changed.
    gene_map
        Where each column goes.
    kind
        What values are. ``"counts"`` are added as they are, and merged columns must hold
        whole numbers. ``"log1p"`` values (natural, of counts scaled to a fixed total) are
        added through ``expm1`` and back, which is exact for what they are logarithms of. A
        block whose merged columns hold whole numbers only is added as counts either way, so
        that one call suits an AnnData with log values in `X` and counts in a layer.

    Returns
    -------
    Cells by genes, shape ``(n_obs, len(gene_map))``; CSR stays CSR, with rising indices and
    no repeats, dense stays dense. Where columns are added, integers of fewer than 32 bits
    become int32, so that sums fit; other dtypes stay.

    Raises
    ------
    InputError
        If the block has another number of columns than the map, `kind` has no such value,
        or columns to be added hold values that are not whole although `kind` says counts.
    """
    if kind not in {"counts", "log1p"}:
        msg = f"`kind` has no value {kind!r}."
        raise InputError(msg, hint='`kind="counts"` or `kind="log1p"`; others cannot be added.')
    if expression.shape[1] != len(gene_map.columns):
        msg = f"The map has {len(gene_map.columns):,} columns, the block {expression.shape[1]:,}."
        raise InputError(msg, hint="map the names of this very source.")
    if isinstance(expression, np.ndarray):
        return _collapse_dense(expression, gene_map, kind)
    return _collapse_csr(expression, gene_map, kind)


def _collapse_csr(block: Csr, gene_map: GeneMap, kind: Kind) -> Csr:
    make: Any = type(block)
    shape = (block.shape[0], len(gene_map))
    if gene_map.is_identity and block.has_canonical_format:
        return cast("Csr", make((block.data, block.indices, block.indptr), shape=shape))
    genes = gene_map.columns[block.indices]
    indptr, data = block.indptr, block.data
    if (gene_map.columns < 0).any():
        kept = genes >= 0
        before = np.zeros(len(kept) + 1, dtype=indptr.dtype)
        np.cumsum(kept, out=before[1:])
        genes, data, indptr = genes[kept], data[kept], before[indptr]
    merged = bool(gene_map.merged.any())
    through_expm1 = False
    if merged:
        data, through_expm1 = _addable(data, np.flatnonzero(gene_map.merged[genes]), kind)
    if merged or not (gene_map.is_rising and block.has_canonical_format):
        # What follows works in place, and the block is the caller's.
        data = data.copy() if data is block.data else data
        indptr = indptr.copy() if indptr is block.indptr else indptr
    result: Csr = make((data, genes, indptr), shape=shape)
    if merged or not block.has_canonical_format:
        result.sum_duplicates()
    elif not gene_map.is_rising:
        result.sort_indices()
    else:
        result.has_canonical_format = True
    if through_expm1:
        touched = np.flatnonzero(gene_map.merged[result.indices])
        result.data[touched] = np.log1p(result.data[touched])
        return result.astype(block.dtype, copy=False)
    return result


def _collapse_dense(block: NDArray[Any], gene_map: GeneMap, kind: Kind) -> NDArray[Any]:
    if gene_map.is_identity:
        return block
    kept = np.flatnonzero(gene_map.columns >= 0)
    order = kept[np.argsort(gene_map.columns[kept], kind="stable")]
    if not gene_map.merged.any():
        return block[:, order]
    starts = np.flatnonzero(np.diff(gene_map.columns[order], prepend=-1))
    several = gene_map.merged[gene_map.columns[order]]
    sorted_block = block[:, order]
    values, through_expm1 = _addable(
        sorted_block.ravel(), np.flatnonzero(np.tile(several, len(block))), kind
    )
    result: NDArray[Any] = np.add.reduceat(
        values.reshape(sorted_block.shape), starts, axis=1, dtype=values.dtype
    )
    if through_expm1:
        result[:, gene_map.merged] = np.log1p(result[:, gene_map.merged])
        return result.astype(block.dtype, copy=False)
    return result


def _addable(data: NDArray[Any], merged: NDArray[np.intp], kind: Kind) -> tuple[NDArray[Any], bool]:
    # Gives values that may be added, and whether they went through expm1 for it.
    if data.dtype.kind in {"b", "u", "i"}:
        return (data.astype(np.int32) if data.dtype.itemsize < 4 else data), False
    values = data[merged]
    whole = values == np.floor(values)
    if whole.all():
        return data, False
    if kind == "log1p":
        addable = data.astype(np.float64)
        addable[merged] = np.expm1(addable[merged])
        return addable, True
    msg = f"Columns of one gene hold values such as {values[~whole][0]:g}, which are not counts."
    hint = '`kind="log1p"` if they are log1p values; otherwise `collisions="keep"`.'
    raise InputError(msg, hint=hint)
