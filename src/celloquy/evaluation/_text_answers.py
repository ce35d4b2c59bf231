"""One answer in words, judged by the ontology and by marker genes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias

from celloquy.evaluation._text_names import find_genes, type_names
from celloquy.knowledge import marker_panel
from celloquy.roles._reconcile import plain_name

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from celloquy.evaluation._ontology import CellOntology
    from celloquy.evaluation._text_names import TypeNames

Verdict: TypeAlias = Literal["right", "parent", "child", "hedged", "wrong", "none"]
VERDICTS: tuple[Verdict, ...] = ("right", "parent", "child", "hedged", "wrong", "none")


@dataclass(frozen=True)
class ReadAnswer:
    """What an answer says, whatever is true."""

    types: tuple[str, ...]
    """Types that it names and does not deny: ids of terms, or plain names."""
    genes: tuple[str, ...]
    """Known genes that it names and does not deny."""
    denied_genes: tuple[str, ...]
    """Known genes that it denies, or of which it cannot be said."""
    strange: tuple[str, ...]
    """Words that read like genes and are none of the known ones."""


@dataclass(frozen=True)
class JudgedAnswer:
    """An answer beside the truth."""

    verdict: Verdict
    """``"right"``: it names the true type, and beside it at most types above it; ``"parent"``:
    only types above it; ``"child"``: a type below it and no other; ``"hedged"``: a type of
    these and another one too; ``"wrong"``: only others; ``"none"``: no type."""
    read: ReadAnswer
    """What it says."""
    markers: tuple[str, ...] | None
    """Named genes that are markers of the true type; `None` where the panel knows none."""
    expressed: tuple[str, ...] | None
    """Named genes that the cell expresses; `None` where that is not known."""


def judge_answer(
    answer: str,
    truth: str,
    *,
    expressed: Collection[str] | None = None,
    genes: Collection[str] | None = None,
    ontology: CellOntology | None = None,
) -> JudgedAnswer:
    """Judge one answer in words by the cell types and the genes that it names.

    Parameters
    ----------
    answer
        What was answered.
    truth
        The true cell type.
    expressed
        Genes that the cell expresses; `None` does not ask.
    genes
        Every measured gene; `None` knows the marker panel's.
    ontology
        Terms, with synonyms and parents; without them only the type's own name is right.

    Returns
    -------
    The verdict, the genes that it names, and which of them hold.

    Examples
    --------
    >>> told = "A B cell, since CD79A and MS4A1 are high; it is no T cell and lacks CD3E."
    >>> judged = judge_answer(told, "B cell", expressed={"CD79A", "LYZ"})
    >>> judged.verdict, judged.read.genes, judged.markers, judged.expressed
    ('right', ('CD79A', 'MS4A1'), ('CD79A', 'MS4A1'), ('CD79A',))
    >>> judged.read.denied_genes
    ('CD3E',)
    """
    known = frozenset(genes if genes is not None else marker_panel()["gene"])
    names = type_names([truth], ontology=ontology)
    read = read_answer(answer, names, genes=known, labels=[truth])
    markers = markers_of(truth, ontology)
    return JudgedAnswer(
        verdict_of(read.types, names.meaning(truth), ontology),
        read,
        tuple(one for one in read.genes if one in markers) if markers else None,
        None if expressed is None else tuple(one for one in read.genes if one in expressed),
    )


def read_answer(
    answer: str, names: TypeNames, *, genes: Collection[str], labels: Sequence[str]
) -> ReadAnswer:
    """Read what an answer says: its types, and its genes; an answer that is a label is that.

    Parameters
    ----------
    answer
        What was answered.
    names
        Names of types to look for.
    genes
        Known genes.
    labels
        The true labels: an answer of nothing else, such as "B", is read whole.
    """
    whole = plain_name(answer.strip().rstrip("."))
    for label in labels:
        if plain_name(label) == whole:
            return ReadAnswer((names.meaning(label),), (), (), ())
    types = names.find(answer)
    found, strange = find_genes(answer, genes, types=types)
    return ReadAnswer(
        tuple(dict.fromkeys(one.name for one in types if one.denied is False)),
        tuple(one.name for one in found if one.denied is False),
        tuple(one.name for one in found if one.denied is not False),
        tuple(strange),
    )


def verdict_of(types: Sequence[str], truth: str, ontology: CellOntology | None) -> Verdict:
    """Say how the named types stand to the true one.

    Examples
    --------
    >>> [verdict_of(types, "b cell", None) for types in (("b cell",), ("b cell", "t cell"), ())]
    ['right', 'hedged', 'none']
    """
    if not types:
        return "none"
    kinds = {_relation(one, truth, ontology) for one in types}
    if kinds == {"other"}:
        return "wrong"
    if "other" in kinds:
        return "hedged"
    if "child" in kinds:
        return "child"
    return "right" if "same" in kinds else "parent"


def _relation(told: str, truth: str, ontology: CellOntology | None) -> str:
    if told == truth:
        return "same"
    if ontology is None or truth not in ontology.labels or told not in ontology.labels:
        return "other"
    return ontology.relation(truth, told)


def markers_of(truth: str, ontology: CellOntology | None) -> frozenset[str]:
    """Give the panel's markers of a type and of the types above it.

    Where the panel has none of those, as of "dendritic cell", markers of the types below count.

    Parameters
    ----------
    truth
        A cell type.
    ontology
        Terms; `None` finds a type of the panel by its name only.

    Examples
    --------
    >>> sorted(markers_of("B cells", None))
    ['BANK1', 'CD19', 'CD79A', 'CD79B', 'MS4A1']
    """
    term = ontology.find(truth) if ontology else None
    if ontology is None or term is None:
        return _markers(plain_name(truth), frozenset())
    found = _markers(plain_name(truth), frozenset(ontology.above(term.cl_id)))
    if found:
        return found
    below = {one for one in marker_panel()["cl_id"] if term.cl_id in ontology.above(one)}
    return _markers(plain_name(truth), frozenset(below))


@lru_cache(maxsize=4096)
def _markers(name: str, ids: frozenset[str]) -> frozenset[str]:
    panel = marker_panel()
    fits = panel["cl_id"].isin(ids) | (panel["cell_type"].map(plain_name) == name)
    return frozenset(panel.loc[fits, "gene"])
