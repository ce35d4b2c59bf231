"""Lists of genes, of one cell or of several: unknown and repeated names are counted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from celloquy.tasks._answers import Asked, ParsedAnswer
from celloquy.text import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Container

    from celloquy.tasks._answers import Allowed

_BETWEEN = str.maketrans(",;", "  ")
_CELL = re.compile(r"^[ \t]*Cell (\d+):[ \t]*$", re.MULTILINE)


def read_genes(text: str, asked: Asked) -> ParsedAnswer:
    """Read gene names with white space, commas or semicolons between them.

    The value is the known names, each once, in the order in which they are first named;
    unknown and repeated names are counted and said. Capitals matter. One full stop at the end
    is no part of a name. Without allowed genes every word counts as known. An answer without
    any known gene is invalid.

    Examples
    --------
    >>> answer = read_genes("CD3E IL7R CD3E XYZ1.", Asked(["CD3E", "IL7R", "LYZ"]))
    >>> answer.value, answer.counts
    (('CD3E', 'IL7R'), {'known': 2, 'unknown': 1, 'repeated': 1})
    """
    words = asked.bare(text).translate(_BETWEEN).split()
    known = _container(asked.allowed)
    if words and words[-1].endswith(".") and (known is None or words[-1] not in known):
        words[-1] = words[-1][:-1]
        words = words if words[-1] else words[:-1]
    genes = [word for word in words if known is None or word in known]
    kept = tuple(dict.fromkeys(genes))
    counts = {
        "known": len(kept),
        "unknown": len(words) - len(genes),
        "repeated": len(genes) - len(kept),
    }
    if not kept:
        why = f"none of {len(words)} words is a known gene" if words else "the answer is empty"
        return ParsedAnswer.unusable(why, **counts)
    return ParsedAnswer(kept, is_valid=True, why=_left_out(counts), counts=counts)


def read_cells(text: str, asked: Asked) -> ParsedAnswer:
    r"""Read several cells: ``Cell 1:``, a line of genes and a full stop, ``Cell 2:`` and so on.

    The value is one tuple of genes a cell. Cells that are not numbered from 1, a cell without
    a known gene, and another number of cells than asked for make the answer invalid.

    Examples
    --------
    >>> read_cells("Cell 1:\nCD3E IL7R.\nCell 2:\nLYZ.", Asked()).value
    (('CD3E', 'IL7R'), ('LYZ',))
    """
    parts = _CELL.split(asked.bare(text))
    numbers = [int(number) for number in parts[1::2]]
    if parts[0].strip() or numbers != list(range(1, len(numbers) + 1)) or not numbers:
        return ParsedAnswer.unusable("the cells are not numbered 'Cell 1:', 'Cell 2:' and so on")
    if asked.n is not None and len(numbers) != asked.n:
        return ParsedAnswer.unusable(f"there are {len(numbers)} cells and not {asked.n}")
    allowed = frozenset(asked.allowed) if isinstance(asked.allowed, list) else asked.allowed
    cells = [read_genes(block, Asked(allowed)) for block in parts[2::2]]
    counts = {
        word: sum(cell.counts[word] for cell in cells) for word in ("known", "unknown", "repeated")
    }
    for number, cell in enumerate(cells, start=1):
        if not cell.is_valid:
            return ParsedAnswer.unusable(f"cell {number}: {cell.why}", **counts)
    value = tuple(cell.value for cell in cells)
    return ParsedAnswer(value, is_valid=True, why=_left_out(counts), counts=counts)


def _container(allowed: Allowed | None) -> Container[str] | None:
    if isinstance(allowed, Vocabulary):
        return allowed.positions
    return frozenset(allowed) if isinstance(allowed, (list, tuple)) else allowed


def _left_out(counts: dict[str, int]) -> str:
    said = [f"{counts[word]} {word}" for word in ("unknown", "repeated") if counts[word]]
    return f"{' and '.join(said)} left out" if said else ""
