"""A user's own template: text with named gaps, filled once and never read again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from celloquy._runtime import closest
from celloquy.errors import InputError

PLACEHOLDERS = ("genes", "n_genes", "obs:COLUMN")
_GAP = re.compile(
    r"\{\{(?P<literal>[A-Za-z_]\w*(?::[^{}]+)?)\}\}|\{(?P<gap>[A-Za-z_]\w*(?::[^{}]+)?)\}"
)


@dataclass(frozen=True)
class Gap:
    """A place in a template: ``"genes"``, ``"n_genes"``, or a column of obs."""

    kind: str
    column: str = ""


@lru_cache(maxsize=1024)
def cut_template(template: str) -> tuple[str | Gap, ...]:
    r"""Cut a template into words and gaps, whatever the gaps are called.

    A gap is ``{name}`` or ``{kind:name}``. A gap written in double braces, ``{{name}}``, stays
    as ``{name}``. Braces around anything that does not begin like a name, such as those of
    JSON, are left alone.

    Examples
    --------
    >>> cut_template('{"type": {cell_type}}')
    ('{"type": ', Gap(kind='cell_type', column=''), '}')
    """
    parts: list[str | Gap] = []
    words, at = "", 0
    for match in _GAP.finditer(template):
        words += template[at : match.start()]
        at = match.end()
        if match["literal"] is not None:
            words += "{" + match["literal"] + "}"
            continue
        if words:
            parts.append(words)
        kind, _, column = match["gap"].partition(":")
        parts.append(Gap(kind, column))
        words = ""
    words += template[at:]
    if words:
        parts.append(words)
    return tuple(parts)


def parse_template(template: str) -> tuple[str | Gap, ...]:
    r"""Cut the template of a cell sentence into words and gaps.

    Gaps are ``{genes}`` (exactly once), ``{n_genes}`` and ``{obs:COLUMN}``, written as
    :func:`cut_template` reads them.

    Raises
    ------
    InputError
        If a gap has an unknown name, or ``{genes}`` does not stand there exactly once.

    Examples
    --------
    >>> parse_template('{"cell": "{genes}"}')
    ('{"cell": "', Gap(kind='genes', column=''), '"}')
    """
    parts = cut_template(template)
    for part in parts:
        if isinstance(part, Gap):
            _refuse_unknown(part)
    n_genes_gaps = sum(part == Gap("genes") for part in parts)
    if n_genes_gaps != 1:
        msg = f"A template names `{{genes}}` exactly once, not {n_genes_gaps} times: {template!r}."
        raise InputError(msg, hint="write `{genes}` where the gene names shall stand.")
    return parts


def _refuse_unknown(gap: Gap) -> None:
    """Refuse a gap that a cell sentence does not have.

    Raises
    ------
    InputError
        If it is neither ``genes``, ``n_genes`` nor ``obs:COLUMN``.
    """
    if (gap.kind == "obs" and gap.column) or gap in {Gap("genes"), Gap("n_genes")}:
        return
    name = f"{gap.kind}:{gap.column}" if gap.column else gap.kind
    msg = f"A template has no gap {{{name}}}{closest(name, PLACEHOLDERS)}."
    gaps = ", ".join(f"{{{gap}}}" for gap in PLACEHOLDERS)
    raise InputError(msg, hint=f"choose of {gaps}; write {{{{{name}}}}} for the words themselves.")
