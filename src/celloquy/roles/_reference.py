"""Labelled cells, wherever they lie, to a fitted reference."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from celloquy.errors import InputError
from celloquy.learn import (
    CellBlock,
    Recipe,
    Reference,
    choose_cells,
    fit_reference,
    label_codes,
    load_reference,
)
from celloquy.roles._cells import ReadOptions, obs_column, open_cells
from celloquy.roles._text_vectors import TextSource, needs_text

if TYPE_CHECKING:
    import os

    from anndata import AnnData
    from numpy.typing import NDArray

    from celloquy.roles._cells import OpenCells
    from celloquy.roles._text_vectors import SentenceReader

FILE = "reference.json"


def load_or_fit(
    reference: Reference | AnnData | str | os.PathLike[str],
    *,
    label_key: str | None,
    recipe: Recipe | None = None,
    read: ReadOptions | None = None,
    text: TextSource | None = None,
) -> Reference:
    """Take a fitted reference, load a saved one, or fit one on labelled cells.

    Parameters
    ----------
    reference
        A reference, the folder of a saved one, an AnnData, or a file of cells.
    label_key
        Column of obs with the labels; needed where `reference` are cells.
    recipe
        What is fitted.
    read
        Where the reference's expression is read from.
    text
        The language model, for the recipes that need one.

    Returns
    -------
    The reference. Where there were more than ``recipe.max_cells`` labelled cells, that many
    were chosen evenly over the labels; cells without a label were left out.

    Raises
    ------
    InputError
        If `label_key` is missing where it is needed, or no cell has a label.
    """
    if isinstance(reference, Reference):
        return reference
    if not hasattr(reference, "obs_names") and (Path(reference) / FILE).is_file():
        return load_reference(reference)
    if label_key is None:
        msg = "A reference of cells needs the name of its label column, and `label_key` is None."
        raise InputError(msg, hint='pass `label_key="cell_type"` (`--label-key`).')
    with open_cells(reference, verb="annotate", read=read or ReadOptions()) as cells:
        return _fit(cells, label_key, recipe or Recipe(), text or TextSource())


def cells_digest(reference: Reference) -> str:
    """Hash what a reference was fitted on, so that two with other cells are told apart."""
    expression = reference.cells.expression
    digest = hashlib.blake2b(digest_size=16)
    for array in (expression.indptr, expression.indices, expression.data, reference.codes):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _fit(cells: OpenCells, label_key: str, recipe: Recipe, text: TextSource) -> Reference:
    labels = obs_column(cells.stream, label_key)
    labelled = np.flatnonzero((labels.notna() & (labels.astype(str).str.strip() != "")).to_numpy())
    if not len(labelled):
        msg = f"No cell of '{cells.stream.source}' has a label in {label_key!r}."
        raise InputError(msg, hint="name the column that holds the labels.")
    _, codes = label_codes(labels.iloc[labelled].to_list())
    rows = labelled[choose_cells(codes, max_cells=recipe.max_cells, seed=recipe.seed)]
    block, names = _gather(cells, rows, text.reader() if needs_text(recipe) else None)
    provenance = {"label_key": label_key, "source": cells.stream.source, "slot": cells.stream.slot}
    return fit_reference(
        block, labels.iloc[rows].astype(str).to_list(), recipe=recipe, cell_names=names,
        n_seen=len(labelled), provenance=provenance,
    )  # fmt: skip


def _gather(
    cells: OpenCells, rows: NDArray[np.intp], reader: SentenceReader | None
) -> tuple[CellBlock, list[str]]:
    """Read the chosen rows (rising) chunk by chunk, without holding the others."""
    parts: list[CellBlock] = []
    names: list[str] = []
    columns = () if reader is None else reader.columns
    for chunk, block in cells.blocks(cells.vocabulary, columns=columns):
        first, last = np.searchsorted(rows, [chunk.start, chunk.stop])
        if first < last:
            inside = rows[first:last] - chunk.start
            chosen = block.rows(inside)
            obs = chunk.obs.iloc[inside]
            parts.append(chosen if reader is None else reader.read(chosen, obs=obs))
            names += [str(name) for name in obs.index]
    return CellBlock.concatenate(parts), names
