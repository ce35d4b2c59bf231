"""A user's own copy of Cell2Sentence's prompt files, as tasks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from celloquy._runtime import closest
from celloquy.errors import InputError
from celloquy.tasks._form import task_of
from celloquy.tasks._json_files import read_json
from celloquy.text._template import Gap, cut_template

if TYPE_CHECKING:
    import os

    from celloquy.tasks._task import Task

_ANSWERS = {
    "cell_type": ("label", ["macro_f1", "accuracy"]),
    "tissue": ("label", ["macro_f1", "accuracy"]),
    "cell_sentence": ("genes", ["gene_order", "gene_set_f1"]),
    "multi_cell_sentences": ("cells", ["sample_gene_f1"]),
    "abstract": ("text", ["word_f1"]),
}
"""Kind and metrics of each answer."""
_PLACEHOLDERS = (*_ANSWERS, "organism", "num_genes", "num_cells")
_FIELDS = {"cell_type", "tissue", "abstract"}


def import_cell2sentence(
    path: str | os.PathLike[str], *, name: str | None = None, compat: bool = False
) -> Task:
    r"""Make a task of a prompt file of Cell2Sentence, one that the user has.

    The words stay as they are, as a checkpoint was trained with them: values of the user's
    metadata stand there without quotation marks. The organism is "Homo sapiens" unless a
    value is given (AF-21).

    Parameters
    ----------
    path
        A JSON object with ``model_input`` (templates) and ``response`` (one template).
    name
        The task's name; `None` makes one of the file's name.
    compat
        Whether all is to the letter: the number of genes is the one asked for, whatever the
        cell has (AF-20), and a block of several cells is followed by a line with a full stop
        alone (AF-19). Without it, the number is the cell's, and that line is left out.

    Raises
    ------
    InputError
        If a key is missing or a placeholder is unknown; the closest is told.
    """
    path = Path(path)
    found = read_json(path)
    if not isinstance(found, Mapping):
        msg = f"'{path}' is no object with the keys 'model_input' and 'response'."
        raise InputError(msg, hint="it is one of Cell2Sentence's prompt files.")
    templates = _texts(found, "model_input", path)
    responses = _texts(found, "response", path)
    if len(responses) != 1:
        msg = f"{path}, key 'response': there are {len(responses)} answer templates."
        raise InputError(msg, hint="keep one.")
    for place, text in [
        *((f"entry {i} of 'model_input'", text) for i, text in enumerate(templates, start=1)),
        ("'response'", responses[0]),
    ]:
        _check_placeholders(text, f"{path}, {place}")
    answer = _named(responses[0])
    if len(answer) != 1 or answer[0] not in _ANSWERS:
        msg = f"{path}, 'response' holds {', '.join(answer) or 'no placeholder'}."
        raise InputError(msg, hint=f"it holds one of: {', '.join(_ANSWERS)}.")
    kind, metrics = _ANSWERS[answer[0]]
    written = [_as_written(text, compat=compat) for text in templates]
    content = {
        "version": 1,
        "name": name or re.sub(r"\W+", "_", path.stem.lower()).strip("_"),
        "summary": f"Imported from {path.name}, a prompt file of Cell2Sentence.",
        "quotes": False,
        "inputs": _inputs(written, compat=compat),
        "answer": {"kind": kind, "template": _as_written(responses[0], compat=compat)},
        "metrics": metrics,
        "templates": written,
    }
    return task_of(as_yaml(content), file=str(path))


def as_yaml(content: Mapping[str, Any]) -> str:
    """Write the content of a task's file as YAML."""
    return str(yaml.dump(dict(content), Dumper=_Dumper, sort_keys=False, allow_unicode=True))


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, for people to read."""


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent)


def _texts(found: Mapping[str, Any], key: str, path: Path) -> list[str]:
    """Take the templates of a key.

    Raises
    ------
    InputError
        If the key is missing, or one is no text.
    """
    if key not in found:
        msg = f"'{path}' has no key {key!r}{closest(key, found)}."
        raise InputError(msg, hint=f"its keys are: {', '.join(map(str, found)) or 'none'}.")
    texts = [found[key]] if isinstance(found[key], str) else found[key]
    if not isinstance(texts, list) or not texts:
        msg = f"{path}, key {key!r} is no list of templates."
        raise InputError(msg, hint="it is a list of texts.")
    for number, text in enumerate(texts, start=1):
        if not isinstance(text, str) or not text.strip():
            msg = f"{path}, entry {number} of {key!r} is no text."
            raise InputError(msg, hint="put it in quotation marks.")
    return texts


def _named(text: str) -> list[str]:
    return [part.kind for part in cut_template(text) if isinstance(part, Gap)]


def _check_placeholders(text: str, where: str) -> None:
    """Refuse a placeholder that Cell2Sentence does not have.

    Raises
    ------
    InputError
        If there is one.
    """
    for name in _named(text):
        if name not in _PLACEHOLDERS:
            msg = f"{where} has the placeholder {{{name}}}{closest(name, _PLACEHOLDERS)}."
            raise InputError(msg, hint=f"the placeholders are: {', '.join(_PLACEHOLDERS)}.")


def _as_written(text: str, *, compat: bool) -> str:
    """Say what becomes of the full stop behind a block of several cells."""
    block = "{multi_cell_sentences}"
    return text.replace(f"{block}.", f"{block}\n." if compat else block)


def _inputs(templates: list[str], *, compat: bool) -> dict[str, dict[str, str]]:
    named = dict.fromkeys(name for text in templates for name in _named(text))
    inputs: dict[str, dict[str, str]] = {}
    for name in named:
        if name == "organism":
            inputs[name] = {"kind": "field", "default": "Homo sapiens"}
        elif name == "cell_sentence":
            inputs[name] = {"kind": "cell"}
        elif name == "multi_cell_sentences":
            inputs[name] = {"kind": "cells"}
        elif name == "num_cells":
            counted = "multi_cell_sentences" in named
            of = {"kind": "count", "of": "multi_cell_sentences"}
            inputs[name] = of if counted else {"kind": "number", "default": "5"}
        elif name == "num_genes":
            counted = "cell_sentence" in named and not compat
            of = {"kind": "count", "of": "cell_sentence"}
            inputs[name] = of if counted else {"kind": "number", "default": "100"}
        else:
            inputs[name] = {"kind": "field"}
    return inputs
