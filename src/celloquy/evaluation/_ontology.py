"""Cell types as terms of the Cell Ontology: which is which, which lies above which, how far."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Literal

from celloquy.knowledge import read_table, table_version
from celloquy.roles._reconcile import plain_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import pandas as pd

Relation = Literal["same", "parent", "child", "other"]
_ID = re.compile(r"CL[:_](\d{7})")
_ENDING = re.compile(r"(?:cell|cyte|blast|phage|phil|clast|glia)$")
"""Endings by which a synonym of one word is a name of cells; 'delta' or 'arc' are none."""
_GREEK = re.compile(r"(?:alpha|beta|gamma|delta|epsilon)(?: cell)?$")
"""Synonyms of retinal and pituitary cells in the ontology, and of islet cells in most files."""


@dataclass(frozen=True)
class Term:
    """A cell type of the ontology, as it was found for a name."""

    cl_id: str
    """Its id, such as ``"CL:0000236"``."""
    label: str
    """Its name in the ontology."""
    matched_by: str
    """``"id"``, ``"label"``, ``"alias"`` (the package's short list), or ``"synonym"``."""


@dataclass(frozen=True, eq=False)
class CellOntology:
    """Terms with their names, and the terms above each."""

    labels: Mapping[str, str]
    """Name of each term by id."""
    parents: Mapping[str, tuple[str, ...]]
    """Ids directly above each term ("is a")."""
    synonyms: Mapping[str, tuple[str, ...]]
    """Other names of each term."""
    aliases: Mapping[str, str]
    """Ids of usual short names, in their plain form."""

    @cached_property
    def by_name(self) -> dict[str, str]:
        """Ids by the plain form of the terms' own names."""
        return {_plain(label): cl_id for cl_id, label in self.labels.items()}

    @cached_property
    def by_synonym(self) -> dict[str, str]:
        """Ids by the plain form of synonyms that belong to one term and read as cells."""
        found: dict[str, set[str]] = {}
        for cl_id, names in self.synonyms.items():
            for name in names:
                found.setdefault(_plain(name), set()).add(cl_id)
        return {
            name: next(iter(ids))
            for name, ids in found.items()
            if len(ids) == 1 and (" " in name or _ENDING.search(name)) and not _GREEK.match(name)
        }

    def find(self, name: str) -> Term | None:
        """Find the term of a name.

        Case, dashes, commas and plurals do not matter, ``+`` reads "positive", and the word
        "cell" may be left out of a term's own name. A synonym that several terms share, that
        is one word and does not read as a cell, or that is a Greek letter finds nothing:
        "delta" is a retinal cell to the ontology and an islet cell to most who write it.
        """
        written = _ID.fullmatch(name.strip())
        if written:
            cl_id = f"CL:{written[1]}"
            return Term(cl_id, self.labels[cl_id], "id") if cl_id in self.labels else None
        form = _plain(name)
        whole = form if form.endswith("cell") else f"{form} cell"
        for how, table, tried in (
            ("label", self.by_name, (form, whole)),
            ("alias", self.aliases, (form, whole)),
            ("synonym", self.by_synonym, (form,)),
        ):
            for one in tried:
                if one in table:
                    return Term(table[one], self.labels[table[one]], how)
        return None

    def above(self, cl_id: str) -> dict[str, int]:
        """Give the term itself and everything above it, with the least number of steps."""
        known = self._above.get(cl_id)
        if known is None:
            known = {cl_id: 0}
            waiting = deque([cl_id])
            while waiting:
                here = waiting.popleft()
                for parent in self.parents.get(here, ()):
                    if parent not in known:
                        known[parent] = known[here] + 1
                        waiting.append(parent)
            self._above[cl_id] = known
        return known

    @cached_property
    def _above(self) -> dict[str, dict[str, int]]:
        return {}

    def distance(self, one: str, other: str) -> int | None:
        """Count the steps from one term up to a common ancestor and down to the other.

        The common ancestor with the fewest steps is taken; 0 is the same term, 1 a parent.

        Returns
        -------
        The number of steps, `None` where there is no common ancestor.

        Examples
        --------
        A naive B cell is a B cell (1), B cell and T cell are lymphocytes (1 + 1), and so a
        naive B cell and a T cell are 2 + 1 steps apart.

        >>> parents = {"naive B": ("B",), "B": ("lymphocyte",), "T": ("lymphocyte",)}
        >>> ontology = CellOntology({}, parents, {}, {})
        >>> ontology.distance("naive B", "B"), ontology.distance("naive B", "T")
        (1, 3)
        """
        up, down = self.above(one), self.above(other)
        ways = [steps + down[cl_id] for cl_id, steps in up.items() if cl_id in down]
        return min(ways) if ways else None

    def relation(self, truth: str, told: str) -> Relation:
        """Say what a predicted term is to the true one: itself, above it, below it, or other."""
        if truth == told:
            return "same"
        if told in self.above(truth):
            return "parent"
        return "child" if truth in self.above(told) else "other"


def read_ontology() -> CellOntology:
    """Read the Cell Ontology from the user's cache (``celloquy data get ontology``).

    Raises
    ------
    InputError
        If the cache does not hold it.
    """
    return _read(table_version("ontology"))


@lru_cache(maxsize=1)
def _read(version: str | None) -> CellOntology:
    del version  # another version is another ontology
    return ontology_of(read_table("ontology"))


def ontology_of(table: pd.DataFrame) -> CellOntology:
    """Make an ontology of a table with the columns `id`, `label`, `parents` and `synonyms`.

    Parameters
    ----------
    table
        One row a term; several parents or synonyms of a term have ``|`` between them.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = [("CL:1", "B cell", "", "B lymphocyte"), ("CL:2", "naive B cell", "CL:1", "")]
    >>> ontology = ontology_of(pd.DataFrame(rows, columns=["id", "label", "parents", "synonyms"]))
    >>> ontology.find("b lymphocytes").label, ontology.relation("CL:2", "CL:1")
    ('B cell', 'parent')
    """
    ids = table["id"].tolist()
    return CellOntology(
        labels=dict(zip(ids, table["label"], strict=True)),
        parents={one: tuple(_split(row)) for one, row in zip(ids, table["parents"], strict=True)},
        synonyms={one: tuple(_split(row)) for one, row in zip(ids, table["synonyms"], strict=True)},
        aliases=dict(_aliases(set(ids))),
    )


def _split(text: str) -> Iterator[str]:
    return (part for part in text.split("|") if part)


def _aliases(known: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Give the package's short names for terms that the ontology has."""
    text = files("celloquy.evaluation").joinpath("cell_type_aliases.tsv").read_text("utf-8")
    for line in text.splitlines()[1:]:
        name, cl_id = line.split("\t")
        if cl_id in known:
            yield _plain(name), cl_id


def _plain(name: str) -> str:
    return plain_name(re.sub(r"[\s,()]+", " ", name.replace("+", " positive ")))
