"""Cells read by a language model: ranked, written as sentences, embedded."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from celloquy.lm import Decoder, HFModel, default_lm, embed_texts, load_lm
from celloquy.roles._asking import record_of_reading, told_where
from celloquy.roles._taught import reading_of
from celloquy.text import GeneOptions, Vocabulary, field_text, get_style, rank_cells
from celloquy.text._gene_choice import rank_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from celloquy.checks import Kind
    from celloquy.learn import CellBlock, Recipe
    from celloquy.lm import LanguageModel, Pooling
    from celloquy.lm._protocol import Embedder
    from celloquy.text import Prompt, RankedCells, Style

READ_BY_LM = ("text", "fusion")
"""Representations that need a language model to read the cells."""
MINILM = "st:minilm"
"""The sentence encoder that reads words where nobody names a model."""
ENCODE_GENES, ENCODE_STYLE = 30, "cellama"
"""Genes and style of a cell where neither the user nor the model says it."""


@dataclass(frozen=True)
class TextSource:
    """How a language model reads cells."""

    lm: str | LanguageModel | None = None
    """A loaded language model that gives vectors, or what :func:`celloquy.load_lm` takes. `None`
    takes celloquy-mini, which reads genes, and MiniLM where words are read, too: with a `style`,
    `obs_features`, a `text_column`, or texts of genes."""
    n_top_genes: int | None = None
    """The most genes of a cell that are named; what does not fit into the model's tokens is
    cut from the end and counted. `None` takes what the model was taught, else 30."""
    style: str | Style | None = None
    """How a ranked cell becomes words. `None` takes the model's own, else ``"cellama"``, which
    measured best for neighbours and level with others for linear heads
    (docs/benchmarks/encoding.md)."""
    obs_features: tuple[str, ...] = ()
    """Columns of obs that are written before the genes and never cut."""
    text_column: str | None = None
    """Column of obs that holds each cell's text already; it is read as it is, instead of a
    sentence, and refused where it does not fit."""
    precision: str = "fp32"
    """``"fp32"``, or ``"bf16"`` (faster where the processor has it)."""
    device: str = "auto"
    """``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``."""
    pooling: Pooling | None = None
    """How token vectors become one: ``"mean"``, ``"last"``, ``"max"``, ``"cls"``, and of a decoder
    ``"genes"``; `None` takes the model's own."""
    layer: int | None = None
    """Layer to take token vectors from, 0 = the input; `None` takes the model's own output."""
    cache: bool = False
    """Whether vectors are kept in the user's cache folder and taken from there: keys are hashes
    of token ids, so no gene or cell can be read from it."""
    allow_download: bool = False
    """Whether a model of a hub that is not on this machine may be fetched."""

    def reader(self, *, words: bool = False) -> SentenceReader:
        """Load the language model.

        Parameters
        ----------
        words
            Whether it is to read words rather than the genes of cells.
        """
        lm = self.lm
        if lm is None:
            words = words or bool(self.style or self.obs_features or self.text_column)
            lm = MINILM if words else default_lm()
        if isinstance(lm, str):
            lm = load_lm(
                lm, device=self.device, precision=self.precision,
                allow_download=self.allow_download,
            )  # fmt: skip
        return SentenceReader(lm, self.as_taught(lm))

    def as_taught(self, lm: LanguageModel) -> TextSource:
        """Take the model's settings where nothing is said.

        Parameters
        ----------
        lm
            The loaded model.
        """
        reading = reading_of(lm)
        if reading is None:
            return replace(
                self,
                n_top_genes=self.n_top_genes or ENCODE_GENES,
                style=self.style or ENCODE_STYLE,
            )
        own = reading.embedding
        pooling = own.get("pooling", "genes" if isinstance(lm, Decoder) else None)
        fewest, most = reading.n_genes
        if self.n_top_genes is not None and not fewest <= self.n_top_genes <= most:
            said = f"'{lm.name}' was taught otherwise: it is asked with `n_top_genes="
            warnings.warn(f"{said}{self.n_top_genes}` and not {most}.", stacklevel=4)
        return replace(
            self,
            n_top_genes=self.n_top_genes or reading.n_top_genes,
            style=self.style or own.get("style", "celloquy"),
            pooling=self.pooling or pooling,
            layer=own.get("layer") if self.layer is None else self.layer,
        )

    def to_dict(self) -> dict[str, Any]:
        """Give the settings as plain values."""
        style = get_style(self.style or ENCODE_STYLE)
        return {
            "n_top_genes": self.n_top_genes or ENCODE_GENES,
            "style": style.template or style.name,
            "obs_features": list(self.obs_features),
            **({} if self.text_column is None else {"text_column": self.text_column}),
            "precision": self.precision,
            **({} if self.pooling is None else {"pooling": self.pooling}),
            **({} if self.layer is None else {"layer": self.layer}),
        }


class SentenceReader:
    """A language model that reads cells.

    Parameters
    ----------
    lm
        The loaded language model.
    source
        How cells are written for it.
    """

    def __init__(self, lm: LanguageModel, source: TextSource) -> None:
        self.lm = lm
        self.source = source
        self.style = get_style(source.style or ENCODE_STYLE)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of obs that sentences need."""
        if self.source.text_column is not None:
            return (self.source.text_column,)
        return self.style.columns(self.source.obs_features)

    def record(self) -> dict[str, Any]:
        """Say which model reads and how, in plain values."""
        record = {"lm": self.lm.name, "revision": self.lm.revision, **self.source.to_dict()}
        record["precision"] = self.lm.precision
        if isinstance(self.lm, HFModel):
            record["pooling"] = self.source.pooling or self.lm.default_pooling
            record["prompt_format"] = self.lm.format.name
        return record | record_of_reading(self.lm)

    def embed(
        self, ranked: RankedCells, *, obs: pd.DataFrame | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Embed ranked cells, shape ``(n_obs, d)``, and count the genes that did not fit.

        A cell that names no gene has nothing to read, and gets zeros.

        Raises
        ------
        InputError
            If a cell cannot be embedded; it is named where `obs` names it.
        """
        names = [] if obs is None else [str(name) for name in obs.index]
        column = self.source.text_column
        if column is not None and obs is not None:
            return self._read([field_text(text) for text in obs[column]], names)
        prompts = self.style.prompts(ranked, obs=obs, obs_features=self.source.obs_features)
        rows = np.flatnonzero(self.has_genes(ranked))
        if len(rows) == len(prompts):
            return self._read(prompts, names)
        n_dimensions = cast("Embedder", self.lm).n_dimensions(layer=self.source.layer)
        vectors = np.zeros((len(prompts), n_dimensions), dtype=np.float32)
        n_cut = np.zeros(len(prompts), dtype=np.int32)
        if len(rows):
            some = [names[row] for row in rows] if names else names
            vectors[rows], n_cut[rows] = self._read([prompts[row] for row in rows], some)
        return vectors, n_cut

    def has_genes(self, ranked: RankedCells) -> NDArray[np.bool_]:
        """Say which cells show something to read; shape ``(n_obs,)``."""
        return (ranked.lengths > 0) | (self.source.text_column is not None)

    def _read(
        self, prompts: Sequence[Prompt | str], names: Sequence[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Embed prompts; a failure tells the cell by its name."""
        with told_where(names):
            embedded = embed_texts(
                self.lm,
                prompts,
                pooling=self.source.pooling,
                layer=self.source.layer,
                cache=self.source.cache,
            )
        return embedded.vectors, embedded.plan.n_names_cut

    def read(self, block: CellBlock, *, obs: pd.DataFrame | None = None) -> CellBlock:
        """Give the block its text vectors."""
        vectors, _ = self.embed(self.rank(block), obs=obs)
        return replace(block, text=vectors)

    def rank(self, block: CellBlock) -> RankedCells:
        """Rank a block's cells as the model was taught to read them."""
        n_top_genes = self.source.n_top_genes or ENCODE_GENES
        reading = reading_of(self.lm)
        if reading is None:
            return block.top(n_top_genes)
        options = GeneOptions(rank_by=reading.rank_by, known=reading.known)
        if reading.known is None:
            vocabulary, columns = block.vocabulary, None
        else:
            genes = reading.known.map(block.vocabulary.names)
            vocabulary, columns = Vocabulary(genes.names, genes.ids), genes.columns
        return rank_cells(
            block.expression, vocabulary, columns=columns,
            options=rank_options(options, vocabulary, n_top_genes, kind=cast("Kind", block.kind)),
        )  # fmt: skip


def tell_without_genes(has_genes: NDArray[np.bool_], names: pd.Index[Any]) -> int:
    """Warn of cells that named no gene, and count them.

    Parameters
    ----------
    has_genes
        Which cells named one; shape ``(n_obs,)``.
    names
        Names of the cells; length ``n_obs``.
    """
    bare = np.flatnonzero(~has_genes)
    if len(bare):
        verb, vectors = (
            ("names", "its vector is") if len(bare) == 1 else ("name", "their vectors are")
        )
        said = f"{len(bare):,} of {len(has_genes):,} cells {verb} no gene that is read, such as "
        warnings.warn(f"{said}{str(names[bare[0]])!r}; {vectors} zeros.", stacklevel=3)
    return len(bare)


def needs_text(recipe: Recipe) -> bool:
    """Say whether a reference of this recipe reads cells through a language model."""
    return any(member in READ_BY_LM for member in recipe.members)
