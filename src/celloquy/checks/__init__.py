"""What is in a file, what is wrong with it, and how to mend it."""

from __future__ import annotations

from celloquy.checks._check import check
from celloquy.checks._kinds import Kind, SlotKind, slot_kind
from celloquy.checks._names import warn_of_ensembl_ids
from celloquy.checks._report import CheckReport, Problem, Severity, Slot, Suggestion
from celloquy.checks._verbs import check_for_verb, refuse_problems, require_slot

__all__ = [
    "CheckReport",
    "Kind",
    "Problem",
    "Severity",
    "Slot",
    "SlotKind",
    "Suggestion",
    "check",
    "check_for_verb",
    "refuse_problems",
    "require_slot",
    "slot_kind",
    "warn_of_ensembl_ids",
]
