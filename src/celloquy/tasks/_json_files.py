"""JSON files of other projects: read whole, with the number of each entry for messages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from celloquy._runtime import closest
from celloquy.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def read_json(path: Path) -> Any:  # noqa: ANN401 (whatever the file holds)
    """Read a JSON file, or one JSON object a line.

    Raises
    ------
    InputError
        If it cannot be read as text, or is no JSON; line and column are told.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"'{path}' cannot be read as text: {error}."
        raise InputError(msg, hint="JSON is UTF-8 text.") from error
    if path.suffix == ".jsonl":
        lines = [(i, line) for i, line in enumerate(text.split("\n"), start=1) if line.strip()]
        return [_parse(line, path, number=number) for number, line in lines]
    return _parse(text, path)


def _parse(text: str, path: Path, *, number: int = 1) -> Any:  # noqa: ANN401 (what the file holds)
    """Read JSON that begins in a line of a file.

    Raises
    ------
    InputError
        If it is no JSON.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = error.lineno + number - 1
        msg = f"{path}:{line}:{error.colno}: this is no JSON: {error.msg}."
        raise InputError(msg, hint="check quotes, commas and brackets there.") from error
    except RecursionError as error:
        msg = f"'{path}' is nested too deep."
        raise InputError(msg, hint="it is a list of flat entries, or one of templates.") from error


def entry_text(
    entry: Mapping[str, Any], key: str, *, where: str, optional: bool = False
) -> str | None:
    """Take the text of a key.

    Raises
    ------
    InputError
        If the key is missing (and not optional), or its value is no text.
    """
    if key not in entry:
        if optional:
            return None
        msg = f"{where} has no key {key!r}{closest(key, entry)}."
        raise InputError(msg, hint=f"its keys are: {', '.join(map(str, entry)) or 'none'}.")
    value = entry[key]
    if value is None and optional:
        return None
    if not isinstance(value, str):
        msg = f"{where}: {key!r} is a text, not {json.dumps(value)[:60]}."
        raise InputError(msg, hint="put it in quotation marks.")
    return value


def entries_of(found: object, path: Path) -> list[Mapping[str, Any]]:
    """Take a list of objects.

    Raises
    ------
    InputError
        If it is something else, or empty.
    """
    if not isinstance(found, list) or not found:
        msg = f"'{path}' is no list of examples."
        raise InputError(msg, hint="examples are a JSON list of objects, or one object a line.")
    for number, entry in enumerate(found, start=1):
        if not isinstance(entry, Mapping):
            msg = f"{path}, entry {number} is no object but {json.dumps(entry)[:60]}."
            raise InputError(msg, hint='an entry is {"key": "text", …}.')
    return found


def refuse_unread(entry: Mapping[str, Any], read: Iterable[str], *, where: str) -> None:
    """Refuse a key that holds something and is not read, so that nothing is lost silently.

    Raises
    ------
    InputError
        If there is one.
    """
    known = list(read)
    for key, value in entry.items():
        if key not in known and value:
            msg = f"{where} has the key {key!r}, which is not read{closest(key, known)}."
            raise InputError(msg, hint=f"the keys are: {', '.join(known)}.")
