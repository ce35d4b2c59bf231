"""Templates of a task's file: gaps and inputs fit, and no two templates are alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celloquy._runtime import closest
from celloquy.text._template import Gap, cut_template

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celloquy.tasks._answers import Answer
    from celloquy.tasks._inputs import Input
    from celloquy.tasks._located import Located


def read_templates(found: Located, inputs: Mapping[str, Input], answer: Answer) -> tuple[str, ...]:
    """Read the ways to ask.

    Raises
    ------
    InputError
        If there is none, two are alike, or gaps and inputs do not fit.
    """
    places = found.entries("`templates`")
    if not places:
        msg = "A task has at least one template."
        raise found.refusal(msg, hint="write one, with a gap for every input.")
    templates: dict[str, int] = {}
    for number, place in enumerate(places):
        template = place.text("A template")
        if template in templates:
            msg = f"Template {number} is the same as template {templates[template]}."
            raise place.refusal(msg, hint="keep one of the two.")
        templates[template] = number
        _check_gaps(template, number, place, inputs=inputs, answer=answer)
    used = {name for template in templates for name in gap_names(template)}
    for name in inputs:
        if name not in used:
            msg = f"No template uses the input {name!r}{closest(name, used)}."
            raise found.refusal(msg, hint=f"write {{{name}}} in a template, or leave it out.")
    return tuple(templates)


def gap_names(template: str) -> list[str]:
    """Name the inputs that a template has gaps for."""
    gaps = [part for part in cut_template(template) if isinstance(part, Gap)]
    return [gap.column if gap.kind == "a" and gap.column else gap.kind for gap in gaps]


def _check_gaps(
    template: str, number: int, place: Located, *, inputs: Mapping[str, Input], answer: Answer
) -> None:
    """Refuse gaps that are no inputs, and inputs without a gap.

    Raises
    ------
    InputError
        If there is one.
    """
    for gap in (part for part in cut_template(template) if isinstance(part, Gap)):
        _check_gap(gap, number, place, inputs=inputs, answer=answer)
    named = gap_names(template)
    for name, given in inputs.items():
        if given.kind != "count" and given.default is None and name not in named:
            msg = f"Template {number} has no gap for the input {name!r}{closest(name, named)}."
            hint = f"write {{{name}}} where it shall stand; all templates ask about the same."
            raise place.refusal(msg, hint=hint)


def _check_gap(
    gap: Gap, number: int, place: Located, *, inputs: Mapping[str, Input], answer: Answer
) -> None:
    """Refuse a gap that is no input.

    Raises
    ------
    InputError
        If it is none, or an article is asked for what has none.
    """
    written = f"{{{gap.kind}:{gap.column}}}" if gap.column else f"{{{gap.kind}}}"
    at = place.place_of(written)
    if gap.column and gap.kind != "a":
        msg = f"Template {number} has the gap {written}; only {{a:NAME}} has a colon."
        raise place.refusal(msg, hint=f"write {{{gap.column}}} or {{a:{gap.column}}}.", place=at)
    name = gap.column or gap.kind
    if name == answer.gap:
        msg = f"Template {number} holds the answer, {written}."
        raise place.refusal(msg, hint="a prompt ends before its answer.", place=at)
    if name not in inputs:
        msg = f"Template {number} has the gap {written}, which is no input{closest(name, inputs)}."
        hint = f"the inputs are: {', '.join(inputs) or 'none'}; write {{{written}}} for the words."
        raise place.refusal(msg, hint=hint, place=at)
    if gap.column and inputs[name].kind != "field":
        msg = f"Template {number} has {written}, and {name!r} is a {inputs[name].kind}, no field."
        raise place.refusal(msg, hint=f"write {{{name}}}.", place=at)
