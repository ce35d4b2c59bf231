"""Optional packages: named once, imported where they are used."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING

from celloquy.errors import MissingExtraError

if TYPE_CHECKING:
    from types import ModuleType


def require(module: str, *, extra: str, why: str) -> ModuleType:
    """Import an optional module, or say which extra brings it.

    Parameters
    ----------
    module
        Dotted name of the module.
    extra
        The extra of celloquy that installs it.
    why
        What it is needed for, as the end of a sentence: "to draw figures".

    Raises
    ------
    MissingExtraError
        If the module's package is not installed.

    Examples
    --------
    >>> require("json", extra="plot", why="to show how this works").__name__
    'json'
    """
    package = module.partition(".")[0]
    if importlib.util.find_spec(package) is None:
        msg = f"The package `{package}` is needed {why}, and it is not installed."
        raise MissingExtraError(msg, hint=f"pip install 'celloquy[{extra}]'")
    return importlib.import_module(module)


def is_installed(package: str) -> bool:
    """Say whether a package can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None
