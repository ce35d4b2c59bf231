"""How a model wants its cells: what it was taught to read, kept beside its weights."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from celloquy._runtime import atomic_path
from celloquy.errors import CheckpointError
from celloquy.knowledge import KnownGenes, read_known_genes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

READING = "reading.json"
GENES = "genes.tsv"
SCHEMA = 1
_KEYS = (
    "n_top_genes", "n_genes", "rank_by", "genes", "organisms", "labels", "templates", "embedding",
    "drawing", "about",
)  # fmt: skip
_DRAWN_BY = ("temperature", "guidance_scale")
_AGAIN = "train the model again, or copy its folder whole."


@dataclass(frozen=True, eq=False)
class CellReading:
    """How a model was taught to read cells, and what it was taught to say of them."""

    n_top_genes: int = 200
    """The most genes of a cell."""
    n_genes: tuple[int, int] = (1, 200)
    """Fewest and most genes of the cells that it was taught on."""
    rank_by: Literal["value", "specificity"] = "value"
    """What genes are ranked by."""
    genes: str | None = None
    """File of the genes that it knows, beside its weights; `None` if it knows any."""
    organisms: tuple[str, ...] = ()
    """Organisms that its prompts named; empty if nothing is known of them."""
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Labels that it was taught, by task."""
    templates: Mapping[str, int] = field(default_factory=dict)
    """The template to ask with, by task: every task that it was taught."""
    embedding: Mapping[str, Any] = field(default_factory=dict)
    """How its vectors of cells are best taken: ``style``, ``pooling``, ``layer``."""
    drawing: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """How its cells are best drawn, by task: ``temperature`` and ``guidance_scale``."""
    about: Mapping[str, str] = field(default_factory=dict)
    """What it was taught on, and under which licence."""
    folder: Path = Path()
    """Where it lies."""

    @cached_property
    def known(self) -> KnownGenes | None:
        """The genes that it knows."""
        return None if self.genes is None else read_known_genes(self.folder / self.genes)

    def record(self) -> dict[str, Any]:
        """Say how cells are read, in plain values."""
        said: dict[str, Any] = {"rank_by": self.rank_by}
        return said if self.known is None else {**said, "genes": self.known.record()}

    def write(self, folder: Path) -> None:
        """Write how cells are read into a model's folder; the genes are copied there.

        Parameters
        ----------
        folder
            A folder that is there.
        """
        said = {"schema": SCHEMA, "kind": "reading"}
        said |= {name: getattr(self, name) for name in _KEYS}
        if self.genes is not None:
            said["genes"] = GENES
            table = (self.folder / self.genes).read_bytes()
            with atomic_path(folder / GENES, overwrite=True) as temporary:
                temporary.write_bytes(table)
        with atomic_path(folder / READING, overwrite=True) as temporary:
            text = json.dumps(said, ensure_ascii=False, indent=1)
            temporary.write_text(text + "\n", encoding="utf-8")


def read_reading(folders: Iterable[Path]) -> CellReading | None:
    """Read how a model wants its cells from the first folder that says it.

    Parameters
    ----------
    folders
        Folders of the adapter and of the base.

    Returns
    -------
    What was found; `None` where no folder says anything.

    Raises
    ------
    CheckpointError
        If the file is damaged, of a later version, or names genes that are not there.
    """
    folder = next((one for one in folders if (one / READING).is_file()), None)
    if folder is None:
        return None
    path = folder / READING
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        msg = f"'{path}' is damaged: {error}."
        raise CheckpointError(msg, hint=_AGAIN) from error
    if not isinstance(said, dict) or said.get("kind") != "reading":
        msg = f"'{path}' does not say how cells are read."
        raise CheckpointError(msg, hint=_AGAIN)
    if not isinstance(said.get("schema"), int) or said["schema"] > SCHEMA:
        msg = f"'{path}' is of version {said.get('schema')!r}; this celloquy reads up to {SCHEMA}."
        raise CheckpointError(msg, hint="upgrade celloquy: pip install --upgrade celloquy")
    try:
        found = _checked({name: said[name] for name in _KEYS if name in said}, folder)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        msg = f"'{path}' is damaged: {error}."
        raise CheckpointError(msg, hint=_AGAIN) from error
    if found.genes is not None and not (folder / found.genes).is_file():
        msg = f"'{path}' names the genes '{found.genes}', which are not beside it."
        raise CheckpointError(msg, hint=_AGAIN)
    return found


def _checked(said: dict[str, Any], folder: Path) -> CellReading:
    """Make it of plain values.

    Raises
    ------
    ValueError
        If a value cannot be.
    """
    most = int(said.get("n_top_genes", CellReading.n_top_genes))
    fewest, longest = said.get("n_genes", (1, most))
    said["n_top_genes"], said["n_genes"] = most, (int(fewest), int(longest))
    said["labels"] = {str(task): tuple(map(str, one)) for task, one in said["labels"].items()}
    said["templates"] = {str(task): int(one) for task, one in said["templates"].items()}
    said["drawing"] = {
        str(task): {str(name): _drawn_by(name, value) for name, value in one.items()}
        for task, one in said.get("drawing", {}).items()
    }
    said["organisms"] = tuple(map(str, said.get("organisms", ())))
    if most < 1 or said.get("rank_by") not in {"value", "specificity"}:
        msg = f"n_top_genes is {most} and rank_by is {said.get('rank_by')!r}"
        raise ValueError(msg)
    if Path(said.get("genes") or "genes").name != (said.get("genes") or "genes"):
        msg = f"genes is {said['genes']!r}, no file beside it"
        raise ValueError(msg)
    return CellReading(**said, folder=folder)


def _drawn_by(name: str, value: object) -> float:
    """Read a number that cells are drawn by.

    Raises
    ------
    ValueError
        If nothing of that name is known, or it is no number, or below 0.
    """
    is_number = isinstance(value, int | float) and 0 <= value < float("inf")
    if name not in _DRAWN_BY or not is_number:
        msg = f"`drawing` says {name} is {value!r}; it takes {' and '.join(_DRAWN_BY)}, 0 or more"
        raise ValueError(msg)
    return float(str(value))
