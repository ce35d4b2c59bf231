"""Annotate for the command line: a reference, markers that a language model reads, or both."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import typer

from celloquy.errors import InputError
from celloquy.roles import (
    AnnotateOptions,
    Annotation,
    ClusterOptions,
    ReadOptions,
    annotate,
    load_or_fit,
    name_clusters,
    plan_clusters,
)

if TYPE_CHECKING:
    from pathlib import Path

    from celloquy.learn import Recipe
    from celloquy.lm import LanguageModel
    from celloquy.roles import NamedClusters, TextSource


@dataclass(frozen=True)
class FromReference:
    """Labels from labelled cells."""

    reference: Path
    label_key: str | None
    recipe: Recipe
    read: ReadOptions
    save: Path | None
    text: TextSource


@dataclass(frozen=True)
class FromMarkers:
    """Names of clusters by a language model."""

    lm: LanguageModel
    labels: Path | None
    per_cell: str | None
    fields: dict[str, str]
    n_markers: int
    free_text: bool
    parents: str | None
    dry_run: bool


@dataclass(frozen=True)
class Wishes:
    """What is wanted of one run."""

    source: Path
    out: Path | None
    key_added: str | None
    clusters: str | None
    plots: Path | None
    as_json: bool
    overwrite: bool
    read: ReadOptions = field(default_factory=ReadOptions)


def label_cells(wishes: Wishes, asked: FromReference, *, keep: bool) -> Annotation:
    """Label cells by labelled cells, and write the file if it is to be kept.

    Parameters
    ----------
    wishes
        What is wanted.
    asked
        The reference.
    keep
        Whether the labels are the result, and not only evidence for the clusters' names.
    """
    from celloquy.learn import save_reference

    fitted: Any = asked.reference
    if asked.save is not None:
        fitted = load_or_fit(
            asked.reference, label_key=asked.label_key, recipe=asked.recipe, read=asked.read,
            text=asked.text,
        )  # fmt: skip
        save_reference(fitted, asked.save, overwrite=wishes.overwrite)
    annotation = annotate(
        wishes.source, reference=fitted, label_key=asked.label_key,
        key_added=wishes.key_added if keep else None, out=wishes.out if keep else None,
        overwrite=wishes.overwrite,
        options=AnnotateOptions(
            recipe=asked.recipe, read=wishes.read, read_reference=asked.read,
            clusters=wishes.clusters if keep else None, text=asked.text,
        ),
    )  # fmt: skip
    typer.echo(str(annotation), err=True)
    return annotation


def name(wishes: Wishes, asked: FromMarkers, reference: FromReference | None) -> None:
    """Name clusters, and put the evidence on the screen.

    Raises
    ------
    InputError
        If there is no column of clusters, or labels of cells come from two places.
    """
    if wishes.clusters is None:
        msg = "`--markers` names clusters, and no column of clusters is given."
        raise InputError(msg, hint="pass `--clusters COLUMN`, such as `--clusters leiden`.")
    if reference is not None and asked.per_cell is not None:
        msg = "Labels of cells come from `--reference` or from `--per-cell`, and both are given."
        raise InputError(msg, hint="leave one out.")
    options = ClusterOptions(
        fields=asked.fields, n_markers=asked.n_markers, free_text=asked.free_text,
        parents=asked.parents, key_added=wishes.key_added, read=wishes.read,
    )  # fmt: skip
    if asked.dry_run:
        typer.echo(
            plan_clusters(
                wishes.source, clusters=wishes.clusters, lm=asked.lm, labels=asked.labels,
                options=options,
            )
        )  # fmt: skip
        return
    per_cell: str | Annotation | None = asked.per_cell
    if reference is not None:
        per_cell = label_cells(wishes, reference, keep=False)
    found = name_clusters(
        wishes.source, clusters=wishes.clusters, lm=asked.lm, labels=asked.labels,
        per_cell=per_cell, out=wishes.out, overwrite=wishes.overwrite, options=options,
    )  # fmt: skip
    typer.echo(
        _json(found) if wishes.as_json else found.table.to_csv(sep="\t", index=False), nl=False
    )
    typer.echo(str(found), err=True)
    if wishes.plots is not None and isinstance(per_cell, Annotation):
        draw(wishes, per_cell.key)


def _json(found: NamedClusters) -> str:
    table = json.loads(found.table.to_json(orient="records"))
    said = {"key": found.key, "clusters": table, "record": found.record}
    return json.dumps(said, indent=2) + "\n"


def draw(wishes: Wishes, key: str) -> None:
    """Draw the cells of the file that was written."""
    from celloquy.apps.pictures import draw_annotation

    if wishes.plots is None or wishes.out is None:
        return
    for path in draw_annotation(
        wishes.out, key, folder=wishes.plots, read=wishes.read, groupby=wishes.clusters,
        overwrite=wishes.overwrite,
    ):  # fmt: skip
        typer.echo(str(path), err=True)
