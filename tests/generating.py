"""How tests ask for cells: a few genes, a rank curve, and a model that says what it is told."""

from __future__ import annotations

from celloquy.lm._fake import ScriptedModel
from celloquy.roles import GenerateOptions, generate
from celloquy.text import RankCurve
from decoder_models import GENES

LINE = RankCurve("linear_log_rank", "log1p", slope=-1.0, intercept=3.0)
OPTIONS = {"genes": GENES, "n_top_genes": 6, "rank_curve": LINE}


def made(lm, task="pseudo_cell", fields=None, **options):
    outer = {
        name: options.pop(name) for name in ("n", "seed", "out", "overwrite") if name in options
    }
    fields = {"cell_type": "B cell"} if fields is None else fields
    return generate(task, fields, lm=lm, options=GenerateOptions(**{**OPTIONS, **options}), **outer)


def says(text):
    return ScriptedModel(answer=lambda _: text)
