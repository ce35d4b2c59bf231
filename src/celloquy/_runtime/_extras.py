"""Optional packages: named once, imported where they are used."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from celloquy.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

_BRING_BITSANDBYTES = {"bitsandbytes", "peft", "sentence_transformers", "trl"}
"""Packages that import bitsandbytes where it is installed."""


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
    if package not in _BRING_BITSANDBYTES:
        return importlib.import_module(module)
    with _no_fetched_kernels():
        return importlib.import_module(module)


@contextmanager
def _no_fetched_kernels() -> Iterator[None]:
    """Hide the package `kernels`, by which bitsandbytes fetches code when it is imported."""
    told = logging.getLogger("bitsandbytes")
    level, is_there = told.level, "kernels" in sys.modules
    told.setLevel(logging.ERROR)  # it would say that `kernels` is missing
    if not is_there:
        sys.modules["kernels"] = None  # type: ignore[assignment]  # so Python calls it missing
    try:
        yield
    finally:
        told.setLevel(level)
        if not is_there:
            del sys.modules["kernels"]


def is_installed(package: str) -> bool:
    """Say whether a package can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None
