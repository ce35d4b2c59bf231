"""Celloquy: ask your cells.

The names that most people need; each is imported when it is first used, so that
``import celloquy`` takes a moment and loads nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celloquy import plotting as pl
    from celloquy.checks import check
    from celloquy.io import read
    from celloquy.io import write_h5ad as write
    from celloquy.lm import load_lm
    from celloquy.roles import (
        annotate,
        encode,
        encode_genes,
        encode_together,
        fit_projection,
        generate,
        name_clusters,
        predict,
    )
    from celloquy.text import fidelity, reconstruct, sentences, write_sentences

__version__ = "0.1.0"

__all__ = [
    "annotate",
    "check",
    "encode",
    "encode_genes",
    "encode_together",
    "fidelity",
    "fit_projection",
    "generate",
    "load_lm",
    "name_clusters",
    "pl",
    "predict",
    "read",
    "reconstruct",
    "sentences",
    "write",
    "write_sentences",
]

_PLACES = {
    "annotate": "celloquy.roles:annotate",
    "check": "celloquy.checks:check",
    "encode": "celloquy.roles:encode",
    "encode_genes": "celloquy.roles:encode_genes",
    "encode_together": "celloquy.roles:encode_together",
    "fidelity": "celloquy.text:fidelity",
    "fit_projection": "celloquy.roles:fit_projection",
    "generate": "celloquy.roles:generate",
    "load_lm": "celloquy.lm:load_lm",
    "name_clusters": "celloquy.roles:name_clusters",
    "pl": "celloquy.plotting:",
    "predict": "celloquy.roles:predict",
    "read": "celloquy.io:read",
    "reconstruct": "celloquy.text:reconstruct",
    "sentences": "celloquy.text:sentences",
    "write": "celloquy.io:write_h5ad",
    "write_sentences": "celloquy.text:write_sentences",
}
_PACKAGES = (
    "checks", "evaluation", "io", "knowledge", "learn", "lm", "plotting", "roles", "tasks", "text",
    "training",
)  # fmt: skip
_PLACES |= {package: f"celloquy.{package}:" for package in _PACKAGES}


def __getattr__(name: str) -> Any:  # noqa: ANN401 (any public object)
    if name not in _PLACES:
        msg = f"module 'celloquy' has no attribute {name!r}"
        raise AttributeError(msg)
    module, _, attribute = _PLACES[name].partition(":")
    found = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
