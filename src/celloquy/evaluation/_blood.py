"""Six coarse types of blood cells, so that studies with other label names can be compared."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@cache
def blood_types() -> dict[str, str]:
    """Give the coarse type of every known label of the public blood studies.

    B, CD4 T, CD8 T, NK, monocyte, dendritic. The table is explicit: a label that is not in it
    has no coarse type, and its cells are left out of comparisons (platelets, CD34+ cells).
    """
    text = files("celloquy.evaluation").joinpath("blood_types.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines()[1:]]
    return {row[0]: row[1] for row in rows}


def coarse_blood_types(labels: Iterable[object]) -> list[str | None]:
    """Give each label's coarse type, `None` where the table has none.

    Examples
    --------
    >>> coarse_blood_types(["CD19+ B", "Naive CD4 T", "Platelet"])
    ['B', 'CD4 T', None]
    """
    return [blood_types().get(str(label)) for label in labels]


def prompt_names(types: Iterable[object], *, taught: Sequence[str] = ()) -> list[str]:
    """Name coarse types as a prompt does; another label stays as it is.

    Parameters
    ----------
    types
        Coarse types.
    taught
        Labels that a language model was taught: the first one of a type is then its name.

    Examples
    --------
    >>> prompt_names(["B", "CD4 T", "monocyte", "Platelet"])
    ['B cell', 'CD4 T cell', 'monocyte', 'Platelet']
    >>> prompt_names(["B", "monocyte"], taught=["alpha cell", "CD14 monocyte", "CD16 monocyte"])
    ['B cell', 'CD14 monocyte']
    """
    of_cells = ("B", "CD4 T", "CD8 T", "NK", "dendritic")
    names = {one: f"{one} cell" for one in of_cells}
    types_taught = coarse_blood_types(taught)
    names |= {
        coarse: taught[types_taught.index(coarse)] for coarse in types_taught if coarse is not None
    }
    return [names.get(str(one), str(one)) for one in types]
