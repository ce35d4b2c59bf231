"""Labelled cells, wherever they lie, to a fitted reference."""

from __future__ import annotations

import hashlib
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy.errors import InputError
from celloquy.learn import (
    NO_LABEL,
    CellBlock,
    Overlap,
    Recipe,
    Reference,
    choose_cells,
    fit_reference,
    label_codes,
    load_reference,
    measure_overlap,
)
from celloquy.roles._cells import ReadOptions, obs_column, open_cells
from celloquy.roles._targets import Source, is_adata
from celloquy.roles._text_vectors import TextSource, needs_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Literal

    from numpy.typing import NDArray

    from celloquy.roles._cells import OpenCells
    from celloquy.roles._text_vectors import SentenceReader
    from celloquy.text import Vocabulary

    PanelPolicy = Literal["auto", "stored", "refit"]

FILE = "reference.json"


def load_or_fit(
    reference: Reference | Source,
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
    were chosen evenly over the labels; cells without a label, or labelled "unknown", were
    left out.

    Raises
    ------
    InputError
        If `label_key` is missing where it is needed, or no cell has a label.
    """
    reference = load_if_saved(reference)
    if isinstance(reference, Reference):
        return reference
    return _labelled(reference, label_key, recipe or Recipe(), read=read, text=text).fit()


def for_query(
    reference: Reference | Source,
    genes: Sequence[str],
    *,
    label_key: str | None,
    panel: PanelPolicy,
    recipe: Recipe | None = None,
    read: ReadOptions | None = None,
    text: TextSource | None = None,
) -> tuple[Reference, Overlap]:
    """Make a reference ready for a query that measures the given genes.

    A fitted reference is fitted anew only where the shared genes ask for it; cells are
    fitted once, on the genes that the query leaves them.

    Parameters
    ----------
    reference, label_key, recipe, read, text
        See :func:`load_or_fit`.
    genes
        Gene names of the query.
    panel
        See :meth:`celloquy.learn.Reference.on_genes`.

    Returns
    -------
    The reference to apply, over its own vocabulary, and the overlap of genes.

    Raises
    ------
    InputError
        If too few genes are shared, or the reference cannot be used.
    """
    reference = load_if_saved(reference)
    if isinstance(reference, Reference):
        return reference.on_genes(_measured(reference.vocabulary, genes), policy=panel)
    cells = _labelled(reference, label_key, recipe or Recipe(), read=read, text=text)
    measured = _measured(cells.block.vocabulary, genes)
    overlap = measure_overlap(cells.block, measured, policy=panel)
    if overlap.refitted:
        cells = replace(cells, block=cells.block.genes(np.flatnonzero(measured)))
    return cells.fit(), overlap


@dataclass(frozen=True, eq=False)
class _Labelled:
    """Labelled cells in memory, chosen evenly over the labels."""

    block: CellBlock
    labels: list[str]
    names: list[str]
    n_seen: int
    recipe: Recipe
    provenance: dict[str, Any]

    def fit(self) -> Reference:
        return fit_reference(
            self.block, self.labels, recipe=self.recipe, cell_names=self.names,
            n_seen=self.n_seen, provenance=self.provenance,
        )  # fmt: skip


def load_if_saved(reference: Reference | Source) -> Reference | Source:
    """Load a reference from its folder; give anything else back."""
    if isinstance(reference, Reference) or is_adata(reference):
        return reference
    return load_reference(reference) if (Path(reference) / FILE).is_file() else reference


def _measured(vocabulary: Vocabulary, genes: Sequence[str]) -> NDArray[np.bool_]:
    """Say which genes of a vocabulary are among the given ones; shape ``(n_genes,)``."""
    given = set(genes)
    return np.array([name in given for name in vocabulary.names], dtype=bool)


def _labelled(
    reference: Source,
    label_key: str | None,
    recipe: Recipe,
    *,
    read: ReadOptions | None,
    text: TextSource | None,
) -> _Labelled:
    if label_key is None:
        msg = "A reference of cells needs the name of its label column, and `label_key` is None."
        raise InputError(msg, hint='pass `label_key="cell_type"` (`--label-key`).')
    with (
        _hints_for_reference(),
        open_cells(reference, verb="annotate", read=read or ReadOptions()) as cells,
    ):
        labels = obs_column(cells.stream, label_key)
        words = labels.astype(str).str.strip()
        is_label = labels.notna() & ~words.str.casefold().isin(NO_LABEL)
        labelled = np.flatnonzero(is_label.to_numpy())
        if not len(labelled):
            msg = f"No cell of '{cells.stream.source}' has a label in {label_key!r}."
            raise InputError(msg, hint="name the column that holds the labels.")
        _, codes = label_codes(labels.iloc[labelled].to_list())
        rows = labelled[choose_cells(codes, max_cells=recipe.max_cells, seed=recipe.seed)]
        reader = (text or TextSource()).reader() if needs_text(recipe) else None
        block, names = gather(cells, rows, reader)
        provenance = {
            "label_key": label_key,
            "source": cells.stream.source,
            "slot": cells.stream.slot,
            **({} if reader is None else {"text": reader.record()}),
        }
    counted = words[labels.notna() & ~is_label & (words != "")].value_counts()
    left_out = {str(word): int(n) for word, n in counted.items()}
    if left_out:
        _tell_left_out(left_out, label_key)
        provenance = {**provenance, "left_out": left_out}
    chosen = [str(label) for label in labels.iloc[rows]]
    return _Labelled(block, chosen, names, len(labelled), recipe, provenance)


def _tell_left_out(left_out: dict[str, int], label_key: str) -> None:
    """Warn of cells whose label says that they have none."""
    told = ", ".join(f"{n:,} {word!r}" for word, n in left_out.items())
    warnings.warn(
        f"Cells of the reference without a label in {label_key!r} are not learned from: {told}.",
        UserWarning,
        stacklevel=2,
    )


_SAID = {
    "`use_raw=True` (`--raw`)": "`read_reference=ReadOptions(use_raw=True)` (`--reference-raw`)",
    "(`--layer ": "(`--reference-layer ",
}
"""How a slot is named for the query, and for the reference."""


@contextmanager
def _hints_for_reference() -> Iterator[None]:
    """Let a hint about a slot name the options of the reference.

    Raises
    ------
    InputError
        If the block raises one.
    """
    try:
        yield
    except InputError as error:
        hint = error.hint
        for query, reference in _SAID.items():
            hint = None if hint is None else hint.replace(query, reference)
        if hint == error.hint:
            raise
        msg = f"Of the reference: {error}"
        raise InputError(msg, hint=hint) from error


def cells_digest(reference: Reference) -> str:
    """Hash what a reference was fitted on, so that two with other cells are told apart."""
    expression = reference.cells.expression
    digest = hashlib.blake2b(digest_size=16)
    for array in (expression.indptr, expression.indices, expression.data, reference.codes):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def gather(
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
