"""A user's own template: text with named gaps, filled once and never read again."""

from __future__ import annotations

import re
from dataclasses import dataclass

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


def parse_template(template: str) -> tuple[str | Gap, ...]:
    r"""Cut a template into words and gaps.

    Gaps are ``{genes}`` (exactly once), ``{n_genes}`` and ``{obs:COLUMN}``. A gap written
    in double braces, ``{{genes}}``, stays as ``{genes}``. Braces around anything that does
    not begin like a name, such as those of JSON, are left alone.

    Raises
    ------
    InputError
        If a gap has an unknown name, or ``{genes}`` does not stand there exactly once.

    Examples
    --------
    >>> parse_template('{"cell": "{genes}"}')
    ('{"cell": "', Gap(kind='genes', column=''), '"}')
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
        parts.append(_gap(match["gap"]))
        words = ""
    words += template[at:]
    if words:
        parts.append(words)
    n_genes_gaps = sum(part == Gap("genes") for part in parts)
    if n_genes_gaps != 1:
        msg = f"A template names `{{genes}}` exactly once, not {n_genes_gaps} times: {template!r}."
        raise InputError(msg, hint="write `{genes}` where the gene names shall stand.")
    return tuple(parts)


def _gap(name: str) -> Gap:
    kind, colon, column = name.partition(":")
    if kind == "obs" and colon:
        return Gap("obs", column)
    if name in {"genes", "n_genes"}:
        return Gap(name)
    msg = f"A template has no gap {{{name}}}{closest(name, PLACEHOLDERS)}."
    gaps = ", ".join(f"{{{gap}}}" for gap in PLACEHOLDERS)
    raise InputError(msg, hint=f"choose of {gaps}; write {{{{{name}}}}} for the words themselves.")
