"""Cells read by a language model: ranked, written as sentences, embedded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from celloquy.lm import HFModel, embed_texts, load_lm
from celloquy.text import field_text, get_style

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from celloquy.learn import CellBlock, Recipe
    from celloquy.lm import LanguageModel, Pooling
    from celloquy.text import Prompt, RankedCells, Style

READ_BY_LM = ("text", "fusion")
"""Representations that need a language model to read the cells."""


@dataclass(frozen=True)
class TextSource:
    """How a language model reads cells."""

    lm: str | LanguageModel = "st:minilm"
    """A loaded language model that gives vectors, or what :func:`celloquy.load_lm` takes."""
    n_top_genes: int = 30
    """The most genes of a cell that are named; what does not fit into the model's tokens is
    cut from the end and counted."""
    style: str | Style = "cellama"
    """How a ranked cell becomes words. The default measured best for neighbours and level
    with others for linear heads (docs/benchmarks/encoding.md)."""
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

    def reader(self) -> SentenceReader:
        """Load the language model."""
        lm = self.lm
        if isinstance(lm, str):
            lm = load_lm(
                lm, device=self.device, precision=self.precision,
                allow_download=self.allow_download,
            )  # fmt: skip
        return SentenceReader(lm, self)

    def to_dict(self) -> dict[str, Any]:
        """Give the settings as plain values."""
        style = get_style(self.style)
        return {
            "n_top_genes": self.n_top_genes,
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
        self.style = get_style(source.style)

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
        return record

    def embed(
        self, ranked: RankedCells, *, obs: pd.DataFrame | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Embed ranked cells, shape ``(n_obs, d)``, and count the genes that did not fit."""
        column = self.source.text_column
        if column is not None and obs is not None:
            prompts: Sequence[Prompt | str] = [field_text(text) for text in obs[column]]
        else:
            features = self.source.obs_features
            prompts = self.style.prompts(ranked, obs=obs, obs_features=features)
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
        ranked = block.top(self.source.n_top_genes)
        vectors, _ = self.embed(ranked, obs=obs)
        return replace(block, text=vectors)


def needs_text(recipe: Recipe) -> bool:
    """Say whether a reference of this recipe reads cells through a language model."""
    return any(member in READ_BY_LM for member in recipe.members)
