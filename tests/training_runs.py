"""Small examples, recipes and runs."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

from decoder_models import GENES, INNER, write_decoder, write_seq2seq

if TYPE_CHECKING:
    from pathlib import Path

MARKS = {
    "T cell": ("CD3D", "CD3E"),
    "B cell": ("MS4A1", "CD79A"),
    "NK cell": ("NKG7", "GNLY"),
}
"""Two genes by which each label can be told."""


def examples(n: int, *, seed: int) -> list[dict[str, str]]:
    """Make examples that can be learned: genes in any order, of which two mark the label."""
    draw, made = random.Random(seed), []
    for _ in range(n):
        label = draw.choice(list(MARKS))
        others = [gene for gene in GENES if gene not in MARKS[label]]
        genes = [*MARKS[label], *draw.sample(others, draw.randint(2, 8))]
        draw.shuffle(genes)
        prompt = f"Genes: {' '.join(genes)}.\nThe cell is a"
        made.append({"prompt": prompt, "answer": label, "task": "cell_type"})
    return made


def write_lines(path: Path, lines: list[dict[str, str]]) -> Path:
    """Write JSON lines."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def write_setting(
    folder: Path, *, family: str = "llama", more: str = "", n: int = 48, inner: int = INNER
) -> Path:
    """Write a base, examples and a recipe; `more` is TOML that follows. Gives the recipe."""
    (folder / "base").mkdir()
    if family == "t5":
        write_seq2seq(folder / "base", inner=inner)
    else:
        write_decoder(folder / "base", family=family, inner=inner)
    write_lines(folder / "train.jsonl", examples(n, seed=1))
    write_lines(folder / "valid.jsonl", examples(12, seed=2))
    recipe = folder / "recipe.toml"
    recipe.write_text(
        'data = { train = ["train.jsonl"], valid = ["valid.jsonl"] }\n'
        + (more if "[model]" in more else f'model = {{ base = "base" }}\n{more}')
    )
    return recipe
