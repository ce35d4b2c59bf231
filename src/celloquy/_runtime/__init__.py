"""What every other package stands on; knows nothing of cells, genes or models."""

from __future__ import annotations

from celloquy._runtime._extras import is_installed, require
from celloquy._runtime._files import atomic_path, refuse_existing, sha256_of
from celloquy._runtime._registry import Registry, closest
from celloquy._runtime._seeds import rng_for

__all__ = [
    "Registry",
    "atomic_path",
    "closest",
    "is_installed",
    "refuse_existing",
    "require",
    "rng_for",
    "sha256_of",
]
