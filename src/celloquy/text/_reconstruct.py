"""Sentences back to expression: sparse, never negative, in the order that was written."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from celloquy.errors import InputError
from celloquy.text._rank_curve import RankCurve, default_rank_curve, n_expressed_of, ranks_of
from celloquy.text._ranked import RankedCells
from celloquy.text._sentence_words import Duplicates, find_places
from celloquy.text._vocabulary import Vocabulary

if TYPE_CHECKING:
    import anndata as ad
    from numpy.typing import NDArray

    from celloquy.text._sentences import CellSentences

UNS_KEY = "celloquy_reconstruct"
RECORD_KEY = "rank_curve"
SMALLEST = np.float32(1e-6)
"""What a named gene has at least: it was expressed, so it may not become a zero."""


@dataclass(frozen=True)
class ReconstructOptions:
    """How sentences that are text are read, and what becomes of values below zero."""

    delimiter: str | None = None
    """What stands between two names; `None` is any white space."""
    duplicates: Duplicates = "first"
    """A gene named more than once takes its first place, the mean of its places, or is
    refused."""
    is_complete: bool = False
    """Whether text sentences name every expressed gene, so that their length can choose the
    curve. Ranked cells know that themselves."""
    may_be_negative: bool = False
    """Whether a line may go below zero, as Cell2Sentence's does. The order is then kept only
    among values, and such genes are read as unexpressed by whoever ranks again."""
    typical: NDArray[np.float32] | None = None
    """For text: the natural log1p, at 10,000 molecules a cell, that each gene of the vocabulary
    takes where it is named, whatever its place; shape ``(n_genes,)``. For sentences that were not
    ranked by expression, whose order a rank curve would misread."""


_TYPICAL = {"values": "typical", "unit": "log1p"}

AS_WRITTEN = ReconstructOptions()
"""White space between names, first mentions, nothing below zero."""


def reconstruct(
    sentences: CellSentences | RankedCells | Sequence[str] | str | os.PathLike[str],
    *,
    vocabulary: Vocabulary | Sequence[str] | None = None,
    rank_curve: RankCurve | str | os.PathLike[str] | None = None,
    obs: pd.DataFrame | None = None,
    unit: str = "as ranked",
    options: ReconstructOptions = AS_WRITTEN,
) -> ad.AnnData:
    """Turn sentences back into expression.

    Sentences that carry values give them back, unless there is a `rank_curve`, and ranking
    the result again gives the same cells. With a curve, and for text, each gene takes the
    value of the curve at its rank. Ranking again then gives the same order: a named gene is
    never zero, and where the curve is level each value lies one step of float32 above the
    next.

    Parameters
    ----------
    sentences
        Sentences, the path of a Parquet file of them, or ranked cells; or text, one string a
        cell: gene names, most expressed first. In text, words that the vocabulary lacks are
        left out but keep their place.
    vocabulary
        The genes that text may name; other sentences have their own.
    rank_curve
        The curve, or the path of a saved one. `None` keeps the carried values; without
        values it takes the curve in the sentences' record (:func:`with_rank_curve`), and
        without that the packaged one, with a warning.
    obs
        Rows for the cells; `None` takes those of the sentences, or numbers the cells.
    unit
        Unit of carried values, for the record.
    options
        How text is read, and whether values may be negative.

    Returns
    -------
    Expression, float32 CSR, shape ``(n_obs, n_genes)``, with the vocabulary as var. `uns`
    records where the values come from. For text, obs gains ``n_unknown`` and ``n_repeated``:
    words that were no gene, or no new one.

    Raises
    ------
    InputError
        If text comes without a vocabulary, obs has another number of rows, a gene repeats
        where that is refused, or the curve cannot be read.

    Examples
    --------
    >>> line = RankCurve("linear_log_rank", "log1p", slope=-1.0, intercept=2.0)
    >>> back = reconstruct(["B X A"], vocabulary=["A", "B"], rank_curve=line)
    >>> back.X.toarray().round(3)
    array([[1.523, 2.   ]], dtype=float32)
    >>> int(back.obs["n_unknown"].iloc[0])
    1
    """
    curve = RankCurve.load(rank_curve) if isinstance(rank_curve, str | os.PathLike) else rank_curve
    if isinstance(sentences, Sequence) and not isinstance(sentences, str):
        vocabulary = _required(vocabulary)
        if options.typical is None:
            curve = curve or _packaged()
        return _from_text(sentences, vocabulary, curve, obs=obs, options=options)
    if isinstance(sentences, str | os.PathLike):
        from celloquy.text._arrow import read_sentences

        sentences = read_sentences(sentences)
    if not isinstance(sentences, RankedCells):
        obs = sentences.obs if obs is None else obs
        curve = curve or _recorded(sentences)
        sentences = sentences.ranked
    if curve is None and np.isnan(sentences.values).any():
        curve = _packaged()
    values, record = sentences.values, {"values": "stored", "unit": unit}
    if curve is not None:
        n_expressed = np.repeat(n_expressed_of(sentences), sentences.lengths)
        predicted = curve.predict(ranks_of(sentences), n_expressed=n_expressed)
        values, record = _kept(predicted, sentences.offsets, options), _record(curve, options)
    adata = _assemble(sentences.genes, sentences.offsets, values, sentences.vocabulary)
    adata.obs = _obs(obs, sentences.n_obs)
    adata.uns[UNS_KEY] = record
    return adata


def with_rank_curve(sentences: CellSentences, rank_curve: RankCurve) -> CellSentences:
    """Put a curve into the record of sentences, so that it is written beside them.

    Parameters
    ----------
    sentences
        The sentences; not changed.
    rank_curve
        The curve that :func:`reconstruct` shall take for them.

    Returns
    -------
    The same sentences with the curve in their record.
    """
    return replace(sentences, record={**sentences.record, RECORD_KEY: rank_curve.as_dict()})


def _recorded(sentences: CellSentences) -> RankCurve | None:
    """Give the curve in the record, where it is needed and there is one."""
    if RECORD_KEY in sentences.record and np.isnan(sentences.ranked.values).any():
        return RankCurve.from_dict(sentences.record[RECORD_KEY])
    return None


def _required(vocabulary: Vocabulary | Sequence[str] | None) -> Vocabulary:
    """Give the vocabulary of text.

    Raises
    ------
    InputError
        If there is none.
    """
    if vocabulary is None:
        msg = "Sentences that are text need the vocabulary of genes that they may name."
        raise InputError(msg, hint="pass `vocabulary=adata.var_names`.")
    return vocabulary if isinstance(vocabulary, Vocabulary) else Vocabulary(tuple(vocabulary))


def _packaged() -> RankCurve:
    curve = default_rank_curve()
    warnings.warn(
        "No rank curve was given: the packaged one is taken, which was fitted on other cells "
        f"(unit {curve.unit}). Pass `rank_curve=RankCurve.fit(...)` of cells like these.",
        UserWarning,
        stacklevel=3,
    )
    return curve


def _from_text(
    sentences: Sequence[str],
    vocabulary: Vocabulary,
    curve: RankCurve | None,
    *,
    obs: pd.DataFrame | None,
    options: ReconstructOptions,
) -> ad.AnnData:
    """Give each gene of a text the value of its place, or its typical one without a curve.

    Raises
    ------
    InputError
        If the typical values are not one a gene.
    """
    found = find_places(
        sentences, vocabulary, delimiter=options.delimiter, duplicates=options.duplicates
    )
    if curve is None:
        typical = np.asarray(options.typical, dtype=np.float32)
        if typical.shape != (len(vocabulary),):
            msg = f"There are {typical.size:,} typical values for {len(vocabulary):,} genes."
            raise InputError(msg, hint="give one a gene of the vocabulary.")
        values, record = np.maximum(typical[found.genes], SMALLEST), {**_TYPICAL}
    else:
        lengths = np.diff(found.offsets)
        n_expressed = np.repeat(lengths, lengths) if options.is_complete else None
        predicted = curve.predict(found.places, n_expressed=n_expressed)
        values, record = _kept(predicted, found.offsets, options), _record(curve, options)
    adata = _assemble(found.genes, found.offsets, values, vocabulary)
    adata.obs = _obs(obs, len(sentences))
    adata.obs["n_unknown"] = found.n_unknown
    adata.obs["n_repeated"] = found.n_repeated
    adata.uns[UNS_KEY] = record | {
        "n_words": int(found.n_words.sum()),
        "n_unknown": int(found.n_unknown.sum()),
        "n_repeated": int(found.n_repeated.sum()),
        "duplicates": options.duplicates,
    }
    return adata


def _kept(
    values: NDArray[np.float64], offsets: NDArray[np.int64], options: ReconstructOptions
) -> NDArray[np.float32]:
    if options.may_be_negative:
        return values.astype(np.float32)
    return strictly_falling(np.maximum(values.astype(np.float32), SMALLEST), offsets)


def strictly_falling(
    values: NDArray[np.float32], offsets: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Raise positive values as little as float32 allows, until each cell's fall strictly.

    The bits of positive floats count up with the value, so that one step is one bit. From
    the last gene of a cell to its first, a running maximum of ``bits + place`` is what each
    value must reach.

    Parameters
    ----------
    values
        Positive values of all cells end to end; shape ``(n_kept,)``.
    offsets
        Where each cell begins; shape ``(n_obs + 1,)``.

    Examples
    --------
    >>> strictly_falling(np.array([2, 1, 1, 5], np.float32), np.array([0, 3, 4])).tolist()
    [2.0, 1.0000001192092896, 1.0, 5.0]
    """
    steps = np.ascontiguousarray(values).view(np.int32).astype(np.int64) + np.arange(len(values))
    lengths = np.diff(offsets)
    apart = np.repeat(np.arange(len(lengths), 0, -1) * 2**33, lengths)
    reached = np.maximum.accumulate((steps + apart)[::-1])[::-1] - apart - np.arange(len(values))
    return reached.astype(np.int32).view(np.float32)


def _assemble(
    genes: NDArray[np.int32],
    offsets: NDArray[np.int64],
    values: NDArray[np.float32],
    vocabulary: Vocabulary,
) -> ad.AnnData:
    from anndata import AnnData

    expression = sp.csr_matrix(
        (np.array(values), np.array(genes), offsets), shape=(len(offsets) - 1, len(vocabulary))
    )
    expression.sort_indices()
    var = pd.DataFrame(index=pd.Index(vocabulary.names, dtype=object))
    if vocabulary.ids is not None:
        var["ensembl_id"] = list(vocabulary.ids)
    return AnnData(expression, var=var)


def _obs(obs: pd.DataFrame | None, n_obs: int) -> pd.DataFrame:
    if obs is None:
        return pd.DataFrame(index=pd.Index([str(cell) for cell in range(n_obs)], dtype=object))
    if len(obs) != n_obs:
        msg = f"There are {n_obs} sentences and {len(obs)} rows of obs."
        raise InputError(msg)
    return obs.copy()


def _record(curve: RankCurve, options: ReconstructOptions) -> dict[str, Any]:
    fitted_on = {name: str(told) for name, told in curve.fitted_on.items()}
    return {
        "values": "rank_curve",
        "unit": curve.unit,
        "rank_curve": curve.kind,
        "rank_curve_fitted_on": fitted_on,
        "may_be_negative": options.may_be_negative,
    }
