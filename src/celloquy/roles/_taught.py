"""Asking as the model was taught: its settings where the user says nothing, else a warning."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from celloquy._runtime import closest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from celloquy.lm import CellReading, LanguageModel
    from celloquy.roles._generate_options import GenerateOptions
    from celloquy.roles._predict_options import PredictOptions

Options = TypeVar("Options", "PredictOptions", "GenerateOptions")


def reading_of(lm: LanguageModel) -> CellReading | None:
    """Give how a model was taught to read cells, if it says so."""
    found: CellReading | None = getattr(lm, "reading", None)
    return found


def as_taught(
    options: Options, lm: LanguageModel, *, task: str, defaults: Mapping[str, int]
) -> Options:
    """Take the model's settings where the user says nothing.

    Parameters
    ----------
    options
        How cells are predicted or generated.
    lm
        The model.
    task
        Name of the task.
    defaults
        Numbers of genes that the options leave open, with what is taken if the model says
        nothing either.
    """
    reading = reading_of(lm)
    settings = dict.fromkeys(defaults, reading.n_top_genes) if reading is not None else {}
    told: dict[str, Any] = {}
    otherwise: list[str] = []
    for name, default in defaults.items():
        given = getattr(options, name)
        told[name] = settings.get(name, default) if given is None else given
        if given is not None and reading is not None and not _is_taught(given, reading):
            otherwise.append(f"`{name}={given}` and not {_span(reading)}")
    taught = None if reading is None else reading.templates.get(task)
    told["template"] = (taught or 0) if options.template is None else options.template
    if reading is not None and reading.templates and taught is None:
        otherwise.append(f"the task {task!r}, which it was never taught")
    if otherwise:
        said = f"'{lm.name}' was taught otherwise: it is asked with {'; '.join(otherwise)}."
        warnings.warn(said, stacklevel=3)
    return replace(options, **told)


def _is_taught(n_genes: int, reading: CellReading) -> bool:
    return reading.n_genes[0] <= n_genes <= reading.n_genes[1]


def _span(reading: CellReading) -> str:
    fewest, most = reading.n_genes
    return f"{most}" if fewest == most else f"{fewest} to {most}"


def warn_of_new_labels(lm: LanguageModel, task: str, labels: Sequence[str]) -> None:
    """Say which labels a model was never taught, where it says which it was.

    Parameters
    ----------
    lm
        The model.
    task
        Name of the task.
    labels
        What it is to choose from.
    """
    reading = reading_of(lm)
    taught = () if reading is None else reading.labels.get(task, ())
    new = [label for label in labels if label not in taught]
    if taught and new:
        some = ", ".join(f"{label!r}{closest_label(label, taught)}" for label in new[:3])
        said = (
            f"'{lm.name}' was never taught {len(new):,} of the {len(labels):,} labels of {task!r}: "
            f"{some}. Cells of such a type get another label. It was taught {len(taught):,}: "
            f"`celloquy lm show {lm.name}` lists them."
        )
        warnings.warn(said, stacklevel=3)


def closest_label(label: str, taught: Sequence[str]) -> str:
    """Name the closest label that a model was taught as the end of a message, or nothing.

    Parameters
    ----------
    label
        What was given: a name, or the first letters of one.
    taught
        What there is.

    Examples
    --------
    >>> closest_label("NK cells", ["B cell", "natural killer cell"])
    "; the closest is 'natural killer cell'"
    >>> closest_label("bcells", ["B cell", "natural killer cell"])
    "; the closest is 'B cell'"
    """
    for one in taught:
        words = _bare(one).split()
        if len(words) > 1 and _bare(label) == "".join(word[0] for word in words):
            return f"; the closest is {one!r}"
    return closest(label, taught, key=_bare)


def _bare(label: str) -> str:
    """Give a label without case and the word that most labels share."""
    return re.sub(r"\W*cells?$", "", label.lower().strip())
