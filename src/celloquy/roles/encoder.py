"""The encoder: cells, genes and texts as vectors of a language model."""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import anndata as ad
import numpy as np
import pandas as pd

from celloquy._runtime import count_of
from celloquy.errors import InputError
from celloquy.io import Results, add_results, refuse_taken, write_annotated
from celloquy.learn import weighted_gene_vectors
from celloquy.lm import embed_texts
from celloquy.roles._cells import ReadOptions, open_cells
from celloquy.roles._collect import collect, discard_parts
from celloquy.roles._project import SavedProjection, with_projection
from celloquy.roles._targets import is_adata, path_of, refuse_targets
from celloquy.roles._taught import reading_of
from celloquy.roles._text_vectors import ENCODE_GENES, TextSource, tell_without_genes
from celloquy.text import RankOptions, Vocabulary, rank_cells

MIN_SHARED_GENES = 50
"""Fewer shared genes than these are a sign of different gene names."""

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    from celloquy.lm import CellReading
    from celloquy.roles._cells import OpenCells
    from celloquy.roles._collect import Work
    from celloquy.roles._targets import Source
    from celloquy.roles._text_vectors import SentenceReader


By: TypeAlias = Literal["sentence", "genes"]
NormaliseBy: TypeAlias = Literal["weights", "genes"]


@dataclass(frozen=True)
class EncodeOptions:
    """How cells are encoded.

    Raises
    ------
    InputError
        If `by` or `normalise_by` is none of its words.
    """

    text: TextSource = field(default_factory=TextSource)
    """The language model and how cells are written for it."""
    by: By = "sentence"
    """``"sentence"`` embeds each cell's sentence; ``"genes"`` embeds each gene's text once and
    averages the genes of a cell by their expression, which costs one embedding a gene and
    none a cell."""
    normalise_by: NormaliseBy = "weights"
    """For ``by="genes"``: divide by the cell's total expression (CellHermes-w) or by the
    number of all genes (GenePT-w)."""
    gene_texts: Mapping[str, str] | None = None
    """For ``by="genes"``: what is said of each gene; `None` says ``Gene <name>``."""
    projection: SavedProjection | None = None
    """What :func:`fit_projection` fitted on vectors of the same model and options, or its folder;
    `None` gives the vectors as they are."""
    read: ReadOptions = field(default_factory=ReadOptions)
    """Where expression and gene names are read from."""

    def __post_init__(self) -> None:
        for name, given, known in (
            ("by", self.by, get_args(By)),
            ("normalise_by", self.normalise_by, get_args(NormaliseBy)),
        ):
            if given not in known:
                msg = f"`{name}` is {' or '.join(map(repr, known))}, got {given!r}."
                raise InputError(msg, hint=f"leave `{name}` out for {known[0]!r}.")


@dataclass(frozen=True, eq=False)
class Encoding:
    """Vectors of cells and how they were made."""

    key: str
    """Name in obsm."""
    vectors: NDArray[np.float32] | None
    """One row a cell; shape ``(n_obs, d)``. `None` where they were written to a file."""
    n_cut: NDArray[np.int32]
    """Genes of each cell that were asked for and did not fit the model; shape ``(n_obs,)``."""
    record: dict[str, Any]
    """Model, revision, options and versions; also in ``uns[key]``."""

    def __str__(self) -> str:
        cut = int((self.n_cut > 0).sum())
        said = f"; of {count_of(cut, 'cells')} some named genes did not fit" if cut else ""
        projected = self.record.get("projection")
        if projected is not None:
            said = f", projected to {count_of(projected['n_components'], 'dimensions')}{said}"
        n_cells = count_of(len(self.n_cut), "cells")
        return f"{n_cells} in obsm[{self.key!r}] by {self.record['lm']}{said}"


def encode(
    source: Source,
    *,
    key_added: str = "X_celloquy",
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    options: EncodeOptions | None = None,
) -> Encoding:
    """Embed cells by a language model that reads their sentences.

    A cell's vector depends on the cell and the model alone: not on the cells that share its
    batch, on their order, or on padding. A cell that names no gene (it is empty, or has none
    that the model knows) gets zeros; a warning and ``uns[key_added]["n_cells_without_genes"]``
    count them.

    Parameters
    ----------
    source
        Cells: an AnnData, which gets ``obsm[key_added]`` in place, or a file, which is
        streamed and left as it is.
    key_added
        Name of the array in obsm.
    out
        Copy of the file `source` to write with the array added; only for files.
    overwrite
        Whether `out`, and an array of the same name, are replaced.
    options
        Everything else.

    Returns
    -------
    The vectors, what was cut, and the record that also goes to ``uns[key_added]``.

    Raises
    ------
    InputError
        If a slot cannot be used (see :func:`celloquy.check`), a name is taken, or a projection
        was fitted on vectors of another encoder.
    CheckpointError
        If the folder of a projection is none, or damaged.
    MissingExtraError
        If the language model's packages are not installed; nothing else is used instead.

    Notes
    -----
    By sentence: CELLama (Choi et al., 2025) and GenePT-s; by genes: GenePT-w (Chen & Zou, 2023)
    and the weighted form of CellHermes.
    """
    options = options or EncodeOptions()
    targets = {"obsm": [key_added], "uns": [key_added]}
    refuse_targets(source, targets, out=out, overwrite=overwrite)
    reader = options.text.reader(words=options.by == "genes")
    with open_cells(
        source, verb="encode", read=options.read, needs=_needs(options),
        reading=_reading(reader, options),
    ) as cells:  # fmt: skip
        if out is not None:
            refuse_taken(cells.stream, targets, overwrite=overwrite)
        _warn_of_ensembl_ids(cells, options)
        work, record = _prepared(cells, reader, options)
        collected = collect(cells.stream, work, out=out, config=record, overwrite=overwrite)
        names = cells.stream.obs().index
    n_cut = np.concatenate(list(collected.blocks("n_cut")))
    record["n_genes_cut"] = int(n_cut.sum())
    has_genes = np.concatenate(list(collected.blocks("has_genes")))
    record["n_cells_without_genes"] = tell_without_genes(has_genes, names)
    results = Results(obsm={key_added: collected.blocks("vectors")}, uns={key_added: record})
    vectors = None
    if out is not None:
        write_annotated(path_of(source), out, results=results, overwrite=overwrite)
        discard_parts(out)
    else:
        vectors = np.concatenate(list(collected.blocks("vectors")))
        if is_adata(source):
            add_results(source, replace(results, obsm={key_added: [vectors]}))
    return Encoding(key_added, vectors, n_cut, record)


def encode_genes(
    genes: Sequence[str],
    *,
    gene_texts: Mapping[str, str] | None = None,
    text: TextSource | None = None,
) -> pd.DataFrame:
    """Embed genes by what is said of them.

    Parameters
    ----------
    genes
        Gene names; length ``n``.
    gene_texts
        Gene sentences by gene name, such as NCBI summaries; a gene that is not in it gets a
        row of NaN. `None` says ``Gene <name>`` of each (the form of CellHermes). Texts that
        are longer than the model reads are cut at the end, and a warning counts them.
    text
        The language model; `None` takes MiniLM.

    Returns
    -------
    One row a gene, in the order given; shape ``(n, d)``, float32.

    Raises
    ------
    InputError
        If none of the genes has a text, or one name is given for a list.

    Examples
    --------
    >>> encode_genes(["CD3E", "MS4A1"]).shape
    (2, 384)
    """
    if isinstance(genes, str):
        msg = f"`genes` is the text {genes!r}, and a list of gene names is needed."
        raise InputError(msg, hint=f"pass `[{genes!r}]` for one gene.")
    names = list(genes)
    said = {name: f"Gene {name}" for name in names} if gene_texts is None else gene_texts
    rows = [i for i, name in enumerate(names) if said.get(name, "").strip()]
    if not rows:
        msg = f"None of the {len(names):,} genes has a text."
        raise InputError(msg, hint="give `gene_texts` by the same names as the genes.")
    source = text or TextSource()
    texts = [" ".join(said[names[i]].split()) for i in rows]
    embedded = embed_texts(
        source.reader(words=True).lm,
        texts,
        pooling=source.pooling,
        layer=source.layer,
        cache=source.cache,
        too_long="cut",
    )
    n_cut = int((embedded.plan.n_tokens_cut > 0).sum())
    if n_cut:
        told = f"{n_cut:,} of {len(texts):,} gene texts are longer than the model reads; "
        warnings.warn(told + "their ends were cut.", UserWarning, stacklevel=2)
    vectors = np.full((len(names), embedded.vectors.shape[1]), np.nan, dtype=np.float32)
    vectors[rows] = embedded.vectors
    return pd.DataFrame(vectors, index=pd.Index(names))


def encode_together(
    sources: Mapping[str, Source],
    *,
    key_added: str = "X_celloquy",
    options: EncodeOptions | None = None,
) -> AnnData:
    """Embed several data sets into one space, from the genes that all of them measure.

    Ranks among shared genes are comparable where ranks among all genes of each file are not.
    Nothing is fitted and no batch is corrected.

    Parameters
    ----------
    sources
        Cells by the name of their data set, at least one.
    key_added
        Name of the array in obsm.
    options
        Everything else; obs columns that it names must be in every data set.

    Returns
    -------
    All cells with their obs, ``obs["dataset"]``, and ``obsm[key_added]``, without a matrix.
    ``uns[key_added]`` has the number of shared genes.

    Raises
    ------
    InputError
        If `sources` is empty, or fewer than 50 genes are shared.
    """
    options = options or EncodeOptions()
    if not sources:
        msg = "There is no data set to encode."
        raise InputError(msg, hint='pass `{"name": adata, ...}`.')
    reader = options.text.reader(words=options.by == "genes")
    shared = _shared_vocabulary(sources, reader, options)
    tables: list[pd.DataFrame] = []
    blocks: list[NDArray[np.float32]] = []
    has_genes: list[NDArray[np.bool_]] = []
    for name, source in sources.items():
        with open_cells(
            source, verb="encode", read=options.read, needs=_needs(options),
            reading=_reading(reader, options),
        ) as cells:  # fmt: skip
            _warn_of_ensembl_ids(cells, options)
            inside = cells.over(shared)
            work, record = _prepared(inside, reader, options)
            collected = collect(cells.stream, work, out=None, config={})
            blocks += collected.blocks("vectors")
            has_genes += collected.blocks("has_genes")
            obs = cells.stream.obs(cells.stream.obs_columns)
            tables.append(obs.assign(dataset=name))
    obs = pd.concat(tables)
    obs["dataset"] = pd.Categorical(obs["dataset"], categories=list(sources))
    obs.index = pd.Index([f"{name}-{cell}" for name, cell in zip(
        obs["dataset"], obs.index, strict=True)])  # fmt: skip
    together = ad.AnnData(obs=obs)
    together.obsm[key_added] = np.concatenate(blocks)
    n_bare = tell_without_genes(np.concatenate(has_genes), obs.index)
    counts = {"n_shared_genes": len(shared), "n_cells_without_genes": n_bare}
    together.uns[key_added] = {**record, **counts}
    return together


def _needs(options: EncodeOptions) -> Literal["rankable", "expression"]:
    """Ranks need an order only; weights need a known scale."""
    return "expression" if options.by == "genes" else "rankable"


def _prepared(
    cells: OpenCells, reader: SentenceReader, options: EncodeOptions
) -> tuple[Work, dict[str, Any]]:
    """Give what embeds cells, projected where that is asked for, and its record."""
    record = _record(cells, reader, options)
    return with_projection(_work(cells, reader, options), record, options.projection)


def _work(cells: OpenCells, reader: SentenceReader, options: EncodeOptions) -> Work:
    if options.by == "genes":
        return _by_genes(cells, reader, options)
    return _by_sentence(cells, reader)


def _by_sentence(cells: OpenCells, reader: SentenceReader) -> Work:
    vocabulary = cells.vocabulary
    n_top_genes = reader.source.n_top_genes or ENCODE_GENES
    rank = RankOptions(n_top_genes=n_top_genes)

    def work(start: int, stop: int) -> dict[str, NDArray[Any]]:
        vectors, n_cut, has_genes = [], [], []
        chunks = cells.stream.chunks(columns=reader.columns, start=start, stop=stop)
        for chunk in chunks:
            if cells.reading is None:
                ranked = rank_cells(chunk, vocabulary, columns=cells.genes.columns, options=rank)
            else:
                ranked = cells.ranked(chunk, n_top_genes)
            embedded, cut = reader.embed(ranked, obs=chunk.obs)
            vectors.append(embedded)
            n_cut.append(cut)
            has_genes.append(reader.has_genes(ranked))
        return {
            "vectors": np.concatenate(vectors),
            "n_cut": np.concatenate(n_cut),
            "has_genes": np.concatenate(has_genes),
        }

    return work


def _by_genes(cells: OpenCells, reader: SentenceReader, options: EncodeOptions) -> Work:
    vocabulary = cells.vocabulary
    text = replace(options.text, lm=reader.lm)
    table = encode_genes(vocabulary.names, gene_texts=options.gene_texts, text=text).to_numpy()
    is_known = np.isfinite(table).all(axis=1)

    def work(start: int, stop: int) -> dict[str, NDArray[Any]]:
        vectors, has_genes = [], []
        for _, block in cells.blocks(vocabulary, start=start, stop=stop):
            values, how = block.log_values, options.normalise_by
            vectors.append(
                weighted_gene_vectors(values, table, normalise_by=how, is_known=is_known)
            )
            has_genes.append(values @ is_known.astype(np.float32) > 0)
        return {
            "vectors": np.concatenate(vectors),
            "n_cut": np.zeros(stop - start, np.int32),
            "has_genes": np.concatenate(has_genes),
        }

    return work


def _reading(reader: SentenceReader, options: EncodeOptions) -> CellReading | None:
    """Give how the model was taught to read cells; genes told one by one are no cells."""
    return None if options.by == "genes" else reading_of(reader.lm)


def _warn_of_ensembl_ids(cells: OpenCells, options: EncodeOptions) -> None:
    """Warn of names that the model does not know; texts of cells and of genes are the user's."""
    if options.text.text_column is None and options.gene_texts is None:
        cells.warn_of_ensembl_ids(cells.reading)


def _shared_vocabulary(
    sources: Mapping[str, Source], reader: SentenceReader, options: EncodeOptions
) -> Vocabulary:
    shared: list[str] | None = None
    for source in sources.values():
        with open_cells(
            source, verb="encode", read=options.read, needs=_needs(options),
            reading=_reading(reader, options),
        ) as cells:  # fmt: skip
            here = set(cells.genes.names)
            shared = [g for g in (cells.genes.names if shared is None else shared) if g in here]
    if shared is None or len(shared) < MIN_SHARED_GENES:
        msg = f"The {len(sources)} data sets share {len(shared or [])} genes."
        raise InputError(msg, hint="compare their gene names: symbols, or Ensembl ids?")
    return Vocabulary(tuple(shared))


def _record(cells: OpenCells, reader: SentenceReader, options: EncodeOptions) -> dict[str, Any]:
    """Say what was done, in plain values that JSON and h5ad can hold."""
    return {
        "verb": "encode",
        "celloquy": version("celloquy"),
        **reader.record(),
        "by": options.by,
        **(_record_of_genes(options) if options.by == "genes" else {}),
        "slot": cells.stream.slot,
        "kind": cells.kind.kind,
        "n_genes": len(cells.genes.names),
        **cells.known_genes(),
        "genes": cells.vocabulary.fingerprint,
    }


def _record_of_genes(options: EncodeOptions) -> dict[str, str]:
    """Say how genes were embedded and averaged; given texts by their hash."""
    said = "Gene <name>"
    if options.gene_texts is not None:
        pairs = json.dumps(sorted(options.gene_texts.items()), ensure_ascii=False)
        said = f"blake2b {hashlib.blake2b(pairs.encode(), digest_size=16).hexdigest()}"
    return {"normalise_by": options.normalise_by, "gene_texts": said}
