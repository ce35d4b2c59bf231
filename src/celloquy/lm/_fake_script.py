"""The script of a scripted language model: a JSON file, checked before it is used."""

from __future__ import annotations

import hashlib
import json
import math
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from celloquy.errors import InputError
from celloquy.lm._fake import ScriptedModel
from celloquy.lm._protocol import Capability  # noqa: TC001 (pydantic reads it)

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Entry(_Strict):
    """What is answered to some prompts; an entry without condition answers all."""

    contains: str | None = None
    """Words that the prompt holds."""
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    """SHA-256 of the prompt's text."""
    answer: str
    """What is answered."""
    logp: dict[str, float] | None = None
    """Log-probabilities of answers, in nats; other answers have none."""

    def fits(self, prompt: str) -> bool:
        """Say whether this entry answers a prompt."""
        if self.contains is not None and self.contains not in prompt:
            return False
        return self.sha256 is None or self.sha256 == hashlib.sha256(prompt.encode()).hexdigest()


class Script(_Strict):
    """A script: the first entry that fits a prompt answers it."""

    schema_version: Literal[1] = 1
    """Version of this format."""
    in_order: list[str] = []
    """Answers to the first prompts, one each, before any entry is looked at."""
    entries: list[Entry] = []
    """What is answered afterwards."""
    otherwise: str = "unknown"
    """What is answered where no entry fits."""
    capabilities: list[Capability] = ["embed", "score", "generate"]
    """What the model can be asked for."""
    has_logp: bool = True
    """Whether it knows probabilities."""
    max_tokens: int = Field(default=1 << 20, ge=1)
    """Words and signs that a prompt and its answer may take."""
    log: str | None = None
    """A file beside the script that gets one line a prompt that is asked."""
    pause: float = Field(default=0.0, ge=0)
    """Seconds that every prompt takes."""


def read_script(path: Path) -> ScriptedModel:
    """Make the model that a script describes.

    Parameters
    ----------
    path
        A JSON file, such as ``{"entries": [{"contains": "MS4A1", "answer": "B cell"}]}``.

    Raises
    ------
    InputError
        If there is no such file, it is not JSON, or something in it is not known.
    """
    try:
        raw = path.read_bytes()
        script = Script.model_validate(json.loads(raw))
    except OSError as error:
        msg = f"The script '{path}' cannot be read: {error.strerror}."
        raise InputError(msg, hint="name a JSON file, or `fake:echo` or `fake:chance`.") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        msg = f"The script '{path}' is wrong at `{place}`: {first['msg']}."
        known = ", ".join(f"`{name}`" for name in Script.model_fields)
        raise InputError(msg, hint=f"a script may hold {known}.") from error
    except ValueError as error:
        msg = f"The script '{path}' is not JSON: {error}."
        raise InputError(msg, hint="check it with a JSON editor.") from error
    return _model(script, path, revision=hashlib.sha256(raw).hexdigest())


def _model(script: Script, path: Path, *, revision: str) -> ScriptedModel:
    said = _Said(script)
    lm = ScriptedModel(
        name=f"fake:{path.name}",
        answer=said.answer,
        logp=said.logp if any(entry.logp for entry in script.entries) else None,
        capabilities=script.capabilities,
        has_logp=script.has_logp,
        max_tokens=script.max_tokens,
    )
    lm.revision = revision
    lm.pause = script.pause
    lm.log = None if script.log is None else path.parent / script.log
    return lm


class _Said:
    """What a script answers."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._first: Iterator[str] = iter(script.in_order)
        self._lock = threading.Lock()

    def answer(self, prompt: str) -> str:
        with self._lock:
            first = next(self._first, None)
        if first is not None:
            return first
        entry = self._entry(prompt)
        return self._script.otherwise if entry is None else entry.answer

    def logp(self, prompt: str, answer: str) -> float | None:
        entry = self._entry(prompt)
        if entry is None or entry.logp is None:
            return None
        return entry.logp.get(answer, -math.inf)

    def _entry(self, prompt: str) -> Entry | None:
        return next((entry for entry in self._script.entries if entry.fits(prompt)), None)


def load_fake(place: str, **_options: Any) -> ScriptedModel:
    """Load a scripted model; see :func:`celloquy.lm.load_lm`.

    Parameters
    ----------
    place
        ``"echo"`` answers with the prompt itself, ``"chance"`` with numbers drawn from the
        texts; else a script (:func:`read_script`).
    _options
        What other backends need: device, precision and the like.
    """
    if place == "echo":
        return ScriptedModel(name="fake:echo", answer=lambda prompt: prompt)
    if place == "chance":
        return ScriptedModel(name="fake:chance")
    return read_script(Path(place))
