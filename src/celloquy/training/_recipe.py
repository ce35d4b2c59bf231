"""What all recipes share: strict tables, read from TOML."""

from __future__ import annotations

from celloquy._runtime._strict_toml import StrictTable, checked, digest, read_toml

__all__ = ["RecipePart", "checked", "digest", "read_toml"]


class RecipePart(StrictTable):
    """A table of a recipe; keys that it does not have are refused."""
