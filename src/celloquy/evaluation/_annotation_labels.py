"""Labels of two files that name one cell type differently, made one by a table that is shown."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pandas as pd

from celloquy._runtime import closest
from celloquy.errors import InputError
from celloquy.evaluation._blood import blood_types
from celloquy.evaluation._ontology import read_ontology
from celloquy.learn import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from celloquy.evaluation._ontology import CellOntology

LabelTable: TypeAlias = "Mapping[str, str] | str | os.PathLike[str]"
"""Label to name; a tab-separated file with columns `label` and `type`; or a word."""
ONTOLOGY, BLOOD = "ontology", "blood"
COLUMNS = ["side", "label", "n_obs", "mapped_to", "how"]


def map_labels(truth: Iterable[str], prediction: Iterable[str], *, by: LabelTable) -> pd.DataFrame:
    """Say which label of either side becomes which, and why.

    By a table, labels of both sides become what the table says, and one that it does not hold
    stays. By the Cell Ontology, true labels stay: a predicted label becomes the true label that
    is the same cell type, else the nearest true label above it (a predicted "naive B cell" is
    a "B cell" where the truth is no finer). A prediction that is coarser than the truth
    stays, and so counts as wrong.

    Parameters
    ----------
    truth
        True labels, one a cell.
    prediction
        Predicted labels, one a cell; ``"unknown"`` is none.
    by
        Label to name; the path of a tab-separated file with the columns ``label`` and
        ``type``; ``"blood"`` for the package's six coarse types of blood cells; or
        ``"ontology"`` for the Cell Ontology of ``celloquy data``.

    Returns
    -------
    One row a side and label: `side`, `label`, `n_obs`, `mapped_to` and `how`.

    Raises
    ------
    InputError
        If there is no such table, or it lacks a column.

    Examples
    --------
    >>> table = map_labels(["B"], ["b_cell", "T"], by={"b_cell": "B"})
    >>> table[["side", "label", "mapped_to", "how"]].values.tolist()
    [['truth', 'B', 'B', 'not in the table'], ['prediction', 'T', 'T', 'not in the table'],
     ['prediction', 'b_cell', 'B', 'table']]
    """
    true, told = Counter(truth), Counter(prediction)
    told.pop(UNKNOWN, None)
    if isinstance(by, (str, os.PathLike)) and str(by) == ONTOLOGY:
        found = _by_ontology(sorted(true), sorted(told), read_ontology())
    else:
        found = _by_table(sorted(true), sorted(told), _read(by))
    counts = {"truth": true, "prediction": told}
    rows = [(side, label, counts[side][label], to, how) for side, label, to, how in found]
    return pd.DataFrame(rows, columns=COLUMNS)


_Rows: TypeAlias = "list[tuple[str, str, str, str]]"


def _by_table(true: list[str], told: list[str], table: Mapping[str, str]) -> _Rows:
    sides = (("truth", true), ("prediction", told))
    return [
        (side, label, table.get(label, label), "table" if label in table else "not in the table")
        for side, labels in sides
        for label in labels
    ]


def _by_ontology(true: list[str], told: list[str], ontology: CellOntology) -> _Rows:
    terms = {label: ontology.find(label) for label in {*true, *told}}
    place = {label: term.cl_id for label in true if (term := terms[label])}
    rows: _Rows = []
    for label in true:
        term = terms[label]
        rows.append(("truth", label, label, term.label if term else "not found"))
    for label in told:
        term = terms[label]
        if label in set(true):
            to, how = label, "the same name"
        elif term is None:
            to, how = label, "not found"
        else:
            to, how = _nearest(label, ontology.above(term.cl_id), place)
            if to == label and any(term.cl_id in ontology.above(one) for one in place.values()):
                how = "coarser than the truth"
        rows.append(("prediction", label, to, how))
    return rows


def _nearest(label: str, above: Mapping[str, int], place: Mapping[str, str]) -> tuple[str, str]:
    """Choose the true label that is the term or the nearest above it."""
    ways = sorted((above[cl_id], name) for name, cl_id in place.items() if cl_id in above)
    if not ways:
        return label, "no true label is above it"
    if len(ways) > 1 and ways[0][0] == ways[1][0]:
        return label, f"as near to {ways[0][1]!r} as to {ways[1][1]!r}"
    steps, name = ways[0]
    return name, "the same type" if steps == 0 else f"{steps} below it"


def _read(by: LabelTable) -> Mapping[str, str]:
    """Read a table of labels.

    Raises
    ------
    InputError
        If it cannot be used.
    """
    if not isinstance(by, (str, os.PathLike)):
        return by
    if str(by) == BLOOD:
        return blood_types()
    path = Path(by)
    if not path.is_file():
        msg = f"There is no table of labels '{path}'."
        hint = f"pass a tab-separated file with columns label and type, {ONTOLOGY!r} or {BLOOD!r}."
        raise InputError(msg, hint=hint)
    try:
        table = pd.read_csv(path, sep="\t", dtype=str, na_filter=False)
    except (ValueError, UnicodeDecodeError) as error:
        msg = f"'{path.name}' is no tab-separated table: {error}."
        raise InputError(msg, hint="write two columns, label and type.") from error
    for column in ("label", "type"):
        if column not in table.columns:
            near = closest(column, [str(name) for name in table.columns])
            msg = f"'{path.name}' has no column {column!r}{near}."
            raise InputError(msg, hint="its first line names the columns: label and type.")
    twice = table["label"][table["label"].duplicated()]
    if len(twice):
        msg = f"'{path.name}' holds the label {twice.iloc[0]!r} twice."
        raise InputError(msg, hint="give each label once.")
    return dict(zip(table["label"], table["type"], strict=True))
