"""Which representation and head a reference is fitted with, by name."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from celloquy._runtime import closest
from celloquy.errors import InputError
from celloquy.learn._bags import RankBag, TfidfBag
from celloquy.learn._compressed import Compressed
from celloquy.learn._fusion import Fusion, TextVectors
from celloquy.learn._knn import NearestNeighbours
from celloquy.learn._logistic import LogisticRegression
from celloquy.learn._mlp import NeuralNet
from celloquy.learn._model import Model
from celloquy.learn._specific import SpecificBag
from celloquy.learn._trees import BoostedTrees
from celloquy.learn._values import LogValues

if TYPE_CHECKING:
    from collections.abc import Callable

    from celloquy.learn._head import Head
    from celloquy.learn._representation import Representation


@dataclass(frozen=True)
class Recipe:
    """What a reference is fitted with.

    Raises
    ------
    InputError
        If a name is unknown, or a number is out of its range.
    """

    representation: str = "specific-bag"
    """One of: specific-bag, log, bag, tfidf, pca, bag-svd, tfidf-svd, text, fusion; or several
    joined by ``+``, each with a head of its own, whose probabilities are joined."""
    head: str = "logistic"
    """One of: logistic, knn, trees, mlp. knn, trees and mlp take compressed vectors."""
    n_top_genes: int = 200
    """Genes of a cell that the bags hold."""
    n_components: int = 50
    """Components that pca, the svd forms and distances use."""
    n_neighbours: int = 15
    """Cells that knn asks, and that distances are measured to."""
    inverse_penalty: float | None = None
    """Penalty of logistic; `None` takes the one measured for the representation."""
    n_markers: int | None = 200
    """Genes a label that logistic reads from log values; `None` reads all."""
    calibrate: bool = False
    """Whether probabilities are calibrated on held-out folds of the reference."""
    max_cells: int = 50_000
    """Cells that are fitted on at most, chosen evenly over labels."""
    seed: int = 0
    """Seed of everything that is drawn."""

    def __post_init__(self) -> None:
        named = [("representation", name, list(REPRESENTATIONS)) for name in self.members]
        for kind, name, known in [*named, ("head", self.head, list(HEADS))]:
            if name not in known:
                msg = f"There is no {kind} {name!r}{closest(name, known)}."
                raise InputError(msg, hint=f"choose one of: {', '.join(known)}.")
        sparse = [name for name in self.members if name in SPARSE]
        if self.head not in SPARSE_HEADS and sparse:
            msg = f"The head {self.head!r} takes compressed vectors, and {sparse[0]!r} "
            msg += "gives one number a gene."
            raise InputError(msg, hint=f"use {SPARSE[sparse[0]]!r} instead.")

    @property
    def members(self) -> list[str]:
        """Names of the representations."""
        return self.representation.split("+")

    def new_model(self) -> Model:
        """Make the unfitted representations, each with its unfitted head."""
        members = self.members
        return Model(
            [(REPRESENTATIONS[name](self), HEADS[self.head](self, name)) for name in members]
        )

    def new_space(self) -> Representation:
        """Make the unfitted dense representation that distances are measured in."""
        first = self.members[0]
        return REPRESENTATIONS[SPARSE.get(first, first)](self)

    def to_dict(self) -> dict[str, Any]:
        """Give the settings as JSON can hold them."""
        return asdict(self)


SPARSE = {"specific-bag": "pca", "log": "pca", "bag": "bag-svd", "tfidf": "tfidf-svd"}
"""Representations with one number a gene, and the dense one that stands for each."""
SPARSE_HEADS = {"logistic"}
"""Heads that take one number a gene."""
UNIT_PENALTY = 10.0
LOG_PENALTY = 0.1


def _pca(recipe: Recipe) -> Representation:
    return Compressed(LogValues(), n_components=recipe.n_components, centred=True, seed=recipe.seed)


def _svd(base: Representation, recipe: Recipe) -> Representation:
    return Compressed(base, n_components=recipe.n_components, seed=recipe.seed)


REPRESENTATIONS: dict[str, Callable[[Recipe], Representation]] = {
    "specific-bag": lambda recipe: SpecificBag(n_top_genes=recipe.n_top_genes),
    "log": lambda recipe: LogValues(),
    "bag": lambda recipe: RankBag(n_top_genes=recipe.n_top_genes),
    "tfidf": lambda recipe: TfidfBag(n_top_genes=recipe.n_top_genes),
    "pca": _pca,
    "bag-svd": lambda recipe: _svd(RankBag(n_top_genes=recipe.n_top_genes), recipe),
    "tfidf-svd": lambda recipe: _svd(TfidfBag(n_top_genes=recipe.n_top_genes), recipe),
    "text": lambda recipe: TextVectors(),
    "fusion": lambda recipe: Fusion([TextVectors(), _pca(recipe)]),
}


def _logistic(recipe: Recipe, representation: str) -> Head:
    usual = LOG_PENALTY if representation in {"log", "pca"} else UNIT_PENALTY
    return LogisticRegression(
        inverse_penalty=recipe.inverse_penalty or usual,
        n_markers=recipe.n_markers if representation == "log" else None,
    )


HEADS: dict[str, Callable[[Recipe, str], Head]] = {
    "logistic": _logistic,
    "knn": lambda recipe, _: NearestNeighbours(n_neighbours=recipe.n_neighbours),
    "trees": lambda recipe, _: BoostedTrees(seed=recipe.seed),
    "mlp": lambda recipe, _: NeuralNet(seed=recipe.seed),
}
