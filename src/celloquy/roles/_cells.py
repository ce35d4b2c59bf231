"""Cells opened for a verb: checked, their genes mapped, given as blocks over a vocabulary."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.sparse as sp

from celloquy._runtime import closest
from celloquy.checks import check_for_verb, warn_of_ensembl_ids
from celloquy.errors import InputError
from celloquy.io import CHUNK_SIZE, open_stream
from celloquy.knowledge import GeneMap, collapse, map_genes
from celloquy.learn import CellBlock
from celloquy.text import GeneOptions, Vocabulary, gene_names, rank_cells
from celloquy.text._gene_choice import gene_ids, rank_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from celloquy.checks import SlotKind
    from celloquy.io import CellStream, RowChunk
    from celloquy.lm import CellReading
    from celloquy.roles._targets import Source
    from celloquy.text import RankedCells

Collisions = Literal["refuse", "sum", "keep"]


@dataclass(frozen=True)
class ReadOptions:
    """Where expression and gene names are read from."""

    layer: str | None = None
    """Layer that holds the expression; `None` takes ``X``."""
    use_raw: bool = False
    """Whether ``raw.X`` is taken."""
    gene_column: str | None = None
    """Column of var that holds the gene names; `None` takes ``var_names``."""
    collisions: Collisions = "refuse"
    """What happens when several columns carry one gene: refused, summed, or kept apart. For a model
    that knows its own genes: several columns of one name (:meth:`KnownGenes.map
    <celloquy.knowledge.KnownGenes.map>`)."""


@dataclass(frozen=True, eq=False)
class OpenCells:
    """A checked source of cells with its genes resolved."""

    stream: CellStream
    """The open stream."""
    kind: SlotKind
    """What its values are."""
    genes: GeneMap
    """Which gene each column stands for."""
    own_names: tuple[str, ...] = ()
    """What the source calls its columns."""
    reading: CellReading | None = None
    """How the model that reads the cells was taught to."""

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The genes of the map."""
        return Vocabulary(self.genes.names, self.genes.ids)

    def known_genes(self) -> dict[str, int]:
        """Count what became of the columns, where the model says which genes it knows."""
        if self.reading is None or self.reading.known is None:
            return {}
        report = self.genes.report
        return {
            "n_genes_known": len(self.genes.names),
            "n_genes_left_out": report.dropped,
            "n_columns_summed": report.merged,
        }

    def warn_of_ensembl_ids(self, reading: CellReading | None) -> None:
        """Warn of Ensembl ids where a language model reads the names of genes as they are.

        Parameters
        ----------
        reading
            How the model was taught to read cells; one that knows its genes finds them by id.
        """
        if reading is None or reading.known is None:
            source = self.stream.source
            warn_of_ensembl_ids(self.own_names, self.stream.var, source=source)

    def over(self, vocabulary: Vocabulary) -> OpenCells:
        """Give the same cells over the genes of another vocabulary; other genes are left out."""
        position = vocabulary.find(self.genes.names)
        columns = np.where(self.genes.columns >= 0, position[self.genes.columns], -1)
        genes = replace(
            self.genes, names=vocabulary.names, ids=vocabulary.ids, columns=columns.astype(np.int32)
        )
        return replace(self, genes=genes)

    def block(self, chunk: RowChunk, vocabulary: Vocabulary) -> CellBlock:
        """Bring a chunk's columns to the genes of the map, whose vocabulary is given."""
        unit: Literal["counts", "log1p"] = "log1p" if self.kind.kind == "log1p" else "counts"
        expression = collapse(chunk.to_csr(), self.genes, kind=unit)
        _refuse_unusable(expression.data, chunk, self.stream)
        return CellBlock(sp.csr_matrix(expression), self.kind.kind, vocabulary)

    def ranked(self, chunk: RowChunk, n_top_genes: int) -> RankedCells:
        """Rank the genes of a chunk's cells as the model that reads them was taught to."""
        if self.reading is None:
            return self.block(chunk, self.vocabulary).top(n_top_genes)
        how = GeneOptions(rank_by=self.reading.rank_by, known=self.reading.known)
        options = rank_options(how, self.vocabulary, n_top_genes, kind=self.kind.kind)
        return rank_cells(chunk, self.vocabulary, columns=self.genes.columns, options=options)

    def blocks(
        self,
        vocabulary: Vocabulary,
        *,
        columns: Sequence[str] = (),
        start: int = 0,
        stop: int | None = None,
    ) -> Iterator[tuple[RowChunk, CellBlock]]:
        """Give all cells in order, each chunk with its block."""
        chunks = self.stream.chunks(CHUNK_SIZE, columns=columns, start=start, stop=stop)
        for chunk in chunks:
            yield chunk, self.block(chunk, vocabulary)


@contextmanager
def open_cells(
    source: Source,
    *,
    verb: str,
    read: ReadOptions,
    needs: Literal["rankable", "expression"] = "expression",
    reading: CellReading | None = None,
) -> Iterator[OpenCells]:
    """Open cells, refuse what the verb cannot use, and resolve gene names.

    Parameters
    ----------
    source
        An AnnData, or a file that :func:`celloquy.read` takes.
    verb
        Name of the verb, for messages.
    read
        Where expression and gene names are read from.
    needs
        What the verb needs of the values.
    reading
        How the model that reads the cells was taught to.

    Yields
    ------
    The open cells; they are closed when the block ends.
    """
    with open_stream(source, layer=read.layer, use_raw=read.use_raw) as stream:
        names = gene_names(stream.var, read.gene_column)
        if reading is not None and reading.rank_by == "specificity":
            needs = "expression"
        kind = check_for_verb(stream, verb=verb, needs=needs, source=source, gene_names=names)
        if reading is None or reading.known is None:
            genes = map_genes(names, collisions=read.collisions)
        else:
            ids = gene_ids(stream.var)
            genes = reading.known.map(names, ids=ids, collisions=read.collisions)
        yield OpenCells(stream, kind, genes, tuple(names), reading)


def obs_column(stream: CellStream, key: str) -> pd.Series[Any]:
    """Read a column of obs for all cells, or name the closest one there is.

    Raises
    ------
    InputError
        If obs has no such column.
    """
    if key not in stream.obs_columns:
        near = closest(key, stream.obs_columns)
        msg = f"`obs` of '{stream.source}' has no column {key!r}{near}."
        listed = ", ".join(stream.obs_columns) or "no columns"
        raise InputError(msg, hint=f"it has: {listed}.")
    column: pd.Series[Any] = stream.obs([key])[key]
    return column


def _refuse_unusable(data: NDArray[Any], chunk: RowChunk, stream: CellStream) -> None:
    """Refuse values that the spread sample of the check did not meet.

    Raises
    ------
    InputError
        If a value is negative, missing or infinite.
    """
    usable = (data >= 0) & (data < np.inf)
    if not usable.all():
        wrong = data[~usable][0]
        msg = (
            f"{stream.slot} of '{stream.source}' holds the value {wrong:g} among cells "
            f"{chunk.start:,} to {chunk.stop - 1:,}."
        )
        raise InputError(msg, hint="`celloquy check` finds the cells; leave them out or mend them.")
