"""Known checkpoints: what they are called, what they may be used for, how they are asked."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from celloquy.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = 1
_FILE = Path(__file__).with_name("checkpoints.yaml")
_TOLD: set[str] = set()


@dataclass(frozen=True)
class KnownCheckpoint:
    """What is known of a checkpoint, and where from."""

    id: str
    """Its name on the hub, or of its package."""
    backend: str
    """The backend that runs it."""
    family: str
    """What it belongs to."""
    offers: tuple[str, ...]
    """What it can be asked for."""
    licence: str | None = None
    """Its licence as its source states it; `None` if it was not read."""
    licence_source: str | None = None
    """Where the licence was read."""
    recheck: str | None = None
    """Why the licence is to be looked at again."""
    revision: str | None = None
    """The commit that is pinned; `None` if none is."""
    sha256: str | None = None
    """Hash of its weights, where it is checked."""
    load: str | None = None
    """How it is loaded, if not by backend, id and revision."""
    base: str | None = None
    """The model that an adapter sits on."""
    context: int | None = None
    """Tokens that it reads; `None` if only its own settings say so."""
    prompt_format: str | None = None
    """How its prompts are written."""
    pooling: str | None = None
    """How token vectors become one."""
    prefixes: Mapping[str, str] = field(default_factory=dict)
    """What it was trained to read, by what is embedded."""
    notes: str | None = None
    """What else is good to know."""

    @property
    def name(self) -> str:
        """How :func:`celloquy.load_lm` is asked for it."""
        return self.load or f"{self.backend}:{self.id}@{self.revision or 'REVISION'}"

    def licence_line(self) -> str:
        """Say the licence in one line."""
        source = f" ({self.licence_source})" if self.licence_source else ""
        again = f" {self.recheck}" if self.recheck else ""
        return f"{self.id}: licence {self.licence or 'not known'}{source}.{again} Check its page."


@lru_cache(maxsize=1)
def known_checkpoints() -> tuple[KnownCheckpoint, ...]:
    """List the known checkpoints, without loading any."""
    return read_checkpoints(_FILE)


def read_checkpoints(path: Path) -> tuple[KnownCheckpoint, ...]:
    """Read a registry of checkpoints.

    Raises
    ------
    CheckpointError
        If it is of another schema, or an entry has an unknown or missing key.
    """
    content = yaml.safe_load(path.read_text("utf-8"))
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        msg = f"'{path.name}' is no registry of checkpoints of schema {SCHEMA}."
        raise CheckpointError(msg, hint=f"begin it with `schema: {SCHEMA}`.")
    return tuple(_entry(one, path) for one in content["checkpoints"])


def _entry(one: Mapping[str, Any], path: Path) -> KnownCheckpoint:
    """Make one entry.

    Raises
    ------
    CheckpointError
        If it has an unknown or missing key.
    """
    names = {f.name for f in fields(KnownCheckpoint)}
    wrong = sorted(set(one) - names) + sorted({"id", "backend", "family", "offers"} - set(one))
    if wrong:
        msg = f"An entry of '{path.name}' has an unknown key or lacks one: {wrong[0]!r}."
        raise CheckpointError(msg, hint=f"its keys are: {', '.join(sorted(names))}.")
    return KnownCheckpoint(**{**one, "offers": tuple(one["offers"])})


def find_known(place: str) -> KnownCheckpoint | None:
    """Find a checkpoint by its name on the hub, with or without a revision.

    Examples
    --------
    >>> find_known("zjunlp/chatcell-small@abc").family
    'ChatCell'
    """
    wanted = place.partition("@")[0].lower()
    return next((one for one in known_checkpoints() if one.id.lower() == wanted), None)


def tell_licence(known: KnownCheckpoint) -> None:
    """Say the licence of a checkpoint on stderr, once in a process."""
    if known.id not in _TOLD:
        _TOLD.add(known.id)
        sys.stderr.write(f"{known.licence_line()}\n")
