"""What reads answers: each parser by its name."""

from __future__ import annotations

from collections.abc import Callable

from celloquy._runtime import Registry
from celloquy.tasks._answers import Asked, ParsedAnswer

Parser = Callable[[str, Asked], ParsedAnswer]
PARSERS = Registry[Parser](
    "parser",
    {
        "label": "celloquy.tasks._labels:read_label",
        "choice": "celloquy.tasks._claims:read_choice",
        "reactivity": "celloquy.tasks._reactivity:read_reactivity",
        "genes": "celloquy.tasks._gene_lists:read_genes",
        "cells": "celloquy.tasks._gene_lists:read_cells",
        "assignment": "celloquy.tasks._assignments:read_assignment",
        "text": "celloquy.tasks._labels:read_text",
    },
    group="celloquy.parsers",
)
"""The parsers by name; other packages add theirs as entry points of ``celloquy.parsers``."""
DEFAULT_PARSERS = {
    "label": "label",
    "genes": "genes",
    "cells": "cells",
    "json": "assignment",
    "text": "text",
}
"""The parser of each kind of answer."""
