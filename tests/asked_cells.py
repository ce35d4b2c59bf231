"""A model made of a rule that knows the types of :mod:`labelled_cells`, and how it is asked."""

from __future__ import annotations

import numpy as np

import celloquy as cq
from celloquy.lm import ScriptedModel
from celloquy.roles import PredictOptions
from labelled_cells import TYPES

LABELS = ["B", "NK", "T"]


def type_of(prompt):
    """Name the type whose markers a prompt holds most of: GENE0 to 9 are of B, and so on."""
    found = [
        sum(f"GENE{10 * k + i} " in f"{prompt} " for i in range(10)) for k in range(len(TYPES))
    ]
    return TYPES[int(np.argmax(found))]


def rule_model(**options):
    """Make a model that answers with :func:`type_of`."""
    return ScriptedModel(**{"answer": type_of, **options})


def ask(source, task="cell_type", *, lm=None, labels=LABELS, options=None, **more):
    """Ask about cells with 30 genes each, the usual model and labels unless others are given."""
    given = {"n_top_genes": 30, **(options or {})}
    return cq.predict(
        source, task, lm=lm or rule_model(), labels=labels, options=PredictOptions(**given), **more
    )
