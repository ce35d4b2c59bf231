"""The cells that are judged: read from obs, joined by name, with what was left out said."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd

from celloquy._runtime import closest
from celloquy.errors import InputError
from celloquy.io import read_obs
from celloquy.learn import NO_LABEL, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    from celloquy.evaluation._annotation_labels import LabelTable

Cells: TypeAlias = "AnnData | pd.DataFrame | str | os.PathLike[str]"
"""An AnnData, its obs, a file of cells, or a .csv, .tsv or .parquet table with a row a cell."""
_TABLES = {".csv": ",", ".tsv": "\t", ".txt": "\t"}


@dataclass(frozen=True)
class EvaluateOptions:
    """What is judged, and how; for :func:`evaluate_annotation`."""

    leave_out: tuple[str, ...] = ()
    """True labels whose cells are not judged, such as ``"unassigned"``."""
    unknown: tuple[str, ...] = ()
    """Predicted labels that mean "no answer", beside ``"unknown"`` and missing ones."""
    labels_by: LabelTable | None = None
    """Table by which labels are made one, see :func:`map_labels`; `None` maps nothing."""
    ontology: bool = False
    """Whether distances in the Cell Ontology are measured."""
    only_shared: bool = False
    """Whether two files with different cells are judged on the cells that both hold."""
    n_resamples: int = 1000
    """How often groups are drawn for intervals."""
    seed: int = 0
    """Seed of the draws."""


@dataclass(frozen=True, eq=False)
class JudgedCells:
    """Columns of the judged cells, in one order."""

    truth: NDArray[np.object_]
    """True label of each cell; shape ``(n_obs,)``."""
    predictions: dict[str, NDArray[np.object_]]
    """Predicted labels by column, the judged one first; each of shape ``(n_obs,)``."""
    groups: NDArray[np.object_] | None
    """Group of each cell."""
    confidence: NDArray[np.object_] | None
    """Confidence of each prediction, as it was read."""
    rows: NDArray[np.int64]
    """Their row numbers in the source (of two files: among the cells that both hold)."""
    notes: tuple[str, ...] = field(default=())
    """What was left out, joined or counted as unknown."""


@dataclass(frozen=True)
class Columns:
    """Which columns of obs hold what."""

    truth: str
    """The labels held to be true."""
    prediction: str
    """The labels to judge."""
    groups: str | None = None
    """Donor, study, patient or cell line."""
    confidence: str | None = None
    """Confidence of the prediction."""
    beside: tuple[str, ...] = ()
    """Further predictions, judged beside."""


def read_columns(source: Cells, columns: Sequence[str], *, known: bool = False) -> pd.DataFrame:
    """Read columns of obs, and never the matrix.

    Parameters
    ----------
    source
        Cells, or a table with a row a cell whose first column names the cells.
    columns
        The columns.
    known
        Whether columns that are not there are left out instead of refused.

    Raises
    ------
    InputError
        If the source cannot be read, or a column is not there.
    """
    if isinstance(source, pd.DataFrame):
        return _chosen(source, columns, named="the table", known=known)
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        suffix = Path(path.stem).suffix if path.suffix.lower() == ".gz" else path.suffix
        if suffix.lower() in {*_TABLES, ".parquet"} and path.is_file():
            return _chosen(_table(path, suffix.lower()), columns, named=path.name, known=known)
    return read_obs(source, columns, only_known=known)


def _table(path: Path, suffix: str) -> pd.DataFrame:
    """Read a table with a row a cell.

    Raises
    ------
    InputError
        If it is none.
    """
    try:
        if suffix == ".parquet":
            table = pd.read_parquet(path)
            return table if table.index.dtype == object else table.set_index(table.columns[0])
        return pd.read_csv(
            path, sep=_TABLES[suffix], dtype=str, keep_default_na=False, na_values=[""],
            index_col=0,
        )  # fmt: skip
    except (ValueError, UnicodeDecodeError, IndexError) as error:
        msg = f"'{path.name}' is no table with a row a cell: {error}."
        raise InputError(msg, hint="its first column names the cells.") from error


def _chosen(
    table: pd.DataFrame, columns: Sequence[str], *, named: str, known: bool
) -> pd.DataFrame:
    """Take columns of a table.

    Raises
    ------
    InputError
        If one is not there.
    """
    found = [one for one in dict.fromkeys(columns) if one in table.columns]
    for column in columns:
        if column not in table.columns and not known:
            have = [str(name) for name in table.columns]
            msg = f"'{named}' has no column {column!r}{closest(column, have)}."
            raise InputError(msg, hint=f"its columns are: {', '.join(have[:20]) or 'none'}.")
    return table[found].set_axis(table.index.astype(str))


def judged_cells(
    source: Cells, columns: Columns, *, truth_source: Cells | None, options: EvaluateOptions
) -> JudgedCells:
    """Read what is judged, and leave out cells without truth.

    Parameters
    ----------
    source
        The cells with the predictions.
    columns
        Their columns.
    truth_source
        The cells with the truth, if those are another file; joined by name.
    options
        What is left out.

    Raises
    ------
    InputError
        If a column is not there, the two sources hold different cells, or no cell has a truth.
    """
    told = [columns.prediction, *columns.beside]
    wanted = [one for one in (columns.groups, columns.confidence) if one]
    notes: list[str] = []
    if truth_source is None:
        table = read_columns(source, [columns.truth, *told, *wanted])
    else:
        there = read_columns(truth_source, [columns.truth, *wanted], known=True)
        if columns.truth not in there:
            there = read_columns(truth_source, [columns.truth])
        here = read_columns(source, [*told, *(one for one in wanted if one not in there)])
        there, here, notes = _joined(there, here, only_shared=options.only_shared)
        table = pd.concat([there, here], axis=1)
        table = table.loc[:, ~table.columns.duplicated()]
    truth = _labels(table[columns.truth])
    kept, left_out = _kept(truth, options.leave_out)
    predictions = {one: _labels(table[one])[kept] for one in told}
    for name, labels in predictions.items():
        notes += _unanswered(labels, options.unknown, column=name)
    return JudgedCells(
        truth[kept],
        predictions,
        None if columns.groups is None else _labels(table[columns.groups])[kept],
        None
        if columns.confidence is None
        else np.asarray(table[columns.confidence], dtype=object)[kept],
        np.flatnonzero(kept),
        (*notes, *left_out),
    )


def _labels(column: pd.Series) -> NDArray[np.object_]:
    """Give labels as text, `None` where one is missing."""
    values = column.astype(object)
    missing = values.isna().to_numpy()
    made = values.astype(str).to_numpy(dtype=object, copy=True)
    made[missing] = None
    return np.asarray(made, dtype=object)


def _joined(
    there: pd.DataFrame, here: pd.DataFrame, *, only_shared: bool
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Bring two tables into one order of cells.

    Raises
    ------
    InputError
        If a name repeats, or the cells differ and `only_shared` is false.
    """
    for table, which in ((there, "truth"), (here, "predictions")):
        if not table.index.is_unique:
            twice = table.index[table.index.duplicated()]
            msg = f"{len(twice)} cell names repeat beside the {which}, the first is {twice[0]!r}."
            raise InputError(msg, hint="cells are joined by name; make the names unique.")
    shared = here.index.intersection(there.index, sort=False)
    if len(shared) == len(here) == len(there):
        moved = not there.index.equals(here.index)
        said = [f"{len(here):,} cells in another order were joined by name."] if moved else []
        return there.reindex(here.index), here, said
    lone_truth, lone_told = there.index.difference(shared), here.index.difference(shared)
    told = (
        f"{len(lone_truth):,} of {len(there):,} cells with a truth have no prediction"
        f"{_first(lone_truth)}, and {len(lone_told):,} of {len(here):,} cells with a prediction "
        f"have no truth{_first(lone_told)}"
    )
    if not len(shared):
        hint = "no name is shared: one file may have a suffix such as '-1' that the other lacks."
        msg = f"The two files hold different cells: {told}."
        raise InputError(msg, hint=hint)
    if not only_shared:
        msg = f"The two files hold different cells: {told}."
        hint = "`only_shared=True` (`--only-shared`) judges the cells that both hold, and says so."
        raise InputError(msg, hint=hint)
    note = f"Only the {len(shared):,} cells that both files hold were judged: {told}."
    return there.reindex(shared), here.reindex(shared), [note]


def _first(names: pd.Index) -> str:
    return f" (the first is {names[0]!r})" if len(names) else ""


def _kept(
    truth: NDArray[np.object_], leave_out: Sequence[str]
) -> tuple[NDArray[np.bool_], list[str]]:
    """Choose the cells with a truth.

    Raises
    ------
    InputError
        If none is left, or a label that is to be left out does not occur.
    """
    names = sorted({label for label in truth if label is not None})
    notes = []
    out = np.array([label is None or label == UNKNOWN for label in truth], dtype=bool)
    if out.any():
        notes.append(f"{int(out.sum()):,} of {len(truth):,} cells have no truth, and are left out.")
    for label in leave_out:
        if label not in names:
            near = closest(label, names)
            msg = f"No cell has the true label {label!r}{near}, so it cannot be left out."
            raise InputError(msg, hint=f"the true labels are: {', '.join(names[:20])}.")
        out |= truth == label
        notes.append(
            f"{several(int((truth == label).sum()), 'cell')} of the true label {label!r} left out."
        )
    if out.all():
        msg = f"None of {len(truth):,} cells has a true label to judge by."
        raise InputError(msg, hint="name the column with the labels held to be true.")
    return ~out, notes


def _unanswered(labels: NDArray[np.object_], unknown: Sequence[str], *, column: str) -> list[str]:
    """Write "unknown" where there is no answer, in place, and say how often."""
    notes = []
    missing = np.array([label is None for label in labels], dtype=bool)
    labels[missing] = UNKNOWN
    if missing.any():
        told = f"{int(missing.sum()):,} of {len(labels):,} predictions in {column!r} are missing"
        notes.append(f"{told}, and count as {UNKNOWN!r}.")
    for label in unknown:
        hit = labels == label
        labels[hit] = UNKNOWN
        notes.append(
            f"{several(int(hit.sum()), 'prediction')} {label!r} in {column!r} counted as "
            f"{UNKNOWN!r}."
        )
    alike = sorted({one for one in set(labels) - {UNKNOWN} if one.casefold() in NO_LABEL})
    for label in alike:
        n = int((labels == label).sum())
        notes.append(
            f"{several(n, 'prediction')} {label!r} in {column!r} count as an answer; if that is "
            f"none, name {label!r} as unknown (`--unknown`)."
        )
    return notes


def several(n: int, thing: str) -> str:
    """Write a number of things, one or several.

    Examples
    --------
    >>> several(1, "label"), several(2000, "label")
    ('1 label', '2,000 labels')
    """
    return f"{n:,} {thing}{'' if n == 1 else 's'}"
