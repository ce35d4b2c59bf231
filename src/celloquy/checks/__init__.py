"""What is in a file, what is wrong with it, and how to mend it."""

from __future__ import annotations

from celloquy.checks._kinds import SlotKind, slot_kind

__all__ = ["SlotKind", "slot_kind"]
