"""Answers in words, judged cell by cell beside the most frequent type and other cells' answers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from celloquy.evaluation._annotation_cells import (
    Columns,
    EvaluateOptions,
    judged_cells,
    several,
)
from celloquy.evaluation._intervals import drawn_groups, group_notes, interval_of
from celloquy.evaluation._label_counts import count_labels
from celloquy.evaluation._measured import Meaning, Measured
from celloquy.evaluation._ontology import read_ontology
from celloquy.evaluation._text_answers import VERDICTS, read_answer
from celloquy.evaluation._text_judged import expressed_by, judge_all, mean_known
from celloquy.evaluation._text_names import type_names
from celloquy.io import open_stream
from celloquy.knowledge import marker_panel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    from celloquy.evaluation._annotation_cells import JudgedCells
    from celloquy.evaluation._intervals import Interval
    from celloquy.evaluation._ontology import CellOntology
    from celloquy.evaluation._text_answers import ReadAnswer
    from celloquy.evaluation._text_judged import JudgedAnswers
    from celloquy.evaluation._text_names import TypeNames

MOST_FREQUENT, OTHER_CELLS = "most frequent type", "answers of other cells"
MEANINGS = {
    "right": Meaning("share of answers that name the true type and no unrelated one", "own"),
    "right_or_parent": Meaning("share that name it, or only types above it", "own"),
    "named_a_type": Meaning("share of answers that name a cell type at all", "own"),
    "markers": Meaning(
        "share of named genes that are markers of the true type in the panel, mean of answers",
        "own",
    ),
    "expressed": Meaning(
        "share of named genes that the cell expresses, mean of answers", "own"
    ),
}  # fmt: skip


@dataclass(frozen=True, eq=False, kw_only=True)
class AnswersReport(Measured):
    """What answers in words are worth, and what each of them was read as."""

    meanings: ClassVar[Mapping[str, Meaning]] = MEANINGS
    title: ClassVar[str] = "answers"

    verdicts: dict[str, int]
    """Answers by verdict; see :class:`JudgedAnswer`."""
    answers: pd.DataFrame
    """One row an answer: `truth`, `answer`, `verdict`, the types and genes that it names."""

    def to_dict(self) -> dict[str, Any]:
        """Give everything for machines but the answers themselves."""
        return super().to_dict() | {"verdicts": self.verdicts}

    def __str__(self) -> str:
        """Write the metrics, the verdicts, some answers of each, and the notes."""
        bare, *notes = super().__str__().split("\nnote: ")
        lines = [bare.rstrip(), ""]
        lines.append(", ".join(f"{name} {n:,}" for name, n in self.verdicts.items() if n))
        for name in VERDICTS:
            rows = self.answers[self.answers["verdict"] == name].head(2)
            for truth, answer in zip(rows["truth"], rows["answer"], strict=True):
                words = " ".join(str(answer).split())
                shown = words if len(words) <= 70 else f"{words[:69]}…"
                lines.append(f"  {name}: {shown!r} of {truth!r}")
        return "\n".join([*lines, *(f"\nnote: {note.strip()}" for note in notes)])


def evaluate_answers(
    source: AnnData | pd.DataFrame | str | os.PathLike[str],
    *,
    truth: str,
    answer: str,
    groups: str | None = None,
    layer: str | None = None,
    use_raw: bool = False,
    options: EvaluateOptions | None = None,
) -> AnswersReport:
    """Judge answers in words: the types that they name, and the genes that they rest on.

    A type that an answer denies ("no T cell") is not named. A name counts as right if it is
    the true type's, a synonym's, or (with `options.ontology`) lies above it; an answer that
    names an unrelated type, too, is hedged and not right. Genes are looked up in the package's
    marker panel and, where the source has a matrix, in the cell itself.

    Parameters
    ----------
    source
        Cells with answers: an AnnData, a file of cells, or a table of obs (then no expression).
    truth
        Column with the true cell type.
    answer
        Column with the answers; missing ones name nothing.
    groups
        Column with the donor or study of each cell.
    layer
        Layer with the expression; `None` reads X.
    use_raw
        Whether to read ``raw.X``.
    options
        What is left out and drawn; whether the ontology is asked.

    Returns
    -------
    The report; ``print`` shows it.

    Raises
    ------
    InputError
        If a column, the slot or the ontology cannot be used, or no cell has a truth.

    Examples
    --------
    >>> obs = pd.DataFrame({"truth": ["B cell", "T cell"],
    ...                     "told": ["A B cell (MS4A1).", "A B cell (CD79A, CD3E)."]})
    >>> report = evaluate_answers(obs, truth="truth", answer="told")
    >>> report.metrics["right"], report.metrics["markers"]
    (0.5, 0.75)
    """
    options = options or EvaluateOptions()
    columns = Columns(truth, answer, groups)
    cells = judged_cells(source, columns, truth_source=None, options=options)
    told = cells.predictions[answer]
    counted = count_labels(cells.truth, told, groups=cells.groups)  # refuses what is missing
    ontology = read_ontology() if options.ontology else None
    labels = sorted(set(cells.truth))
    names = type_names(labels, ontology=ontology)
    panel = frozenset(marker_panel()["gene"])
    with_cells = not _is_table(source)
    if with_cells:
        with open_stream(source, layer=layer, use_raw=use_raw) as stream:
            genes = frozenset(map(str, stream.var.index))
            read = _read(told, names, genes=genes | panel, labels=labels)
            held = expressed_by(stream, cells.rows, read, genes=genes)
    else:
        read = _read(told, names, genes=panel, labels=labels)
        held = None
    judged = judge_all(cells.truth, read, labels=labels, names=names)
    values = judged.values(held)
    where = None if cells.groups is None else np.asarray(cells.groups, object).astype(str)
    return AnswersReport(
        metrics={name: mean_known(value) for name, value in values.items()},
        intervals=_intervals(values, where, options),
        baselines={
            f"{MOST_FREQUENT} ({judged.usual})": judged.constant(),
            OTHER_CELLS: judged.of_others(held),
        },
        n=_counts(values, counted.groups if groups else (), named=groups),
        notes=tuple(_notes(cells, read, where, named=groups, with_cells=with_cells)),
        verdicts={name: judged.verdicts.count(name) for name in VERDICTS},
        answers=_table(cells, told, judged, ontology),
    )


def _table(
    cells: JudgedCells,
    told: NDArray[np.object_],
    judged: JudgedAnswers,
    ontology: CellOntology | None,
) -> pd.DataFrame:
    """Give what every answer was read as."""
    known = ontology.labels if ontology else {}
    return pd.DataFrame(
        {
            "row": cells.rows,
            "truth": cells.truth,
            "answer": told,
            "verdict": judged.verdicts,
            "types": [", ".join(known.get(t, t) for t in one.types) for one in judged.read],
            "genes": [" ".join(one.genes) for one in judged.read],
            "denied_genes": [" ".join(one.denied_genes) for one in judged.read],
            "no_known_gene": [" ".join(one.strange) for one in judged.read],
        }
    )


def _read(
    told: NDArray[np.object_], names: TypeNames, *, genes: frozenset[str], labels: Sequence[str]
) -> list[ReadAnswer]:
    """Read every answer, equal ones once."""
    known: dict[str, ReadAnswer] = {}
    for answer in told:
        if answer not in known:
            known[answer] = read_answer(str(answer), names, genes=genes, labels=labels)
    return [known[answer] for answer in told]


def _intervals(
    values: Mapping[str, NDArray[np.float64]],
    where: NDArray[np.str_] | None,
    options: EvaluateOptions,
) -> dict[str, Interval]:
    """Draw groups again, from sums by group."""
    if where is None:
        return {}
    place, names = pd.factorize(where, sort=True)
    if len(names) < 2:
        return {}
    drawn = drawn_groups(len(names), n_resamples=options.n_resamples, seed=options.seed)
    found = {}
    for name, value in values.items():
        has = np.isfinite(value)
        sums = np.bincount(place, weights=np.where(has, value, 0), minlength=len(names))
        counts = np.bincount(place, weights=has.astype(float), minlength=len(names))
        with np.errstate(divide="ignore", invalid="ignore"):
            interval = interval_of((drawn @ sums) / (drawn @ counts), n_groups=len(names))
        if interval is not None:
            found[name] = interval
    return found


def _counts(
    values: Mapping[str, NDArray[np.float64]], groups: Sequence[str], *, named: str | None
) -> dict[str, int]:
    counted = {"answers": len(values["right"])}
    for name, said in (("markers", "with genes to look up"), ("expressed", "with measured genes")):
        if name in values:
            counted[said] = int(np.isfinite(values[name]).sum())
    return counted | ({f"groups ({named})": len(groups)} if named else {})


def _notes(
    cells: JudgedCells,
    read: Sequence[ReadAnswer],
    where: NDArray[np.str_] | None,
    *,
    named: str | None,
    with_cells: bool,
) -> list[str]:
    notes = list(cells.notes)
    if where is None or named is None:
        notes.append("No groups were named, so there are no intervals: cells of a donor are alike.")
    else:
        notes += group_notes(len(np.unique(where)), named=named)
    strange = [word for one in read for word in one.strange]
    if strange:
        words = pd.Series(strange).value_counts()
        shown = ", ".join(map(repr, words.index[:5]))
        known = "no gene of the file or the panel" if with_cells else "no gene of the marker panel"
        notes.append(
            f"{several(len(words), 'word')} that read like genes and are {known}: {shown}."
        )
    denied = sum(bool(one.denied_genes) for one in read)
    if denied:
        notes.append(f"{several(denied, 'answer')} deny genes, which are not judged.")
    return notes


def _is_table(source: object) -> bool:
    if isinstance(source, (str, os.PathLike)):
        return str(source).lower().endswith((".csv", ".tsv", ".txt", ".gz", ".parquet"))
    return isinstance(source, pd.DataFrame)
