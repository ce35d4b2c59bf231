"""The predictor: labels for cells, from labelled cells, with confidence and "unknown"."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from celloquy._runtime import count_of
from celloquy.errors import InputError
from celloquy.io import Results, add_results, refuse_taken, write_annotated
from celloquy.learn import UNKNOWN, Overlap, Predictions, Recipe, Reference, majority
from celloquy.roles._cells import ReadOptions, obs_column, open_cells
from celloquy.roles._collect import collect, discard_parts
from celloquy.roles._reference import cells_digest, for_query, load_if_saved
from celloquy.roles._targets import is_adata, path_of, refuse_targets
from celloquy.roles._taught import reading_of
from celloquy.roles._text_vectors import TextSource, needs_text

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from celloquy.roles._cells import OpenCells
    from celloquy.roles._collect import Collected, Work
    from celloquy.roles._targets import Source
    from celloquy.roles._text_vectors import SentenceReader


@dataclass(frozen=True)
class AnnotateOptions:
    """How cells are annotated; every field has a measured default."""

    recipe: Recipe = field(default_factory=Recipe)
    """Representation and head that a reference of cells is fitted with; a saved reference
    brings its own."""
    panel: Literal["auto", "stored", "refit"] = "auto"
    """What happens where the query lacks genes of the reference: ``"auto"`` fits the stored
    reference cells anew on the shared genes if these hold under 95 % of the reference's
    expression, ``"stored"`` never does, ``"refit"`` always does."""
    read: ReadOptions = field(default_factory=ReadOptions)
    """Where the query's expression and gene names are read from."""
    read_reference: ReadOptions = field(default_factory=ReadOptions)
    """Where the reference's are read from."""
    clusters: str | None = None
    """Column of obs; each of its clusters also gets the label that most of its cells have,
    in a column of its own."""
    text: TextSource = field(default_factory=TextSource)
    """Which language model reads the cells, for the representations that need one."""


@dataclass(frozen=True, eq=False)
class Annotation:
    """Labels of cells and what they rest on."""

    key: str
    """Name of the column of labels; ``…_score`` and ``…_distance`` stand beside it."""
    table: pd.DataFrame
    """One row a cell: the label (categorical), its score in [0, 1], and the mean distance to
    the nearest reference cells; indexed by cell name."""
    overlap: Overlap
    """How many genes of the reference the query measures."""
    record: dict[str, Any]
    """Options, thresholds and versions; also in ``uns[key]``."""

    @property
    def labels(self) -> pd.Series[Any]:
        """The label of each cell, or ``"unknown"``."""
        return self.table[self.key]

    @property
    def score(self) -> pd.Series[Any]:
        """Probability of the likeliest label, in [0, 1]."""
        return self.table[f"{self.key}_score"]

    @property
    def coverage(self) -> float:
        """Share of cells with a label other than "unknown"."""
        return float((self.labels != UNKNOWN).mean())

    def __str__(self) -> str:
        overlap = self.overlap
        others = ", the others unknown" if self.coverage < 1 else ""
        fitted = "fitted anew on the shared genes" if overlap.refitted else "as it was fitted"
        lines = [
            f"{count_of(len(self.table), 'cells')} · {self.coverage:.1%} labelled{others}",
            f"{overlap.n_shared:,} of the reference's {overlap.n_genes:,} genes are measured "
            f"({overlap.share_of_expression:.1%} of its expression); reference {fitted}",
        ]
        held = self.record["reference"]
        if held["n_cells"] < held["n_seen"]:
            lines.append(
                f"{held['n_cells']:,} of the reference's {held['n_seen']:,} labelled cells were "
                "chosen, evenly over the labels"
            )
        counts = self.labels.value_counts()
        lines += [f"  {label}: {n:,}" for label, n in counts.items() if n]
        return "\n".join(lines)


def annotate(
    source: Source,
    *,
    reference: Reference | Source,
    label_key: str | None = None,
    key_added: str | None = None,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    options: AnnotateOptions | None = None,
) -> Annotation:
    """Label cells by labelled cells, and say "unknown" where the evidence is too weak.

    The reference is fitted once, on its own cells, and only applied afterwards; a cell's
    result does not depend on the other cells of the query.

    Parameters
    ----------
    source
        Cells to label: an AnnData, which gets the columns in place, or a file, which is
        streamed and left as it is.
    reference
        Labelled cells (AnnData or file), a fitted :class:`~celloquy.learn.Reference`, or the
        folder of a saved one.
    label_key
        Column of the reference's obs with the labels; a saved reference knows its own.
    key_added
        Name of the column of labels; `None` makes it ``<label_key>_celloquy``.
    out
        Copy of the file `source` to write with the columns added; only for files.
    overwrite
        Whether `out`, and columns and a record of the same name, are replaced.
    options
        Everything else.

    Returns
    -------
    Labels, scores and distances, and the record that also goes to ``uns[key_added]``.

    Raises
    ------
    InputError
        If a slot cannot be used (see :func:`celloquy.check`), a column is missing or taken,
        or fewer than 50 genes are shared.

    Notes
    -----
    "Unknown" is a top probability under 0.5, or a mean distance to the nearest reference
    cells over the 99th percentile of the reference's own leave-one-out distances. A cell that
    expresses no gene of the reference's cells is "unknown", too.
    """
    options = options or AnnotateOptions()
    reference = load_if_saved(reference)
    if isinstance(reference, Reference):
        label_key = _label_key(reference, label_key)
    key = key_added or f"{label_key}_celloquy"
    voted = [] if options.clusters is None else [f"{key}_majority", f"{key}_majority_share"]
    targets = {"obs": [key, f"{key}_score", f"{key}_distance", *voted], "uns": [key]}
    refuse_targets(source, targets, out=out, overwrite=overwrite)
    with open_cells(source, verb="annotate", read=options.read) as opened:
        if out is not None:
            refuse_taken(opened.stream, targets, overwrite=overwrite)
        clusters = None if options.clusters is None else obs_column(opened.stream, options.clusters)
        usable, overlap = for_query(
            reference, opened.genes.names, label_key=label_key, panel=options.panel,
            recipe=options.recipe, read=options.read_reference, text=options.text,
        )  # fmt: skip
        cells = opened.over(usable.vocabulary)
        reader = options.text.reader() if needs_text(usable.recipe) else None
        if reader is not None:
            _refuse_other_reader(usable, reader)
            opened.warn_of_ensembl_ids(reading_of(reader.lm))
        record = _record(usable, overlap, cells, panel=options.panel, reader=reader)
        work = _apply(cells, usable, reader)
        collected = collect(cells.stream, work, out=out, config=record, overwrite=overwrite)
        table = _table(key, usable.labels, collected, cells.stream.obs().index)
        record |= {"n_obs": len(table), "coverage": float((table[key] != UNKNOWN).mean())}
        if clusters is not None:
            _add_majority(table, key, clusters)
    annotation = Annotation(key, table, overlap, record)
    results = Results(obs={str(name): table[name] for name in table}, uns={key: record})
    if out is not None:
        write_annotated(path_of(source), out, results=results, overwrite=overwrite)
        discard_parts(out)
    elif is_adata(source):
        add_results(source, results)
    return annotation


def _label_key(reference: Reference, asked: str | None) -> str:
    """Give the label column that a fitted reference learned.

    Raises
    ------
    InputError
        If another one was asked for.
    """
    learned = reference.provenance.get("label_key")
    if None not in (asked, learned) and asked != learned:
        msg = f"The reference learned the labels of {learned!r}, and {asked!r} is asked for."
        hint = "leave `label_key` out, or fit a reference on that column."
        raise InputError(msg, hint=hint)
    return str(asked or learned or "label")


def _refuse_other_reader(reference: Reference, reader: SentenceReader) -> None:
    """Refuse to compare vectors of two models, forms or precisions.

    Raises
    ------
    InputError
        If the reference's cells were read in another way than the query is to be.
    """
    learned, asked = reference.provenance.get("text"), reader.record()
    if learned is None or learned == asked:
        return
    name = next(key for key in {**learned, **asked} if learned.get(key) != asked.get(key))
    msg = (
        f"The reference's cells were read with {name} {learned.get(name)!r}, and the query is "
        f"to be read with {asked.get(name)!r}."
    )
    raise InputError(msg, hint="pass the same `text=TextSource(...)` as for the reference.")


def _apply(cells: OpenCells, usable: Reference, reader: SentenceReader | None) -> Work:
    """Apply the reference chunk by chunk."""
    columns = () if reader is None else reader.columns

    def work(start: int, stop: int) -> dict[str, NDArray[Any]]:
        parts = []
        for chunk, block in cells.blocks(
            usable.vocabulary, columns=columns, start=start, stop=stop
        ):
            read = block if reader is None else reader.read(block, obs=chunk.obs)
            parts.append(usable.annotate(read))
        found = Predictions.concatenate(parts)
        return {
            "code": np.where(found.is_unknown, len(found.labels), found.codes).astype(np.int32),
            "score": found.score.astype(np.float32),
            "distance": found.distance.astype(np.float32),
        }

    return work


def _table(
    key: str, labels: tuple[str, ...], collected: Collected, names: pd.Index
) -> pd.DataFrame:
    codes = np.concatenate(list(collected.blocks("code")))
    categories = [*(label for label in labels if label != UNKNOWN), UNKNOWN]
    answers = np.array([*labels, UNKNOWN], dtype=object)[codes]
    return pd.DataFrame(
        {
            key: pd.Categorical(answers, categories=categories),
            f"{key}_score": np.concatenate(list(collected.blocks("score"))),
            f"{key}_distance": np.concatenate(list(collected.blocks("distance"))),
        },
        index=names,
    )


def _add_majority(table: pd.DataFrame, key: str, clusters: pd.Series[Any]) -> None:
    voted = majority(table[key].astype(str).to_list(), clusters.to_list())
    table[f"{key}_majority"] = pd.Categorical(voted.names, categories=table[key].cat.categories)
    table[f"{key}_majority_share"] = voted.share.astype(np.float32)


def _record(
    usable: Reference,
    overlap: Overlap,
    cells: OpenCells,
    *,
    panel: str,
    reader: SentenceReader | None,
) -> dict[str, Any]:
    """Say what was done, in plain values that h5ad can hold."""
    recipe = {name: value for name, value in usable.recipe.to_dict().items() if value is not None}
    return {
        "verb": "annotate",
        "celloquy": version("celloquy"),
        "slot": cells.stream.slot,
        "kind": cells.kind.kind,
        "recipe": recipe,
        "panel": panel,
        **({} if reader is None else {"text": reader.record()}),
        "overlap": asdict(overlap),
        "thresholds": {k: float(v) for k, v in asdict(usable.thresholds).items()},
        "calibrated": usable.temperature is not None,
        "reference": {
            "n_cells": len(usable.cell_names),
            "n_seen": usable.n_seen,
            # two lists: a label may hold "/", and the key of a record may not
            "labels": list(usable.counts),
            "cells_of_label": list(usable.counts.values()),
            "genes": usable.vocabulary.fingerprint,
            "cells": cells_digest(usable),
        },
    }
