"""Cells to sentences: read, ranked and written, chunk by chunk."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from celloquy.checks import check_for_verb, warn_of_ensembl_ids
from celloquy.io import open_stream
from celloquy.text._budget import fit_cells
from celloquy.text._fields import require_columns
from celloquy.text._gene_choice import (
    GeneChoice,
    GeneOptions,
    choose_genes,
    gene_names,
    rank_options,
)
from celloquy.text._rank import RankBuffers, rank_cells
from celloquy.text._ranked import RankedCells
from celloquy.text._render import render_text
from celloquy.text._styles import Style, get_style

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from anndata import AnnData

    from celloquy.checks import Kind
    from celloquy.io import CellStream
    from celloquy.text._prompt import Prompt

ALL_GENES = GeneOptions()
"""Every gene under the name that it has; collisions are refused."""


@dataclass(frozen=True, eq=False)
class CellSentences:
    """Cells as sentences: the ranked genes, and the style in which they are written."""

    ranked: RankedCells
    """The cells' genes, most expressed first."""
    obs: pd.DataFrame
    """The cells' obs rows, indexed by cell name."""
    style: Style
    """How they become words."""
    obs_features: tuple[str, ...] = ()
    """Columns of `obs` that are written beside the genes."""
    record: dict[str, Any] = field(default_factory=dict)
    """Where the sentences come from: source, options, versions."""

    def __len__(self) -> int:
        return self.ranked.n_obs

    @cached_property
    def text(self) -> pd.Series[str]:
        """One sentence a cell, indexed by cell name; shape ``(n_obs,)``."""
        written = self.to_text().to_pandas()
        return pd.Series(written.to_numpy(), index=self.obs.index, name="text", dtype="str")

    @property
    def n_cut(self) -> pd.Series[int]:
        """Expressed genes of each cell that its sentence does not name; shape ``(n_obs,)``."""
        return pd.Series(self.ranked.cut, index=self.obs.index, name="n_cut")

    def to_text(self) -> pa.LargeStringArray:
        """Give the sentences as an Arrow column."""
        return render_text(
            self.ranked, style=self.style, obs=self.obs, obs_features=self.obs_features
        )

    def prompts(self) -> list[Prompt]:
        """Give each cell as a prompt: words, genes and fields apart."""
        return self.style.prompts(self.ranked, obs=self.obs, obs_features=self.obs_features)

    def fit(self, tokenizer: Any, *, limit: int) -> CellSentences:  # noqa: ANN401 (libraries without types)
        """Leave out genes at the end until every sentence takes at most `limit` tokens.

        Words and metadata are never cut; what is cut is counted in `n_cut`.

        Raises
        ------
        InputError
            If a cell's words and metadata alone take more.
        """
        ranked = fit_cells(
            self.ranked,
            tokenizer,
            limit=limit,
            style=self.style,
            obs=self.obs,
            obs_features=self.obs_features,
        )
        return replace(self, ranked=ranked, record={**self.record, "token_limit": limit})

    def to_arrow(self, *, values: bool = False) -> pa.Table:
        """Give text, gene positions, counts and obs as an Arrow table.

        Parameters
        ----------
        values
            Whether the expression of every named gene is a column, too.
        """
        from celloquy.text._arrow import to_table

        return to_table(self, values=values)

    def write(
        self, path: str | os.PathLike[str], *, values: bool = False, overwrite: bool = False
    ) -> None:
        """Write the table of :meth:`to_arrow` as a Parquet file; it is whole or absent.

        Raises
        ------
        InputError
            If `path` exists and `overwrite` is false, or cannot be written.
        """
        from celloquy.text._arrow import write_whole

        write_whole(self, path, values=values, overwrite=overwrite)


def sentences(
    source: AnnData | str | os.PathLike[str],
    *,
    n_top_genes: int | None = 200,
    style: str | Style = "celloquy",
    obs_features: Sequence[str] = (),
    layer: str | None = None,
    use_raw: bool = False,
    genes: GeneOptions = ALL_GENES,
) -> CellSentences:
    """Write every cell as the names of its most expressed genes.

    Genes without expression are never named, so a sparse cell gives a short sentence, and a
    cell without expression an empty one. Equal values follow a key of the gene's name alone:
    nothing is random, the order of columns does not matter, and a cell reads the same alone
    and among a million others.

    Parameters
    ----------
    source
        Cells by genes, shape ``(n_obs, n_vars)``; not changed. A file is read chunk by chunk,
        and only the named genes are kept in memory (:func:`write_sentences` keeps none).
    n_top_genes
        The most genes one sentence may name; `None` names all that are expressed.
    style
        A style (``"celloquy"``, ``"cell2sentence"``, ``"cellama"``, ``"cellhermes"``,
        ``"chatcell"``), or a template that holds ``{genes}``.
    obs_features
        Columns of obs to write beside the genes. A missing value is written "unknown".
    layer
        Layer to rank by; `None` ranks `X`. Counts and log1p values of one cell rank alike.
    use_raw
        Whether `raw` is ranked.
    genes
        Which genes may be named, under which names, and what ranks them.

    Raises
    ------
    InputError
        If the slot, an obs column or a gene name cannot be used: each message says how else.

    Notes
    -----
    After Cell2Sentence (Levine et al., ICML 2024), which breaks ties at random.

    Examples
    --------
    >>> import anndata as ad, numpy as np
    >>> adata = ad.AnnData(np.array([[3.0, 0.0, 9.0], [0.0, 0.0, 0.0]]))
    >>> adata.obs_names, adata.var_names = ["t_cell", "empty"], ["CD3E", "MS4A1", "IL7R"]
    >>> sentences(adata).text.to_dict()
    {'t_cell': 'IL7R CD3E', 'empty': ''}
    """
    chosen = get_style(style)
    with open_stream(source, layer=layer, use_raw=use_raw) as stream:
        job = SentenceJob.of(
            stream, source=source, n_top_genes=n_top_genes, style=chosen,
            obs_features=obs_features, genes=genes,
        )  # fmt: skip
        obs = stream.obs(stream.obs_columns)
        parts = [ranked for _, ranked in job.ranked(stream)]
        return CellSentences(
            RankedCells.concatenate(parts), obs, chosen, job.obs_features, job.record
        )


@dataclass(frozen=True, eq=False)
class SentenceJob:
    """What is to be done with a stream of cells, checked against it."""

    choice: GeneChoice
    style: Style
    obs_features: tuple[str, ...]
    n_top_genes: int | None
    genes: GeneOptions
    record: dict[str, Any]
    kind: Kind = "counts"

    @staticmethod
    def of(
        stream: CellStream,
        *,
        source: AnnData | str | os.PathLike[str],
        n_top_genes: int | None,
        style: Style,
        obs_features: Sequence[str],
        genes: GeneOptions,
    ) -> SentenceJob:
        """Check everything that can be checked before the first cell is read.

        Raises
        ------
        InputError
            If the slot, an obs column or a gene name cannot be used.
        """
        from importlib.metadata import version  # slow to import

        require_columns(style.columns(obs_features), stream.obs_columns)
        names = gene_names(stream.var, genes.gene_column)
        by_specificity = genes.rank_by == "specificity"
        kind = check_for_verb(
            stream,
            verb="sentences",
            needs="expression" if by_specificity else "rankable",
            source=source,
            gene_names=names,
        ).kind
        choice = choose_genes(stream.var, genes, style)
        if genes.known is None and genes.to == "keep":
            looked_up = '`to="symbol"` (`--to symbol`) looks them up in the tables of '
            looked_up += "`celloquy data`"
            warn_of_ensembl_ids(names, stream.var, source=stream.source, otherwise=looked_up)
        rank_options(genes, choice.vocabulary, n_top_genes)
        style.speak(choice.vocabulary)
        record: dict[str, Any] = {
            "source": stream.fingerprint(),
            "n_top_genes": n_top_genes,
            "genes": genes.record(),
            "left_out": choice.left_out,
            "mapping": choice.report.to_dict(),
            "versions": {name: version(name) for name in ("celloquy", "anndata", "pyarrow")},
        }
        if by_specificity:
            record["kind"] = kind
        return SentenceJob(choice, style, tuple(obs_features), n_top_genes, genes, record, kind)

    def ranked(
        self,
        stream: CellStream,
        *,
        start: int = 0,
        stop: int | None = None,
        chunk_size: int = 1_000,
        buffers: Sequence[RankBuffers | None] = (None,),
    ) -> Iterator[tuple[int, RankedCells]]:
        """Rank cells `start` to `stop`, chunk by chunk; each with its first row number.

        The chunks take turns with `buffers`.
        """
        vocabulary, columns = self.choice.vocabulary, self.choice.columns
        options = rank_options(self.genes, vocabulary, self.n_top_genes, kind=self.kind)
        chunks = stream.chunks(chunk_size, start=start, stop=stop)
        for chunk, own in zip(chunks, cycle(buffers)):
            ranked = rank_cells(chunk, vocabulary, columns=columns, options=options, buffers=own)
            yield chunk.start, ranked


def part_of(sentences: CellSentences, start: int, stop: int) -> CellSentences:
    """Give cells `start` to `stop` (excluded)."""
    ranked = sentences.ranked
    here = slice(int(ranked.offsets[start]), int(ranked.offsets[stop]))
    part = RankedCells(
        ranked.genes[here],
        np.asarray(ranked.offsets[start : stop + 1] - ranked.offsets[start]),
        ranked.values[here],
        ranked.cut[start:stop],
        ranked.vocabulary,
    )
    return replace(sentences, ranked=part, obs=sentences.obs.iloc[start:stop])
