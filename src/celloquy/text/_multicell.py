"""Several cells in one text: drawn by group, written one after the other."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from celloquy._runtime import rng_for
from celloquy.errors import InputError
from celloquy.text._fields import field_text, require_columns
from celloquy.text._prompt import Prompt, Segment, Text, plain_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from celloquy.text._sentences import CellSentences


@dataclass(frozen=True)
class DrawOptions:
    """How cells are drawn.

    Raises
    ------
    InputError
        If a number is below 1.
    """

    n_cells: int = 5
    """Cells of one text."""
    n_texts: int = 1
    """The most texts of one group."""
    replace: bool = False
    """Whether a cell may stand in several texts of its group."""
    seed: int = 0
    """Chooses the cells; the same seed draws the same cells, in any order of rows."""

    def __post_init__(self) -> None:
        for name in ("n_cells", "n_texts"):
            if getattr(self, name) < 1:
                msg = f"`{name}` must be at least 1, got {getattr(self, name)}."
                raise InputError(msg, hint="leave it out for the default.")


@dataclass(frozen=True, eq=False)
class MultiCellSentences:
    """Texts of several cells each."""

    prompts: list[Prompt]
    """Each text as a prompt; a budget cuts the longest lists of genes first."""
    groups: pd.DataFrame
    """Group of each text, one column each of `by`, and `n_cells`; shape ``(n, …)``."""
    cells: list[NDArray[np.int64]]
    """Row numbers of the cells of each text, in the order in which they are written."""
    short: pd.DataFrame
    """Groups that have fewer cells than asked for, and how many they have."""

    @property
    def text(self) -> list[str]:
        """Each text."""
        return [plain_text(prompt) for prompt in self.prompts]


FIVE_CELLS = DrawOptions()
"""One text of five cells a group."""


def multicell_sentences(
    sentences: CellSentences, *, by: str | Sequence[str], options: DrawOptions = FIVE_CELLS
) -> MultiCellSentences:
    r"""Write several cells of one group into one text.

    A text reads ``Cell 1:``, the first cell's sentence and a full stop, ``Cell 2:`` and so
    on, each on its own line. Cells without a value in `by` belong to no group. A group with
    fewer cells than asked for gives one text of those that it has, and a warning says so.

    Parameters
    ----------
    sentences
        The cells, as :func:`celloquy.text.sentences` gives them.
    by
        Column or columns of obs whose values make the groups, such as the donor.
    options
        How many cells and texts, and how they are drawn.

    Raises
    ------
    InputError
        If a column is missing, cell names repeat, or no cell belongs to a group.

    Notes
    -----
    After Cell2Sentence's multi-cell prompts (Rizvi et al., 2025), without the line that
    holds a full stop alone.
    """
    columns = [by] if isinstance(by, str) else list(by)
    require_columns(columns, sentences.obs.columns)
    if not sentences.obs.index.is_unique:
        repeated = sentences.obs.index[sentences.obs.index.duplicated()][0]
        msg = f"Cell names must be unique; {repeated!r} repeats."
        raise InputError(msg, hint="run `adata.obs_names_make_unique()` first.")
    rows: list[tuple[tuple[str, ...], NDArray[np.int64]]] = []
    short = []
    for group, members in _groups(sentences.obs, columns):
        if len(members) < options.n_cells and not options.replace:
            short.append((*group, len(members)))
        rows += [(group, cells) for cells in _draw(members, group, options)]
    if short:
        msg = f"{len(short)} groups have fewer than {options.n_cells} cells; see `short`."
        warnings.warn(msg, UserWarning, stacklevel=2)
    lone = sentences.prompts()
    groups = pd.DataFrame([group for group, _ in rows], columns=columns)
    return MultiCellSentences(
        [together([lone[cell] for cell in cells]) for _, cells in rows],
        groups.assign(n_cells=[len(cells) for _, cells in rows]),
        [cells for _, cells in rows],
        pd.DataFrame(short, columns=[*columns, "n_cells"]),
    )


def _groups(
    obs: pd.DataFrame, columns: list[str]
) -> list[tuple[tuple[str, ...], NDArray[np.int64]]]:
    """Give each group's values and its cells, by cell name.

    Raises
    ------
    InputError
        If there is no group.
    """
    whole = obs[columns].notna().all(axis=1).to_numpy()
    keys = [obs[column].map(field_text, na_action="ignore").astype(object) for column in columns]
    members: dict[tuple[str, ...], list[int]] = {}
    names = obs.index.astype(str).to_numpy(dtype=object)
    for row in sorted(np.flatnonzero(whole), key=lambda row: str(names[row])):
        group = tuple(str(key.iloc[row]) for key in keys)
        members.setdefault(group, []).append(int(row))
    if not members:
        msg = f"No cell has a value in {', '.join(columns)}, so there is no group."
        raise InputError(msg, hint="group by a column that has values.")
    return [(group, np.array(members[group])) for group in sorted(members)]


def _draw(
    members: NDArray[np.int64], group: tuple[str, ...], options: DrawOptions
) -> list[NDArray[np.int64]]:
    rng = rng_for(options.seed, "multicell", *group)
    n = options.n_cells
    if options.replace:
        return [rng.choice(members, n, replace=len(members) < n) for _ in range(options.n_texts)]
    drawn = rng.permutation(members)
    n_texts = max(1, min(options.n_texts, len(members) // n))
    return [drawn[i * n : (i + 1) * n] for i in range(n_texts)]


def together(prompts: Sequence[Prompt]) -> Prompt:
    """Write cells one after the other: ``Cell 1:``, its genes and a full stop, and so on."""
    segments: list[Segment] = []
    for number, prompt in enumerate(prompts, start=1):
        segments.append(Text(f"Cell {number}:\n" if number == 1 else f"\nCell {number}:\n"))
        segments += prompt
        if not plain_text(prompt).endswith("."):
            segments.append(Text("."))
    return tuple(segments)
