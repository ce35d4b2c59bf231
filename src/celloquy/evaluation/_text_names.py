"""Cell types and genes that a text names, and where."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from celloquy.knowledge import marker_panel
from celloquy.roles._reconcile import plain_name
from celloquy.tasks._negation import is_denied

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from celloquy.evaluation._ontology import CellOntology

_WORD = re.compile(r"[^\W_]+|\+|,|[.;:!?\n]")
_GENE = re.compile(r"(?<![\w-])[A-Za-z][A-Za-z0-9]*(?:[-.][A-Za-z0-9]+)*(?![\w-])")
_LIKE_GENE = re.compile(r"(?=.*\d)[A-Z][A-Z0-9]{1,9}(?:-[A-Z0-9]+)?")
"""What reads like a gene symbol: capitals with a digit."""
_CELL = "CL:0000000"
_LONGEST = 30
"""The most words of a name that are looked at."""


@dataclass(frozen=True)
class Mention:
    """A name in a text."""

    name: str
    """Id of a type where an ontology knows it, else its plain name; or the gene."""
    start: int
    """Where it begins."""
    stop: int
    """Where it has ended."""
    denied: bool | None
    """Whether the text denies it; `None` where that cannot be said."""


@dataclass(frozen=True, eq=False)
class TypeNames:
    """Every name of a cell type that is looked for, by its words."""

    by_first: dict[str, list[tuple[tuple[str, ...], str]]]
    """Names that begin with a word, longest first, and the type that each means."""
    ontology: CellOntology | None
    """What gives names their meaning; without it a name is itself."""

    def meaning(self, label: str) -> str:
        """Give what a label means: the id of its term, else its plain name."""
        term = self.ontology.find(label) if self.ontology else None
        return term.cl_id if term else plain_name(label)

    def find(self, text: str) -> list[Mention]:
        """Find the types that a text names; of overlapping names the longest counts."""
        words = list(_words(text))
        found: list[Mention] = []
        i = 0
        while i < len(words):
            length, name = self._at(words, i)
            if length:
                start, stop = words[i][1], words[i + length - 1][2]
                found.append(Mention(name, start, stop, is_denied(text, start, stop)))
            i += max(length, 1)
        return found

    def _at(self, words: list[tuple[str, int, int]], i: int) -> tuple[int, str]:
        for name, meaning in self.by_first.get(words[i][0], ()):
            if tuple(word for word, _, _ in words[i : i + len(name)]) == name:
                return len(name), meaning
        return 0, ""


def type_names(labels: Iterable[str], *, ontology: CellOntology | None) -> TypeNames:
    """Gather the names to look for: of the labels, the marker panel and the ontology.

    A name of one letter is none: "B" is looked for as "B cell".

    Parameters
    ----------
    labels
        The true labels.
    ontology
        Terms, with synonyms; `None` knows the labels and the panel's types only.
    """
    bare = TypeNames({}, ontology)
    meanings: dict[tuple[str, ...], str] = {}
    for label in (*labels, *marker_panel()["cell_type"].unique()):
        for form in (label, f"{label} cell"):
            for words in _forms(form):
                meanings.setdefault(words, bare.meaning(label))
    for name, cl_id in _terms(ontology):
        for words in _forms(name):
            meanings.setdefault(words, cl_id)
    by_first: dict[str, list[tuple[tuple[str, ...], str]]] = defaultdict(list)
    for words, meaning in meanings.items():
        if sum(map(len, words)) > 1 and words != ("cell",) and len(words) <= _LONGEST:
            by_first[words[0]].append((words, meaning))
    for names in by_first.values():
        names.sort(key=lambda one: (-len(one[0]), one))
    return TypeNames(dict(by_first), ontology)


def _terms(ontology: CellOntology | None) -> Iterator[tuple[str, str]]:
    """Give every name of every term but "cell", the surest first."""
    if ontology is None:
        return
    for table in (ontology.by_name, ontology.aliases, ontology.by_synonym):
        yield from ((name, cl_id) for name, cl_id in table.items() if cl_id != _CELL)
    yield from ((label, cl_id) for cl_id, label in ontology.labels.items() if cl_id != _CELL)


def _forms(name: str) -> Iterator[tuple[str, ...]]:
    """Give the words of a name, with its commas and without."""
    words = tuple(word for word, _, _ in _words(name))
    yield words
    yield tuple(word for word in words if word != ",")


def _words(text: str) -> Iterator[tuple[str, int, int]]:
    """Give plain words and where they stand; ``+`` reads "positive"."""
    for match in _WORD.finditer(text):
        word = "positive" if match[0] == "+" else plain_name(match[0])
        yield word, match.start(), match.end()


def find_genes(
    text: str, genes: Collection[str], *, types: Iterable[Mention] = ()
) -> tuple[list[Mention], list[str]]:
    """Find the genes that a text names, and words that read like genes and are none.

    Capitals matter. What stands inside the name of a cell type ("CD4" of "CD4 T cell") is no
    gene of its own.

    Parameters
    ----------
    text
        The answer.
    genes
        Known genes.
    types
        Cell types that the text names.

    Returns
    -------
    The genes, each once, and the other words, each once.

    Examples
    --------
    >>> found, strange = find_genes("CD3E is high, MS4A1 is not, XYZ9?", {"CD3E", "MS4A1"})
    >>> [gene.name for gene in found], strange
    (['CD3E', 'MS4A1'], ['XYZ9'])
    """
    taken = [(one.start, one.stop) for one in types]
    found: dict[str, Mention] = {}
    strange: dict[str, None] = {}
    for match in _GENE.finditer(text):
        start, stop = match.span()
        if any(begin < stop and start < end for begin, end in taken):
            continue
        if match[0] in genes:
            denied = is_denied(text, start, stop)
            found.setdefault(match[0], Mention(match[0], start, stop, denied))
        elif _LIKE_GENE.fullmatch(match[0]):
            strange[match[0]] = None
    return list(found.values()), list(strange)
