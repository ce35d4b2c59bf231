"""What `check` found: slots, problems, suggestions; as text and as a dictionary."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from celloquy._runtime import count_of

if TYPE_CHECKING:
    from celloquy.checks._kinds import SlotKind

__all__ = ["CheckReport", "Problem", "Severity", "Slot", "Suggestion"]

Severity = Literal["refuse", "warn", "note"]
"""``"refuse"``: a verb would refuse the file; ``"warn"``: results suffer; ``"note"``: worth
knowing."""

HEADINGS: dict[Severity, str] = {
    "refuse": "Must be mended first:",
    "warn": "Should be looked at:",
    "note": "Worth knowing:",
}
MOST_EXAMPLES = 3


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong or worth knowing, and how to mend it."""

    code: str
    """A short name that does not change, for programs: ``"repeated-gene-names"``."""
    severity: Severity
    """What it leads to."""
    message: str
    """What was found, in words."""
    mend: str | None = None
    """One command, option or line that mends it."""
    count: int | None = None
    """How many cells, genes or values it concerns."""
    examples: tuple[str, ...] = ()
    """Some of them."""


@dataclass(frozen=True)
class Slot:
    """One matrix of the source."""

    name: str
    """``"X"``, ``"layers['counts']"`` or ``"raw.X"``."""
    kind: SlotKind
    """What it holds."""
    n_vars: int
    """Its genes."""
    is_chosen: bool
    """Whether the report is about this one."""


@dataclass(frozen=True)
class Suggestion:
    """A column of obs that looks like labels, donors, batches or conditions."""

    column: str
    """Name of the column."""
    role: Literal["label", "cluster", "donor", "batch", "condition"]
    """What it looks like."""
    n_values: int
    """Different values in it."""
    option: str | None
    """What to pass to a verb that wants it; `None` where none does."""


@dataclass(frozen=True)
class CheckReport:
    """What is in a source, what is wrong with it, and how to mend it."""

    source: str
    """Name of the source."""
    slot: str
    """The slot that was asked for."""
    n_obs: int
    """Number of cells."""
    n_vars: int
    """Number of genes of that slot."""
    n_seen: int
    """Cells whose values were looked at, spread over the source."""
    organism: str | None
    """As the gene names tell it; ``"mixed"``, or `None` where they do not."""
    slots: tuple[Slot, ...]
    """Every slot of the source, the chosen one first."""
    problems: tuple[Problem, ...] = ()
    """The worst first."""
    suggestions: tuple[Suggestion, ...] = ()
    """Columns of obs that verbs may want."""
    facts: dict[str, float] = field(default_factory=dict)
    """Medians over the cells looked at: ``genes_per_cell``, ``total_per_cell`` and
    ``mitochondrial_share`` (in [0, 1]), and ``reference_overlap`` (share of the reference's
    genes that are here), where known."""

    @property
    def ok(self) -> bool:
        """Whether no verb would refuse the source as it is."""
        return not any(problem.severity == "refuse" for problem in self.problems)

    @property
    def kind(self) -> SlotKind:
        """What the chosen slot holds."""
        return next(slot.kind for slot in self.slots if slot.is_chosen)

    def to_dict(self) -> dict[str, Any]:
        """Give the report as plain values that JSON can hold."""
        return {"schema": 1, "ok": self.ok, **asdict(self)}

    def __str__(self) -> str:
        size = f"{count_of(self.n_obs, 'cells')}, {count_of(self.n_vars, 'genes')}"
        lines = [f"{self.source}: {size}, {self._species()}"]
        lines += [_slot_line(slot) for slot in self.slots]
        lines += self._fact_lines()
        for severity, heading in HEADINGS.items():
            found = [problem for problem in self.problems if problem.severity == severity]
            if found:
                lines += ["", heading]
            for problem in found:
                lines += _problem_lines(problem)
        if self.suggestions:
            lines += ["", "Columns of obs:"]
            lines += [_suggestion_line(suggestion) for suggestion in self.suggestions]
        lines += ["", self._verdict()]
        return "\n".join(lines)

    def _species(self) -> str:
        return self.organism or "organism unknown"

    def _fact_lines(self) -> list[str]:
        names = {
            "genes_per_cell": "{:,.0f} genes a cell",
            "total_per_cell": "{:,.0f} molecules a cell",
            "mitochondrial_share": "{:.1%} mitochondrial",
            "reference_overlap": "{:.0%} of the reference's genes",
        }
        told = [form.format(self.facts[name]) for name, form in names.items() if name in self.facts]
        seen = "all cells" if self.n_seen == self.n_obs else f"{self.n_seen:,} cells spread over it"
        return [f"  median over {seen}: {', '.join(told)}"] if told else []

    def _verdict(self) -> str:
        if self.ok and self.n_seen < self.n_obs:
            seen = f"{self.n_seen:,} of {self.n_obs:,} cells were looked at"
            return f"{self.slot} can be used ({seen}; verbs look at all)."
        if self.ok:
            return f"{self.slot} can be used."
        return f"{self.slot} cannot be used as it is."


def _slot_line(slot: Slot) -> str:
    mark = "*" if slot.is_chosen else " "
    kind = slot.kind
    return f"{mark} {slot.name}: {kind.kind} (confidence {kind.confidence:.2f}): {kind.evidence}"


def _problem_lines(problem: Problem) -> list[str]:
    lines = [f"  - {problem.message}"]
    if problem.examples:
        shown = ", ".join(map(repr, problem.examples[:MOST_EXAMPLES]))
        lines[0] += f" For example: {shown}."
    if problem.mend is not None:
        lines.append(f"    mend: {problem.mend}")
    return lines


def _suggestion_line(suggestion: Suggestion) -> str:
    looks = f"{suggestion.column!r} looks like {suggestion.role}s"
    looks = f"  {looks} ({suggestion.n_values:,} different)"
    return f"{looks}: {suggestion.option}" if suggestion.option else looks
