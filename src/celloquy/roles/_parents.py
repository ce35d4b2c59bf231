"""A table of parents: which cell type lies above which."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from celloquy._runtime import closest
from celloquy.errors import InputError
from celloquy.knowledge import read_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ONTOLOGY = "ontology"
"""The name of the Cell Ontology in ``celloquy data``."""


def read_parents(
    parents: Mapping[str, str | Sequence[str]] | str | os.PathLike[str],
) -> dict[str, list[str]]:
    """Read a table of parents.

    Parameters
    ----------
    parents
        Child to its parent or parents; the path of a tab-separated table with the columns
        ``child`` and ``parent``; or ``"ontology"`` for the Cell Ontology of ``celloquy data``.

    Raises
    ------
    InputError
        If there is no such file or table, or it lacks a column or a name.
    """
    if not isinstance(parents, (str, os.PathLike)):
        return {
            child: [above] if isinstance(above, str) else list(above)
            for child, above in parents.items()
        }
    table = _ontology() if str(parents) == ONTOLOGY else _table(Path(parents))
    found: dict[str, list[str]] = {}
    for child, parent in zip(table["child"], table["parent"], strict=True):
        found.setdefault(child, []).append(parent)
    return found


def _table(path: Path) -> pd.DataFrame:
    """Read a user's own table.

    Raises
    ------
    InputError
        If it cannot be used.
    """
    if not path.is_file():
        msg = f"There is no table of parents '{path}'."
        hint = f"pass a tab-separated file with the columns child and parent, or '{ONTOLOGY}'."
        raise InputError(msg, hint=hint)
    try:
        table = pd.read_csv(path, sep="\t", dtype=str, na_filter=False)
    except (ValueError, UnicodeDecodeError) as error:
        msg = f"'{path.name}' is no tab-separated table: {error}."
        raise InputError(msg, hint="write two columns, child and parent.") from error
    for column in ("child", "parent"):
        if column not in table.columns:
            near = closest(column, [str(name) for name in table.columns])
            msg = f"'{path.name}' has no column {column!r}{near}."
            raise InputError(msg, hint="its first line names the columns: child and parent.")
        empty = table[column].str.strip() == ""
        if empty.any():
            line = int(empty.argmax()) + 2
            msg = f"Line {line} of '{path.name}' has no {column}."
            raise InputError(msg, hint="leave the line out.")
    return pd.DataFrame({name: table[name].str.strip() for name in ("child", "parent")})


def _ontology() -> pd.DataFrame:
    """Take parents from the Cell Ontology, by name and by synonym."""
    table = read_table(ONTOLOGY)
    label_of = dict(zip(table["id"], table["label"], strict=True))
    labels = set(label_of.values())
    rows = []
    for row in table.itertuples():
        above = [label_of[one] for one in str(row.parents).split("|") if one in label_of]
        others = [name for name in str(row.synonyms).split("|") if name and name not in labels]
        rows += [(name, parent) for name in (str(row.label), *others) for parent in above]
    return pd.DataFrame(rows, columns=["child", "parent"])
