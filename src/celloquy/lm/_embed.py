"""Texts to vectors, with what was computed before taken from a store."""

from __future__ import annotations

import sqlite3
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from celloquy._runtime import cache_folder
from celloquy.lm._offers import refuse_verb
from celloquy.lm._protocol import PromptPlan
from celloquy.lm._store import VectorStore, vector_key
from celloquy.text import Names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from celloquy.lm._protocol import Embedder, LanguageModel, Pooling, TooLong
    from celloquy.text import Prompt

STORE_NAME = "embeddings.sqlite"
BLOCK = 2_048
"""Texts after which what was computed is stored, so that a killed run continues."""


@dataclass(frozen=True, eq=False)
class EmbeddedTexts:
    """Vectors of texts, and how they came about."""

    vectors: NDArray[np.float32]
    """One vector a text, in the order given; shape ``(n, d)``."""
    plan: PromptPlan
    """The texts as they were read, and what was cut of them."""
    n_computed: int
    """Distinct texts that were run through the model."""
    n_stored: int
    """Distinct texts whose vectors were there already."""


def embed_texts(
    lm: LanguageModel,
    prompts: Sequence[Prompt | str] | PromptPlan,
    *,
    pooling: Pooling | None = None,
    layer: int | None = None,
    too_long: TooLong = "refuse",
    cache: bool | Path = True,
) -> EmbeddedTexts:
    """Give one vector a text; what was computed before is looked up.

    A stored vector is used only for the same token ids, weights, settings, precision, pooling
    and layer.

    Parameters
    ----------
    lm
        A language model that embeds (:func:`celloquy.lm.load_lm`).
    prompts
        Prompts as segments, plain texts, or a plan of them; length ``n``.
    pooling, layer, too_long
        As for the model's own `embed`.
    cache
        Whether to use the store in the user's cache folder, or a store's path.

    Returns
    -------
    The vectors, the plan with what was cut, and how many texts were computed.

    Raises
    ------
    InputError
        If the model gives no vectors.

    Examples
    --------
    >>> from celloquy.lm import load_lm
    >>> lm = load_lm("st:minilm", device="cpu")
    >>> embedded = embed_texts(lm, ["CD3E IL7R", "MS4A1", "CD3E IL7R"], cache=False)
    >>> embedded.vectors.shape, embedded.n_computed
    ((3, 384), 2)
    """
    if "embed" not in lm.capabilities:
        refuse_verb(lm.name, "embed")
    embedder = cast("Embedder", lm)
    pooling = pooling or embedder.default_pooling
    plan = prompts if isinstance(prompts, PromptPlan) else lm.plan(prompts, too_long=too_long)
    recipe = "\n".join([lm.revision, lm.precision, pooling, str(layer), str(lm.max_tokens)])
    keys = _keys(recipe, plan, pooling)
    rows = {key: row for row, key in enumerate(keys)}
    n_dimensions = embedder.n_dimensions(layer=layer)
    with _Shelf(cache) as shelf:
        known = shelf.find(list(rows), n_dimensions)
        todo = [key for key in rows if key not in known]
        n_stored = len(known)
        for start in range(0, len(todo), BLOCK):
            block = todo[start : start + BLOCK]
            part = plan.take([rows[key] for key in block])
            vectors = lm.embed(part, pooling=pooling, layer=layer)
            known.update(zip(block, vectors, strict=True))
            shelf.add(block, vectors)
    together = np.empty((len(keys), n_dimensions), dtype=np.float32)
    for row, key in enumerate(keys):
        together[row] = known[key]
    return EmbeddedTexts(together, plan, len(todo), n_stored)


def _keys(recipe: str, plan: PromptPlan, pooling: Pooling) -> list[bytes]:
    """Give each text its key; where genes are pooled, it also says where they stand."""
    if pooling != "genes":
        return [vector_key(recipe, ids) for ids in plan.ids]
    places = [
        ",".join(str(segment.text) if isinstance(segment, Names) else "" for segment in prompt)
        for prompt in plan.prompts
    ]
    return [vector_key(f"{recipe}\n{p}", ids) for p, ids in zip(places, plan.ids, strict=True)]


def _own_store() -> Path:
    """Give the store in the user's cache folder."""
    return cache_folder() / STORE_NAME


class _Shelf:
    """A store that may be missing: what it cannot do is said once, and the work goes on."""

    def __init__(self, cache: bool | Path) -> None:  # noqa: FBT001 — the user's own option
        self._store: VectorStore | None = None
        if cache is not False:
            path = _own_store() if cache is True else cache
            with self._going_on():
                self._store = VectorStore(path)

    def __enter__(self) -> _Shelf:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._store is not None:
            self._store.close()

    def find(self, keys: Sequence[bytes], n_dimensions: int) -> dict[bytes, NDArray[np.float32]]:
        """Give the vectors that are known."""
        with self._going_on():
            if self._store is not None:
                return self._store.find(keys, n_dimensions)
        return {}

    def add(self, keys: Sequence[bytes], vectors: NDArray[np.float32]) -> None:
        """Keep vectors for the next time."""
        with self._going_on():
            if self._store is not None:
                self._store.add(keys, vectors)

    @contextmanager
    def _going_on(self) -> Iterator[None]:
        """Go on without the store if it fails; one that is broken is made anew next time."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            store, self._store = self._store, None
            if store is not None:
                store.close(is_broken=not isinstance(error, sqlite3.OperationalError))
            warnings.warn(
                f"Embeddings are not kept for the next time: {error}. "
                "`cache=False` does without; `cache=path` keeps them elsewhere.",
                stacklevel=5,
            )
