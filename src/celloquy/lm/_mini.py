"""celloquy-mini: the language model that comes with this package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from celloquy.errors import CheckpointError, InputError

MINI = "celloquy-mini"
"""How :func:`celloquy.load_lm` is asked for it."""
_WEIGHTS = "model.safetensors"


def mini_folder() -> Path | None:
    """Give the folder of the packaged model; `None` where this build has no weights."""
    folder = Path(str(files("celloquy.lm") / "mini"))
    return folder if (folder / _WEIGHTS).is_file() else None


def require_mini() -> Path:
    """Give the folder of the packaged model.

    Raises
    ------
    CheckpointError
        If this build has no weights.
    """
    folder = mini_folder()
    if folder is None:
        msg = f"The weights of '{MINI}' are not in this build of celloquy."
        hint = "install a released build, or name another model, such as `hf:FOLDER`."
        raise CheckpointError(msg, hint=hint)
    return folder


def default_lm() -> str:
    """Name the model that is asked where nobody names one.

    Raises
    ------
    InputError
        If this build has no weights of it.
    """
    if mini_folder() is None:
        msg = f"No language model is named, and '{MINI}' is not in this build of celloquy."
        hint = 'name one: `lm="hf:FOLDER"` (`--lm hf:FOLDER`); `celloquy lm list` lists some.'
        raise InputError(msg, hint=hint)
    return MINI
