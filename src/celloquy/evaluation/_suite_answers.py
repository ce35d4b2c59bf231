"""Does a language model add anything? The answer, from the numbers of a suite."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from celloquy.evaluation._paired import LEAST_GROUPS, LEVEL, least_p
from celloquy.evaluation._suite_summary import LM_ROLE, WITHOUT_LM, Difference, Results

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celloquy.evaluation._suite_job import Comparison, Job

NOT_MEASURED = "No language model was measured."
_BEGINS = {
    "ahead": "It adds: ",
    "control": "It is ahead, but not shown to be ahead of its own control: ",
    "behind": "It adds nothing: ",
    "level": "No difference is shown: ",
    "too few": "Too few units to say: ",
    "untold": "Without groups there is no interval, and so no answer: ",
}
_SHORT = {
    "ahead": "adds",
    "control": "ahead, but not shown to be ahead of its own control",
    "behind": "adds nothing",
    "level": "no difference is shown",
    "too few": "too few units to say",
    "untold": "no interval, so no answer",
}
RULE = (
    f'"It adds" is said only where, over {LEAST_GROUPS} units or more, the 95 % interval of the '
    f"difference leaves out 0, a Wilcoxon signed-rank test over units has p < {LEVEL:g}, and all "
    "this holds of the model against each of its own controls, too, if it has any (the same genes "
    'in any order, other genes in their place). "It adds nothing" needs the same interval and p on '
    f"the other side. With {LEAST_GROUPS - 1} units p cannot be below "
    f"{least_p(LEAST_GROUPS - 1):.2g}, whatever the numbers: those are too few units to say."
)
"""What the words of an answer need; it stands on every page that has one."""


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
    controls: tuple[str, ...] = ()
    """Names of those that set it against its own controls, read as its best method reads."""

    @property
    def verdict(self) -> str:
        """As of a difference; ``"control"`` where it is ahead, but not of each own control."""
        found = self.over_best.verdict
        if found != "ahead":
            return found
        beats = all(self.more[name][1].verdict == "ahead" for name in self.controls)
        return "ahead" if beats else "control"

    @property
    def short(self) -> str:
        """The answer in a few words, with the difference."""
        return f"{_SHORT[self.verdict]} ({self.over_best.short})"

    def sentences(self) -> list[str]:
        """Answer in words, from the numbers."""
        best = self.over_best
        said = [
            f"{_BEGINS[self.verdict]}its best method ({best.first}) against the best without a "
            f"language model ({best.second}), {self.metric} {best}. Both were chosen as the best "
            "of several on these cases, which flatters the side with more to choose from."
        ]
        said += [f"{words}: {found}." for words, found in self.more.values()]
        if self.verdict == "ahead" and not self.controls:
            said.append("No control of its own was measured: what makes the difference is open.")
        return said

    def to_dict(self) -> dict[str, Any]:
        """Give all differences by name."""
        told = {name: found.to_dict() for name, (_, found) in self.more.items()}
        return {"kind": self.kind, "lm": self.lm, "metric": self.metric,
                "verdict": self.verdict, "controls": list(self.controls),
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
            more |= _compared(seen, job, kind=kind, lm=lm)
            controls = _controls(seen, job, best=of_lm, lm=lm)
            told = tuple(name for name in controls if name in more)
            answers.append(LmAnswer(kind, lm, seen.headline(kind).title, over, more, told))
    return answers


def _compared(
    seen: Results, job: type[Job], *, kind: str, lm: str
) -> dict[str, tuple[str, Difference]]:
    """Take the differences that a job names, of those methods that were measured."""
    found = {}
    for each in job.comparisons:
        gap = seen.difference(f"{lm} {each.first}", _second(each, job, lm=lm), kind=kind)
        if gap is not None:
            found[each.name] = (each.words, gap)
    return found


def _controls(seen: Results, job: type[Job], *, best: str, lm: str) -> list[str]:
    """Name the comparisons with a control that reads what a method of a language model reads."""
    roles = seen.table.drop_duplicates("method").set_index("method")["role"]
    return [
        each.name
        for each in job.comparisons
        if roles.get(_second(each, job, lm=lm)) == "control"
        and (not each.of or best in _named(lm, each.of))
    ]


def _second(comparison: Comparison, job: type[Job], *, lm: str) -> str:
    """Name the other method: a language model's own where the job knows it as such."""
    own = comparison.second in job.known_lm_methods
    return f"{lm} {comparison.second}" if own else comparison.second


def _named(lm: str, names: Sequence[str]) -> list[str]:
    return [f"{lm} {name}" for name in names]
