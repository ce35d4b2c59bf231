"""How a sentence encoder's folder says that token vectors become one vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from celloquy.errors import CheckpointError
from celloquy.lm._folder import inside, read_json

if TYPE_CHECKING:
    from pathlib import Path

    from celloquy.lm._protocol import Pooling

_POOLINGS: dict[str, Pooling] = {"mean": "mean", "cls": "cls", "lasttoken": "last", "max": "max"}
_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_KINDS = ("Transformer", "Pooling", "Dense", "Normalize")


@dataclass(frozen=True)
class Modules:
    """The steps from token vectors to one vector, as a sentence-transformers folder states them."""

    backbone: Path
    """Folder with the weights and the tokenizer."""
    pooling: Pooling = "mean"
    """How token vectors become one."""
    dense: tuple[Path, ...] = ()
    """Folders of the linear maps that follow, in order."""
    is_normalised: bool = False
    """Whether vectors are brought to length 1."""
    max_tokens: int | None = None
    """Tokens that the folder lets a text take; `None` leaves it to the backbone."""
    is_lowercased: bool = False
    """Whether texts are lower-cased before they are split."""
    prefix: str = ""
    """Words that the folder puts before each text."""


def read_modules(folder: Path) -> Modules:
    """Read how a folder pools: its modules.json, or the plain mean if it has none.

    Raises
    ------
    CheckpointError
        If it asks for a step that is not known here.
    """
    listed = read_json(folder, "modules.json")
    if listed is None:
        return Modules(folder)
    steps = [(_kind(folder, entry), inside(folder, entry.get("path", ""))) for entry in listed]
    kinds = [kind for kind, _ in steps]
    in_order = sorted(kinds, key=_KINDS.index)
    if kinds[:2] != ["Transformer", "Pooling"] or kinds != in_order or "Pooling" in kinds[2:]:
        msg = f"The checkpoint '{folder}' joins its steps as {' → '.join(kinds)}."
        raise CheckpointError(msg, hint=f"the order that is known here: {' → '.join(_KINDS)}.")
    backbone = steps[0][1]
    settings = read_json(backbone, "sentence_bert_config.json") or {}
    prefix = _prefix(folder)
    return Modules(
        backbone,
        pooling=_pooling(steps[1][1], prefix=prefix),
        dense=tuple(path for kind, path in steps if kind == "Dense"),
        is_normalised="Normalize" in kinds,
        max_tokens=settings.get("max_seq_length"),
        is_lowercased=bool(settings.get("do_lower_case")),
        prefix=prefix,
    )


def _kind(folder: Path, entry: dict[str, Any]) -> str:
    """Name one step, if it is one of sentence-transformers' own that are known here.

    Raises
    ------
    CheckpointError
        If it is another one.
    """
    stated = str(entry.get("type", ""))
    kind = stated.rpartition(".")[2]
    if not stated.startswith("sentence_transformers.") or kind not in _KINDS:
        msg = f"The checkpoint '{folder}' has a step {stated!r}, which is not known here."
        raise CheckpointError(msg, hint=f"the known ones: {', '.join(_KINDS)}.")
    return kind


def _pooling(folder: Path, *, prefix: str) -> Pooling:
    """Read one pooling from the old flags or the new name.

    Raises
    ------
    CheckpointError
        If it is another one, several at once, or leaves out the prefix.
    """
    settings = read_json(folder, "config.json") or {}
    stated = settings.get("pooling_mode")
    if stated is None:
        stated = [mode for flag, mode in _FLAGS.items() if settings.get(flag)] or ["mean"]
    modes = [stated] if isinstance(stated, str) else list(stated)
    if len(modes) != 1 or modes[0] not in _POOLINGS:
        msg = f"The checkpoint '{folder.parent}' pools by {' + '.join(modes)}."
        raise CheckpointError(msg, hint=f"the known poolings: {', '.join(_POOLINGS)}.")
    if prefix and not settings.get("include_prompt", True):
        msg = f"The checkpoint '{folder.parent}' leaves its prefix out of the pooling."
        raise CheckpointError(msg, hint="choose an encoder that pools over all of its text.")
    return _POOLINGS[modes[0]]


def _prefix(folder: Path) -> str:
    """Read the words that are put before each text unless asked otherwise."""
    settings = read_json(folder, "config_sentence_transformers.json") or {}
    name = settings.get("default_prompt_name")
    return "" if name is None else cast("str", settings.get("prompts", {}).get(name, ""))
