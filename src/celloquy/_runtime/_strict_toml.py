"""Strict tables read from TOML: recipes and suites, whose mistakes are told by name."""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from celloquy._runtime import closest
from celloquy.errors import InputError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from pydantic_core import ErrorDetails

R = TypeVar("R", bound=BaseModel)


class StrictTable(BaseModel):
    """A table of a file; keys that it does not have are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_toml(path: str | os.PathLike[str], *, what: str = "recipe") -> dict[str, Any]:
    """Read a TOML file.

    Parameters
    ----------
    path
        The file.
    what
        What the file is called in messages.

    Raises
    ------
    InputError
        If there is no such file, or it is no TOML.
    """
    path = Path(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        msg = f"There is no {what} '{path}'."
        hint = f"a {what} is a TOML file; the guides show whole ones."
        raise InputError(msg, hint=hint) from error
    except IsADirectoryError as error:
        msg = f"'{path}' is a folder, and a {what} is a TOML file."
        raise InputError(msg, hint="name the file in it.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"'{path}' is not TOML: {error}."
        raise InputError(msg, hint="mend that line.") from error


def checked(
    said: Mapping[str, Any], kind: type[R], *, where: str, guide: str, under: str = ""
) -> R:
    """Make a recipe, or another table, of plain values.

    Parameters
    ----------
    said
        Tables with their keys.
    kind
        What they shall become.
    where
        What the file is called in messages.
    guide
        The page that shows a whole one.
    under
        The table that it stands in.

    Raises
    ------
    InputError
        If a key is unknown or missing, or a value cannot be; the closest key is told.
    """
    try:
        return kind.model_validate(said)
    except ValidationError as error:
        refusal = _refusal(error, kind, where=where, guide=guide, under=under)
        raise refusal from error


def digest(recipe: BaseModel) -> str:
    """SHA-256 of all that a recipe says, defaults included."""
    text = json.dumps(recipe.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _refusal(
    error: ValidationError, kind: type[BaseModel], *, where: str, guide: str, under: str
) -> InputError:
    """Say the first mistake of a recipe, with the closest word."""
    first = _first(error)
    place = first["loc"]
    keys = _keys(kind, place[:-1])
    hint = f"the keys are: {', '.join(keys)}." if keys else f"see {guide}."
    table, key = _table(place[:-1], under), str(place[-1]) if place else ""
    if first["type"] == "extra_forbidden":
        return InputError(f"{where}: {table} has no key {key!r}{closest(key, keys)}.", hint=hint)
    if first["type"] == "missing":
        return InputError(f"{where}: {table} needs `{key}`, which is missing.", hint=hint)
    if first["type"] == "value_error":
        said = str(first["ctx"]["error"])
        return InputError(f"{where}: {_table(place, under)}: {said}.", hint=f"see {guide}.")
    what = first["msg"][0].lower() + first["msg"][1:]
    named = ".".join(str(part) for part in ((under, *place) if under else place))
    return InputError(f"{where}: `{named}` is {first['input']!r}: {what}.", hint="mend that line.")


def _first(error: ValidationError) -> ErrorDetails:
    """Choose the mistake to tell: a misspelt key explains that the right one is missing."""
    first, *others = error.errors()
    if first["type"] != "missing":
        return first
    *table, missing = first["loc"]
    for other in others:
        is_unknown = other["type"] == "extra_forbidden" and list(other["loc"][:-1]) == table
        if is_unknown and closest(str(other["loc"][-1]), [str(missing)]):
            return other
    return first


def _table(place: Sequence[int | str], under: str) -> str:
    """Name a table, and count its kind as a person does: ``[[corpus.source]] 2``."""
    named = ".".join(str(part) for part in (under, *place) if part != "" and not _is_row(part))
    if place and _is_row(place[-1]):
        return f"[[{named}]] {int(place[-1]) + 1}"
    return f"[{named}]" if named else "it"


def _is_row(part: int | str) -> bool:
    return isinstance(part, int)


def _keys(kind: type[BaseModel], place: Sequence[int | str]) -> tuple[str, ...]:
    """Name the keys that may stand in a table."""
    found: Any = kind
    for part in place:
        if isinstance(part, int):
            continue
        field = getattr(found, "model_fields", {}).get(part)
        if field is None:
            return ()
        found = next(_models(field.annotation), None)
    return tuple(getattr(found, "model_fields", ()))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 (any annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)
