"""How cells are generated: which genes, how they are drawn, and what they follow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from celloquy.errors import InputError
from celloquy.lm import Limits
from celloquy.roles._cells import ReadOptions

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from celloquy.roles._targets import Source
    from celloquy.text import RankCurve, Vocabulary

GENERATE_GENES, CONTROL_GENES = 100, 200
"""Genes of a new cell, and of a control cell, where neither the user nor the model says it."""
TOKENS_A_GENE = 12
"""Tokens that a gene may take where the length of an answer is not said."""


@dataclass(frozen=True, eq=False)
class GenerateOptions:
    """How cells are generated.

    Raises
    ------
    InputError
        If a number is out of its range.
    """

    genes: Vocabulary | Sequence[str] | str | os.PathLike[str] | None = None
    """The genes that may be named: a list, or a text file with one a line; `None` takes those of
    the checkpoint, and without any there is an error."""
    n_top_genes: int | None = None
    """How many genes a cell names; `None` takes what the model was taught, else 100."""
    exactly: bool = True
    """Whether a cell names exactly so many, or so many at the most."""
    is_constrained: bool = True
    """Whether the model can write nothing but different genes of the list, where its backend
    can be held to that. Without, what it writes is read, and other words are counted."""
    repair: Literal["celloquy", "cell2sentence"] = "celloquy"
    """What becomes of words that are no gene and of repeats in a free answer: left out, the first
    mention counts; or as Cell2Sentence does it, places kept and averaged."""
    temperature: float | None = None
    """Divides the logits; 0 takes the likeliest token, so that all cells of a prompt are equal.
    `None` takes what the model says, else 1."""
    top_k: int | None = None
    """Draw among so many likeliest tokens only."""
    top_p: float | None = None
    """Draw among the likeliest tokens that together have this probability."""
    max_new_tokens: int | None = None
    """The most tokens of an answer; `None` allows 12 a gene."""
    guidance_scale: float | None = None
    """How many times what the prompt adds to the task's contrast (a cell of any type) counts
    when genes are drawn: 1 asks the prompt alone, 2 writes cells more typical of what is asked
    for, in twice the time. `None` takes what the model says, else 1."""
    n_candidates: int = 1
    """Cells that are written for each that is kept: the model reads them back (the type, by the
    task `cell_type`), and the one that is surest what was asked for stays."""
    template: int | None = None
    """Which of the task's templates is used; `None` takes the model's, else the first."""
    control: Source | None = None
    """Control cells, for tasks about a cell or several: each is asked about in turn."""
    obs_fields: Mapping[str, str] = field(default_factory=dict)
    """Inputs of the task that are columns of the control cells' obs."""
    n_control_genes: int | None = None
    """The most genes of a control cell that are named in a prompt; `None` takes what the model
    was taught, else 200."""
    n_control_cells: int = 5
    """Control cells in one prompt, for tasks about several."""
    read: ReadOptions = field(default_factory=ReadOptions)
    """Where expression and gene names of the control cells are read from."""
    rank_curve: RankCurve | str | os.PathLike[str] | None = None
    """Expression by rank; `None` takes the checkpoint's, else the packaged one, with a warning."""
    shard_size: int = 256
    """Cells that are written as one part."""

    def __post_init__(self) -> None:
        for name in (
            "n_top_genes",
            "n_control_genes",
            "n_control_cells",
            "n_candidates",
            "shard_size",
        ):
            if (getattr(self, name) or 0) < 1 and getattr(self, name) is not None:
                msg = f"`{name}` must be at least 1, got {getattr(self, name)}."
                raise InputError(msg, hint="leave it out for the default.")
        _ = self.limits

    @property
    def limits(self) -> Limits:
        """How tokens are drawn."""
        most = self.max_new_tokens
        return Limits(
            max_new_tokens=TOKENS_A_GENE * (self.n_top_genes or GENERATE_GENES) + 4
            if most is None
            else most,
            temperature=1.0 if self.temperature is None else self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            guidance_scale=1.0 if self.guidance_scale is None else self.guidance_scale,
        )
