"""Tasks from YAML files: every mistake is told with its line, its column and the closest word."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import replace
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from celloquy._runtime import Registry, closest
from celloquy.errors import InputError
from celloquy.tasks._answers import ANSWER_KINDS, Answer, checked_label
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
    "version", "name", "summary", "note", "quotes", "inputs", "answer", "metrics", "templates",
)  # fmt: skip
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_ENDINGS = (".yaml", ".yml")
ADDED = Registry[str | os.PathLike[str]]("task", {}, group="celloquy.tasks")
"""Tasks of other installed packages: entry points that stand for the path of a file."""


def list_tasks() -> list[str]:
    """List the names of the tasks: those of the package, then those that others add."""
    own = _own_files()
    return [*own, *(name for name in ADDED if name not in own)]


def load_task(name: str | os.PathLike[str]) -> Task:
    """Load a task by its name, or from a file.

    Parameters
    ----------
    name
        One of :func:`list_tasks`, or the path of a YAML file.

    Raises
    ------
    InputError
        If there is no such task or file, or the file is no task; line and column are told.

    Examples
    --------
    >>> load_task("cell_type").answer_text("B cell")
    'B cell'
    """
    if isinstance(name, str) and not name.endswith(_ENDINGS) and "/" not in name:
        return _packaged(name)
    path = Path(name)
    try:
        source = path.read_text("utf-8")
    except FileNotFoundError as error:
        msg = f"There is no file '{path}'."
        raise InputError(msg, hint="`celloquy tasks list` has the tasks of the package.") from error
    except (OSError, UnicodeDecodeError) as error:
        msg = f"'{path}' cannot be read as text: {error}."
        raise InputError(msg, hint="a task is a YAML file in UTF-8.") from error
    return task_of(source, file=str(path))


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
    if not _NAME.fullmatch(name):
        msg = f"`name` is small letters, digits and underscores, not {name!r}."
        raise table["name"].refusal(msg, hint="write it like `cell_type`.")
    inputs = _inputs(table["inputs"])
    answer = _answer(table["answer"], inputs)
    task = Task(
        name=name,
        version=VERSION,
        summary=table["summary"].text("`summary`"),
        inputs=inputs,
        templates=_templates(table["templates"], inputs, answer),
        answer=answer,
        metrics=_metrics(table["metrics"]),
        sha256="",
        is_quoted=_quotes(table.get("quotes")),
        note=table["note"].text("`note`") if "note" in table else "",
        source=file,
    )
    return replace(task, sha256=_sha256(task))


@lru_cache
def _packaged(name: str) -> Task:
    """Load a task by its name.

    Raises
    ------
    InputError
        If there is none of that name, or a file of another package is named otherwise.
    """
    own = _own_files()
    if name in own:
        return task_of(own[name].read_text("utf-8"), file=f"{name}.yaml")
    if name not in ADDED:
        known = list_tasks()
        msg = f"There is no task {name!r}{closest(name, known)}."
        hint = f"choose one of: {', '.join(known)}; a file is named with its ending, .yaml."
        raise InputError(msg, hint=hint)
    task = load_task(Path(ADDED[name]))
    if task.name != name:
        msg = f"{task.source} holds the task {task.name!r}; its package adds it as {name!r}."
        raise InputError(msg, hint="name the entry point as the file does.")
    return task


@lru_cache
def _own_files() -> dict[str, Any]:
    folder = resources.files("celloquy.tasks") / "files"
    found = sorted(folder.iterdir(), key=lambda file: file.name)
    return {file.name.removesuffix(".yaml"): file for file in found if file.name.endswith(".yaml")}


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
        if not _NAME.fullmatch(name) or name == "a":
            msg = f"An input is named in small letters, digits and underscores, not {name!r}."
            raise place.refusal(msg, hint="write it like `cell_sentence`.")
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


def _templates(found: Located, inputs: dict[str, Input], answer: Answer) -> tuple[str, ...]:
    """Read the ways to ask.

    Raises
    ------
    InputError
        If there is none, two are alike, or gaps and inputs do not fit.
    """
    places = found.entries("`templates`")
    if not places:
        msg = "A task has at least one template."
        raise found.refusal(msg, hint="write one, with a gap for every input.")
    templates: dict[str, int] = {}
    for number, place in enumerate(places):
        template = place.text("A template")
        if template in templates:
            msg = f"Template {number} is the same as template {templates[template]}."
            raise place.refusal(msg, hint="keep one of the two.")
        templates[template] = number
        _check_gaps(template, number, place, inputs=inputs, answer=answer)
    used = {name for template in templates for name in gap_names(template)}
    for name in inputs:
        if name not in used:
            msg = f"No template uses the input {name!r}{closest(name, used)}."
            raise found.refusal(msg, hint=f"write {{{name}}} in a template, or leave it out.")
    return tuple(templates)


def gap_names(template: str) -> list[str]:
    """Name the inputs that a template has gaps for."""
    gaps = [part for part in cut_template(template) if isinstance(part, Gap)]
    return [gap.column if gap.kind == "a" and gap.column else gap.kind for gap in gaps]


def _check_gaps(
    template: str, number: int, place: Located, *, inputs: dict[str, Input], answer: Answer
) -> None:
    """Refuse gaps that are no inputs, and inputs without a gap.

    Raises
    ------
    InputError
        If there is one.
    """
    for gap in (part for part in cut_template(template) if isinstance(part, Gap)):
        _check_gap(gap, number, place, inputs=inputs, answer=answer)
    named = gap_names(template)
    for name, given in inputs.items():
        if given.kind != "count" and name not in named:
            msg = f"Template {number} has no gap for the input {name!r}{closest(name, named)}."
            hint = f"write {{{name}}} where it shall stand; all templates ask about the same."
            raise place.refusal(msg, hint=hint)


def _check_gap(
    gap: Gap, number: int, place: Located, *, inputs: dict[str, Input], answer: Answer
) -> None:
    """Refuse a gap that is no input.

    Raises
    ------
    InputError
        If it is none, or an article is asked for what has none.
    """
    written = f"{{{gap.kind}:{gap.column}}}" if gap.column else f"{{{gap.kind}}}"
    at = place.place_of(written)
    if gap.column and gap.kind != "a":
        msg = f"Template {number} has the gap {written}; only {{a:NAME}} has a colon."
        raise place.refusal(msg, hint=f"write {{{gap.column}}} or {{a:{gap.column}}}.", place=at)
    name = gap.column or gap.kind
    if name == answer.gap:
        msg = f"Template {number} holds the answer, {written}."
        raise place.refusal(msg, hint="a prompt ends before its answer.", place=at)
    if name not in inputs:
        msg = f"Template {number} has the gap {written}, which is no input{closest(name, inputs)}."
        hint = f"the inputs are: {', '.join(inputs) or 'none'}; write {{{written}}} for the words."
        raise place.refusal(msg, hint=hint, place=at)
    if gap.column and inputs[name].kind != "field":
        msg = f"Template {number} has {written}, and {name!r} is a {inputs[name].kind}, no field."
        raise place.refusal(msg, hint=f"write {{{name}}}.", place=at)


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
