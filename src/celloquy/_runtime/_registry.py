"""Names that stand for objects: listed without importing, loaded when asked for."""

from __future__ import annotations

import difflib
import importlib
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from celloquy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

T = TypeVar("T")


class Registry(Generic[T]):
    """A table from names to ``"package.module:object"``.

    Parameters
    ----------
    kind
        What the names stand for, in the singular; it begins the error message.
    entries
        The table. Nothing is imported until a name is asked for.
    group
        Entry points of this group, from other installed packages, stand in the table, too; none
        of them can take the name of an entry of the table.

    Examples
    --------
    >>> styles = Registry[object]("style", {"plain": "json:dumps"})
    >>> styles["plain"](1)
    '1'
    """

    def __init__(self, kind: str, entries: Mapping[str, str], *, group: str | None = None) -> None:
        self._kind = kind
        self._own = dict(entries)
        self._group = group

    @cached_property
    def _entries(self) -> dict[str, str]:
        if self._group is None:
            return self._own
        from importlib.metadata import entry_points

        added = {point.name: point.value for point in entry_points(group=self._group)}
        return {**added, **self._own}

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            msg = f"There is no {self._kind} {name!r}{closest(name, self._entries)}."
            raise InputError(msg, hint=f"choose one of: {', '.join(self._entries)}.")
        module, _, attribute = self._entries[name].partition(":")
        found: Any = getattr(importlib.import_module(module), attribute)
        return found  # type: ignore[no-any-return]


def closest(name: str, known: Iterable[str], *, key: Callable[[str], str] = str) -> str:
    """Name the closest known word as the end of a message, or nothing.

    Parameters
    ----------
    name
        What was given.
    known
        What there is.
    key
        Gives what words are compared by.

    Examples
    --------
    >>> closest("celltype", ["cell_type", "donor"])
    "; the closest is 'cell_type'"
    >>> closest("batch", ["cell_type", "donor"])
    ''
    """
    by_key = {key(one): one for one in known}
    near = difflib.get_close_matches(key(name), list(by_key), n=1, cutoff=0.6)
    return f"; the closest is {by_key[near[0]]!r}" if near else ""
