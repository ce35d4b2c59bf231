"""Does a language model add anything? The answer, from the numbers of a suite."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from celloquy.evaluation._suite_summary import LM_ROLE, WITHOUT_LM, Difference, Results

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celloquy.evaluation._suite_job import Comparison, Job

NOT_MEASURED = "No language model was measured."
_BEGINS = {
    "ahead": "It adds: ",
    "behind": "It adds nothing: ",
    "level": "No difference is shown: ",
    "untold": "Without groups there is no interval, and so no answer: ",
}
_SHORT = {
    "ahead": "adds",
    "behind": "adds nothing",
    "level": "no difference is shown",
    "untold": "no interval, so no answer",
}


@dataclass(frozen=True)
class LmAnswer:
    """Whether a language model adds anything, on the cases of one kind."""

    kind: str
    """The kind of cases."""
    lm: str
    """The language model."""
    metric: str
    """Title of the headline."""
    over_best: Difference
    """Its best method minus the best method without a language model."""
    more: dict[str, tuple[str, Difference]] = field(default_factory=dict)
    """Further differences by name, with what they say: its controls, what it adds joined."""

    @property
    def short(self) -> str:
        """The answer in a few words, with the difference."""
        return f"{_SHORT[self.over_best.verdict]} ({self.over_best.short})"

    def sentences(self) -> list[str]:
        """Answer in words, from the numbers."""
        best = self.over_best
        said = [
            f"{_BEGINS[best.verdict]}its best method ({best.first}) against the best without a "
            f"language model ({best.second}), {self.metric} {best}. Both were chosen as the best "
            "of several on these cases, which flatters the side with more to choose from."
        ]
        return [*said, *(f"{words}: {found}." for words, found in self.more.values())]

    def to_dict(self) -> dict[str, Any]:
        """Give all differences by name."""
        told = {name: found.to_dict() for name, (_, found) in self.more.items()}
        return {"kind": self.kind, "lm": self.lm, "metric": self.metric,
                "over_best": self.over_best.to_dict(), **told,
                "sentences": self.sentences()}  # fmt: skip


def what_lms_add(results: Results, job: type[Job]) -> list[LmAnswer]:
    """Answer for each kind of cases and language model whether it adds anything.

    Baselines are taken on the very cases that the language model was measured on. A kind whose
    headline has no better side is left out.

    Parameters
    ----------
    results
        The results.
    job
        What was measured: it says which controls stand beside.
    """
    answers = []
    table = results.table
    for kind in results.kinds:
        for lm in [str(name) for name in table["lm"].unique() if name]:
            asked = table[(table["lm"] == lm) & (table["role"] == LM_ROLE)]
            seen = Results(table[table["case"].isin(asked["case"])], results.metrics)
            if kind not in seen.kinds or not seen.headline(kind).better:
                continue
            of_lm = seen.best([LM_ROLE], kind=kind, lm=lm)
            without = seen.best(WITHOUT_LM, kind=kind)
            over = seen.difference(of_lm, without, kind=kind) if of_lm and without else None
            if over is None:
                continue
            more: dict[str, tuple[str, Difference]] = {}
            alone = seen.best([LM_ROLE], kind=kind, lm=lm, but=_named(lm, job.joined))
            if job.joined and alone:
                found = seen.difference(alone, without, kind=kind)
                words = "Its vectors alone, by their best head, against the same"
                more |= {} if found is None else {"alone": (words, found)}
            more |= _compared(seen, job.comparisons, kind=kind, lm=lm)
            answers.append(LmAnswer(kind, lm, seen.headline(kind).title, over, more))
    return answers


def _compared(
    seen: Results, comparisons: Sequence[Comparison], *, kind: str, lm: str
) -> dict[str, tuple[str, Difference]]:
    """Take the differences that a job names, of those methods that were measured."""
    measured = set(seen.table["method"])
    found = {}
    for each in comparisons:
        first = f"{lm} {each.first}"
        second = f"{lm} {each.second}" if f"{lm} {each.second}" in measured else each.second
        gap = seen.difference(first, second, kind=kind)
        if gap is not None:
            found[each.name] = (each.words, gap)
    return found


def _named(lm: str, names: Sequence[str]) -> list[str]:
    return [f"{lm} {name}" for name in names]
