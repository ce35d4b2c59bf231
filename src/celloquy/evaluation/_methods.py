"""Every method of a suite by name: what makes it, and what it reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from celloquy.evaluation._baselines import (
    MajorityClass,
    NearestCentroid,
    StandardisedLogistic,
    plain_logistic,
)
from celloquy.learn import NearestNeighbours, Recipe, TextVectors
from celloquy.learn._model import Model

if TYPE_CHECKING:
    from collections.abc import Callable

    from celloquy.evaluation._baselines import Annotator

Role = Literal["default", "baseline", "other", "language model", "control", "ceiling"]
Scramble = Literal["", "order", "names"]


@dataclass(frozen=True)
class Method:
    """One row of a suite's table."""

    name: str
    """Name in files; of a language model's method, with the model."""
    representation: str
    """What the head reads, in words; without a head, the title."""
    head: str
    """What learns labels from it, in words; may be empty."""
    role: Role
    """Baselines are what others have for free; controls are what should do worse; a ceiling is
    as good as real cells are."""
    make: Callable[[], Annotator] | None = None
    """Makes the unfitted method; of labels, `None` asks a language model, which learns nothing."""
    lm: str = ""
    """Language model that reads the cells; empty for none."""
    scramble: Scramble = ""
    """What is destroyed before the language model reads: the order of genes, or their names."""

    @property
    def title(self) -> str:
        """Representation and head."""
        return f"{self.representation}, {self.head}" if self.head else self.representation


def _recipe(
    representation: str, head: str = "logistic", **settings: int | None
) -> Callable[[], Annotator]:
    return lambda: Recipe(representation=representation, head=head, **settings).new_model()  # type: ignore[arg-type]


def _nearest() -> Annotator:
    return Model([(TextVectors(), NearestNeighbours(n_neighbours=1, metric="cosine"))])


_LOGISTIC = "logistic regression"
_TABLE: dict[str, tuple[str, str, Role, Callable[[], Annotator]]] = {
    "default": ("bag of specific genes", f"{_LOGISTIC} (default of annotate)", "default",
                lambda: Recipe().new_model()),
    "majority": ("majority class", "", "baseline", MajorityClass),
    "centroid": ("log counts", "nearest centroid", "baseline", NearestCentroid),
    "pca-knn": ("PCA 50", "15-NN", "baseline", _recipe("pca", "knn")),
    "logistic": ("log counts", _LOGISTIC, "baseline", plain_logistic),
    "celltypist": ("standardised log counts", f"{_LOGISTIC} (CellTypist-style)", "baseline",
                   StandardisedLogistic),
    "tfidf-knn": ("same sentences, TF-IDF + SVD", "15-NN", "baseline", _recipe("tfidf-svd", "knn")),
    "tfidf": ("same sentences, TF-IDF", _LOGISTIC, "baseline", _recipe("tfidf")),
    "balanced": ("log counts", f"balanced {_LOGISTIC}", "other", _recipe("log", n_markers=None)),
    "markers": ("log counts of 200 markers a label", f"balanced {_LOGISTIC}", "other",
                _recipe("log")),
    "bag": ("ranked bag", f"balanced {_LOGISTIC}", "other", _recipe("bag")),
    "bag-knn": ("ranked bag, SVD 50", "15-NN", "other", _recipe("bag-svd", "knn")),
    "pca": ("PCA 50", f"balanced {_LOGISTIC}", "other", _recipe("pca")),
    "pca-mlp": ("PCA 50", "neural net", "other", _recipe("pca", "mlp")),
    "pca-trees": ("PCA 50", "boosted trees", "other", _recipe("pca", "trees")),
}  # fmt: skip
METHODS_WITHOUT_LM = tuple(_TABLE)
"""Names of the methods that need no language model."""

_OF_LM: dict[str, tuple[str, str, Role, Callable[[], Annotator], Scramble]] = {
    "1-nn": ("{lm}", "1-NN (CELLama's flow)", "language model", _nearest, ""),
    "knn": ("{lm}", "15-NN", "language model", _recipe("text", "knn"), ""),
    "logistic": ("{lm}", _LOGISTIC, "language model", _recipe("text"), ""),
    "mlp": ("{lm}", "neural net", "language model", _recipe("text", "mlp"), ""),
    "fusion": ("{lm} with PCA", _LOGISTIC, "language model", _recipe("fusion"), ""),
    "with-default": ("{lm} with the default", _LOGISTIC, "language model",
                     _recipe("specific-bag+text"), ""),
    "shuffled": ("{lm}, genes in any order", _LOGISTIC, "control", _recipe("text"), "order"),
    "renamed": ("{lm}, names of other genes", _LOGISTIC, "control", _recipe("text"), "names"),
}  # fmt: skip
HEADS_OF_LM = tuple(_OF_LM)
"""Names of what is done with the vectors of a language model."""
ASKED = "asked"


def method_named(name: str) -> Method:
    """Make the method of a name of :data:`METHODS_WITHOUT_LM`.

    Examples
    --------
    >>> method_named("pca-knn").title
    'PCA 50, 15-NN'
    """
    representation, head, role, make = _TABLE[name]
    return Method(name, representation, head, role, make)


def methods_of_lm(lm: str, names: tuple[str, ...]) -> list[Method]:
    """Make the methods that read cells through one language model.

    Parameters
    ----------
    lm
        What :func:`celloquy.load_lm` takes.
    names
        Names of :data:`HEADS_OF_LM`.

    Examples
    --------
    >>> [method.title for method in methods_of_lm("st:minilm", ("1-nn", "shuffled"))]
    ["MiniLM, 1-NN (CELLama's flow)", 'MiniLM, genes in any order, logistic regression']
    """
    made = []
    for name in names:
        representation, head, role, make, scramble = _OF_LM[name]
        shown = representation.format(lm=lm_title(lm))
        made.append(Method(f"{lm} {name}", shown, head, role, make, lm, scramble))
    return made


def method_that_asks(lm: str) -> Method:
    """Make the method that asks a language model for the label, without examples."""
    return Method(f"{lm} {ASKED}", lm_title(lm), "asked, no reference", "language model", None, lm)


def lm_title(lm: str) -> str:
    """Name a language model in tables: a folder by its last part."""
    if lm == "st:minilm":
        return "MiniLM"
    return lm.partition("@")[0].rstrip("/").rpartition("/")[2] if "/" in lm else lm
