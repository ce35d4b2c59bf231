"""The form of a task's file: every mistake is told with line, column and the closest word."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from celloquy._runtime import closest
from celloquy.errors import InputError
from celloquy.tasks._answers import ANSWER_KINDS, Answer, checked_label
from celloquy.tasks._gaps import read_templates
from celloquy.tasks._inputs import KINDS, Input
from celloquy.tasks._located import read_located, refuse_other_keys
from celloquy.tasks._metrics import METRICS
from celloquy.tasks._parsers import DEFAULT_PARSERS, PARSERS
from celloquy.tasks._task import Task
from celloquy.text._template import Gap, cut_template

if TYPE_CHECKING:
    from celloquy.tasks._answers import AnswerKind
    from celloquy.tasks._inputs import InputKind
    from celloquy.tasks._located import Located

VERSION = 1
"""The form of file that this code reads and writes."""
KEYS = (
    "version", "name", "summary", "note", "quotes", "contrast", "inputs", "answer", "metrics",
    "templates",
)  # fmt: skip
NAME = re.compile(r"[a-z][a-z0-9_]*")


def task_of(source: str, *, file: str) -> Task:
    """Make a task of the text of a file.

    Raises
    ------
    InputError
        If it is no task; `file`, line and column are told.
    """
    root = read_located(source, file=file)
    table = root.table("A task")
    refuse_other_keys(table, KEYS, what="A task")
    for key in ("version", "name", "summary", "inputs", "answer", "metrics", "templates"):
        if key not in table:
            msg = f"The task has no `{key}`."
            raise root.refusal(msg, hint="`celloquy tasks show cell_type` shows a whole one.")
    _check_version(table["version"])
    name = table["name"].text("`name`")
    if not NAME.fullmatch(name):
        msg = f"`name` is small letters, digits and underscores, not {name!r}."
        raise table["name"].refusal(msg, hint="write it like `cell_type`.")
    inputs = _inputs(table["inputs"])
    answer = _answer(table["answer"], inputs)
    task = Task(
        name=name,
        version=VERSION,
        summary=table["summary"].text("`summary`"),
        inputs=inputs,
        templates=read_templates(table["templates"], inputs, answer),
        answer=answer,
        metrics=_metrics(table["metrics"]),
        sha256="",
        is_quoted=_quotes(table.get("quotes")),
        contrast=_contrast(table.get("contrast"), answer),
        note=table["note"].text("`note`") if "note" in table else "",
        source=file,
    )
    return replace(task, sha256=_sha256(task))


def _check_version(found: Located) -> None:
    """Refuse a file of another form.

    Raises
    ------
    InputError
        If it is not version 1.
    """
    version = found.whole_number("`version`")
    if version != VERSION:
        msg = f"This file has version {version}; this celloquy reads version {VERSION}."
        raise found.refusal(msg, hint="update celloquy, or write `version: 1`.")


def _inputs(found: Located) -> dict[str, Input]:
    """Read what the task is asked about.

    Raises
    ------
    InputError
        If an input cannot be used.
    """
    inputs: dict[str, Input] = {}
    table = found.table("`inputs`")
    for name, place in table.items():
        if not NAME.fullmatch(name) or name == "a":
            msg = f"An input is named in small letters, digits and underscores, not {name!r}."
            raise place.key_refusal(msg, hint="write it like `cell_sentence`.")
        inputs[name] = _input(name, place)
    for name, given in inputs.items():
        counted = inputs.get(given.of or "")
        if given.kind == "count" and (counted is None or counted.kind in _NOT_COUNTED):
            able = [i for i in inputs if inputs[i].kind not in _NOT_COUNTED]
            near = closest(given.of or "", able)
            msg = f"{name!r} counts {given.of!r}, which is no input with genes or cells{near}."
            hint = "`of:` names a cell, cells, genes or labels."
            raise table[name].refusal(msg, hint=hint)
    return inputs


_NOT_COUNTED = {"field", "number", "count", "gene"}


def _input(name: str, place: Located) -> Input:
    """Read one input.

    Raises
    ------
    InputError
        If its keys do not fit its kind.
    """
    table = place.table(f"Input {name!r}")
    refuse_other_keys(table, ("kind", "summary", "default", "of"), what=f"Input {name!r}")
    if "kind" not in table:
        msg = f"Input {name!r} has no `kind`."
        raise place.refusal(msg, hint=f"choose of: {', '.join(KINDS)}.")
    kind = cast("InputKind", table["kind"].one_of(KINDS, "Kind of input"))
    if ("of" in table) != (kind == "count"):
        msg = f"Input {name!r} is a {kind}: `of:` belongs to a count, and to nothing else."
        raise place.refusal(msg, hint="write `kind: count` and `of: cell_sentence`.")
    if "default" in table and kind not in {"field", "number"}:
        msg = f"Input {name!r} is a {kind}, which has no default."
        raise table["default"].refusal(msg, hint="only a field and a number have one.")
    texts = {key: table[key].text(f"`{key}`") for key in table if key != "kind"}
    return Input(name, kind, **texts)


def _answer(found: Located, inputs: dict[str, Input]) -> Answer:
    """Read what the task is answered with.

    Raises
    ------
    InputError
        If it cannot be used.
    """
    table = found.table("`answer`")
    refuse_other_keys(table, ("kind", "template", "parser", "labels", "options"), what="`answer`")
    for key in ("kind", "template"):
        if key not in table:
            msg = f"`answer` has no `{key}`."
            raise found.refusal(msg, hint='it says `kind: label` and `template: "{cell_type}"`.')
    kind = cast("AnswerKind", table["kind"].one_of(ANSWER_KINDS, "Kind of answer"))
    template = table["template"].text("`template`")
    gaps = [part for part in cut_template(template) if isinstance(part, Gap)]
    if len(gaps) != 1 or gaps[0].column or gaps[0].kind in inputs:
        msg = f"The answer's template has one gap, which is no input, not {template!r}."
        raise table["template"].refusal(msg, hint='write it like "{cell_type}".')
    parser = DEFAULT_PARSERS[kind]
    if "parser" in table:
        parser = table["parser"].one_of(PARSERS, "Parser")
    labels = _labels(table["labels"]) if "labels" in table else None
    options = {}
    if "options" in table:
        options = {key: value.plain() for key, value in table["options"].table("It").items()}
    return Answer(kind, template, parser, labels, options)


def _labels(found: Located) -> tuple[str, ...]:
    """Read the labels that a task always has.

    Raises
    ------
    InputError
        If one is empty, has several lines, or repeats.
    """
    labels: list[str] = []
    for place in found.entries("`labels`"):
        label = place.text("A label")
        try:
            checked_label(label, None)
        except InputError as error:
            raise place.refusal(str(error), hint=error.hint or "") from error
        if label in labels:
            msg = f"The label {label!r} repeats."
            raise place.refusal(msg, hint="name each label once.")
        labels.append(label)
    if not labels:
        msg = "There are no labels to choose from."
        raise found.refusal(msg, hint="leave `labels` out where the user brings them.")
    return tuple(labels)


def _metrics(found: Located) -> tuple[str, ...]:
    """Read the names of the metrics.

    Raises
    ------
    InputError
        If there is none, or one is not known.
    """
    names = tuple(place.one_of(METRICS, "Metric") for place in found.entries("`metrics`"))
    if not names:
        msg = "A task has at least one metric."
        raise found.refusal(msg, hint="`accuracy` is one for labels.")
    return names


def _quotes(found: Located | None) -> bool:
    return found is None or found.one_of(("true", "false"), "Value of `quotes`") == "true"


def _contrast(found: Located | None, answer: Answer) -> str:
    """Read the name of the task that guided answers are drawn away from.

    Raises
    ------
    InputError
        If the task is not answered with the genes of a cell.
    """
    if found is None:
        return ""
    if answer.kind != "genes":
        msg = f"`contrast` is for answers of kind 'genes', not {answer.kind!r}."
        raise found.refusal(msg, hint="leave it out.")
    return found.text("`contrast`")


def content_of(task: Task) -> dict[str, Any]:
    """Give all that a task's file says, as plain values in the order of a file."""
    inputs = {}
    for name, given in task.inputs.items():
        said = {"kind": given.kind, "summary": given.summary, "default": given.default}
        inputs[name] = {key: value for key, value in {**said, "of": given.of}.items() if value}
    answer = {
        "kind": task.answer.kind,
        "template": task.answer.template,
        "parser": task.answer.parser,
        "labels": list(task.answer.labels) if task.answer.labels else None,
        "options": dict(task.answer.options),
    }
    content = {
        "version": task.version,
        "name": task.name,
        "summary": task.summary,
        "note": task.note,
        "quotes": None if task.is_quoted else False,
        "contrast": task.contrast,
        "inputs": inputs,
        "answer": {key: value for key, value in answer.items() if value},
        "metrics": list(task.metrics),
        "templates": list(task.templates),
    }
    return {key: value for key, value in content.items() if value not in (None, "")}


def _sha256(task: Task) -> str:
    """Hash all that the file says, however it is laid out."""
    canonical = json.dumps(content_of(task), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
