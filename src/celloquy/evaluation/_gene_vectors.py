"""Vectors of perturbed genes, and what can be predicted of a gene by those of others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from celloquy._runtime import rng_for
from celloquy.knowledge import has_table, read_table
from celloquy.learn._svd import right_singular_vectors
from celloquy.roles import TextSource, encode_genes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from celloquy.learn import CellBlock
    from celloquy.lm import LanguageModel

    Floats = NDArray[np.float64]

N_COMPONENTS = 20
PENALTIES = np.logspace(-2, 3, 11)
"""Ridge penalties that are tried, in units of the mean squared length of the vectors."""
HUMAN = "9606"


def coexpression_vectors(genes: Sequence[str], blocks: Sequence[CellBlock]) -> Floats:
    """Describe genes by how they go along with the main axes of cells of other studies.

    Each study gives Pearson's correlation of a gene's log values with the leading principal
    components; studies stand side by side.

    Parameters
    ----------
    genes
        Names of the genes.
    blocks
        Cells of each study.

    Returns
    -------
    Shape ``(n_genes, n_studies * 20)``; a study that lacks a gene, or has it in no cell, gives
    zeros, and a gene that no study has is NaN.
    """
    parts = []
    for block in blocks:
        values = block.log_values
        centre = np.asarray(values.mean(axis=0), dtype=np.float64).ravel()
        axes = right_singular_vectors(values, N_COMPONENTS, centre=centre).astype(np.float64)
        scores = np.asarray(values @ axes.T) - centre @ axes.T
        part = np.zeros((len(genes), len(axes)))
        for row, gene in enumerate(genes):
            column = block.vocabulary.positions.get(gene)
            if column is not None:
                part[row] = _correlations(values[:, [column]].toarray().ravel(), scores)
        parts.append(part)
    found = np.concatenate(parts, axis=1)
    found[~found.any(axis=1)] = np.nan
    return found


def _correlations(values: Floats, scores: Floats) -> Floats:
    """Correlate one column with several; zeros where one of them does not vary."""
    one, others = values - values.mean(), scores - scores.mean(axis=0)
    spread = np.linalg.norm(others, axis=0)
    spread[spread < 1e-4 * spread.max(initial=0)] = 0  # an axis that only rounding gives
    lengths = np.linalg.norm(one) * spread
    return np.asarray(np.divide(one @ others, lengths, out=0 * lengths, where=lengths > 0))


def text_vectors(
    genes: Sequence[str], lm: LanguageModel, *, summaries: bool, cache: bool = False
) -> Floats:
    """Embed what is said of genes: ``Gene <name>``, or the paragraph of NCBI RefSeq.

    Parameters
    ----------
    genes
        Names of the genes.
    lm
        A language model that gives vectors.
    summaries
        Whether paragraphs are read instead of names.
    cache
        Whether vectors are kept in the user's cache.

    Returns
    -------
    Shape ``(n_genes, d)``; NaN for a gene without a paragraph.
    """
    texts = gene_summaries(genes) if summaries else None
    if texts is not None and not texts:
        return np.full((len(genes), 1), np.nan)
    source = TextSource(lm=lm, cache=cache)
    return encode_genes(genes, gene_texts=texts, text=source).to_numpy(np.float64)


def gene_summaries(genes: Sequence[str]) -> dict[str, str]:
    """Give the paragraphs of human genes from the table ``summaries`` in the user's cache."""
    table = read_table("summaries")
    table = table[table["tax_id"].isin(["", HUMAN])]
    symbols = table["symbol"]
    if has_table("hgnc"):  # NCBI's own file names genes by number only
        known = read_table("hgnc").drop_duplicates("entrez_id").set_index("entrez_id")["symbol"]
        symbols = symbols.where(symbols != "", table["entrez_id"].map(known).fillna(""))
    said = dict(zip(symbols, table["summary"], strict=True))
    return {gene: said[gene] for gene in genes if said.get(gene, "")}


def shuffled_vectors(vectors: Floats, *, seed: int) -> Floats:
    """Give every gene that has a vector the vector of another one, drawn by seed."""
    known = np.flatnonzero(~np.isnan(vectors).any(axis=1))
    found = vectors.copy()
    found[known] = vectors[rng_for(seed, "vectors of genes").permutation(known)]
    return found


def mean_predictions(known: Floats, changes: Floats, asked: Floats) -> Floats:
    """Give every gene the mean change, whatever its vector.

    Parameters
    ----------
    known
        Not used: vectors of genes that are learnt from.
    changes
        Their changes; shape ``(n_known, n_values)``.
    asked
        Vectors of genes that are asked for; shape ``(n_asked, d)``.
    """
    del known
    return np.tile(changes.mean(axis=0), (len(asked), 1))


def ridge_predictions(known: Floats, changes: Floats, asked: Floats) -> Floats:
    """Predict changes of genes from their vectors by ridge regression.

    Vectors and changes are centred on their means over what is learnt from, so that a gene
    without a vector (NaN) gets the mean change, and a high penalty gives it to all. The penalty
    is chosen by leave-one-out error.

    Parameters
    ----------
    known
        Vectors of genes that are learnt from; shape ``(n_known, d)``.
    changes
        Their changes; shape ``(n_known, n_values)``.
    asked
        Vectors of genes that are asked for; shape ``(n_asked, d)``.

    Returns
    -------
    Shape ``(n_asked, n_values)``; all NaN with fewer than three genes to learn from.

    Notes
    -----
    Ahlmann-Eltze et al. (Nature Methods 2025) take the vectors from the training expression,
    which needs perturbed genes that are measured; here they come from elsewhere.
    """
    from sklearn.linear_model import RidgeCV

    has_vector = ~np.isnan(known).any(axis=1)
    if has_vector.sum() < 3:
        return np.full((len(asked), changes.shape[1]), np.nan)
    mean = changes.mean(axis=0)
    vectors, new = _centred(known[has_vector], asked)
    fitted = RidgeCV(alphas=PENALTIES, fit_intercept=False)
    fitted.fit(vectors, changes[has_vector] - mean)
    return np.asarray(mean + fitted.predict(new))


def nearest_predictions(known: Floats, changes: Floats, asked: Floats) -> Floats:
    """Give each gene the change of the gene whose vector is nearest by cosine.

    Parameters
    ----------
    known
        Vectors of genes that are learnt from; shape ``(n_known, d)``.
    changes
        Their changes; shape ``(n_known, n_values)``.
    asked
        Vectors of genes that are asked for; shape ``(n_asked, d)``.

    Returns
    -------
    Shape ``(n_asked, n_values)``; a gene without a vector gets the mean change. All NaN with
    fewer than three genes to learn from.
    """
    has_vector = ~np.isnan(known).any(axis=1)
    if has_vector.sum() < 3:
        return np.full((len(asked), changes.shape[1]), np.nan)
    vectors, new = _centred(known[has_vector], asked)
    lengths = np.maximum(np.linalg.norm(vectors, axis=1), 1e-12)
    nearest = (new @ (vectors / lengths[:, None]).T).argmax(axis=1)
    found = changes[has_vector][nearest]
    found[~new.any(axis=1)] = changes.mean(axis=0)
    return np.asarray(found)


def _centred(known: Floats, asked: Floats) -> tuple[Floats, Floats]:
    """Centre vectors on those learnt from, scaled to a mean squared length of 1; NaN gives 0."""
    centre = known.mean(axis=0)
    vectors = known - centre
    scale = np.sqrt((vectors**2).sum(axis=1).mean()) or 1.0
    return vectors / scale, np.nan_to_num(asked - centre) / scale
