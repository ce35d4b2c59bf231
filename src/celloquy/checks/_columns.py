"""Columns of obs that look like labels, clusters, donors, batches or conditions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import pandas as pd

from celloquy.checks._report import Problem, Suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable

    Role = Literal["label", "cluster", "donor", "batch", "condition"]

__all__ = ["column_problems", "suggest_columns", "telling_columns"]

FEW_CELLS = 20
"""Labels with fewer cells can hardly be learned or judged."""
MOST_LABELS = 500
"""A column with more different values names things other than cell types."""

_NAMES: tuple[tuple[Role, str], ...] = (
    ("label", r"cell[ ._-]?(type|label|ontology|identity|class)|celltype|bulk_labels?|annotation"
              r"|^labels?$|^ident(ity)?$|^subclass|^cell_line"),
    ("cluster", r"cluster|louvain|leiden|^res[._]\d"),
    ("donor", r"donor|patient|subject|individual|^mouse[ ._-]?id|^animal"),
    ("batch", r"batch|^study|data[ ._-]?set|library|^lane|channel|orig[ ._-]?ident|replicate"
              r"|^sample|^assay$|protocol|^chemistry|^technology|^tech$"),
    ("condition", r"condition|treatment|^stim|disease|diagnosis|perturbation$|^drug$|^dose"
                  r"|genotype|time[ ._-]?point"),
)  # fmt: skip


def telling_columns(columns: Iterable[str]) -> list[str]:
    """Choose the columns whose name says that they may hold groups of cells."""
    return [column for column in columns if _role_of(column) is not None]


def suggest_columns(obs: pd.DataFrame) -> tuple[Suggestion, ...]:
    """Find columns by name and by how many different values they hold.

    A column of one value, of a value a cell, or of measured numbers is never suggested.

    Parameters
    ----------
    obs
        All cells; shape ``(n_obs, columns)``.
    """
    found = []
    for column in obs.columns:
        role = _role_of(str(column))
        values = _hashable(obs[column])
        if role is None or not _is_grouping(values):
            continue
        n_values = int(values.nunique())
        option = f"label_key={str(column)!r}" if role == "label" else None
        found.append(Suggestion(str(column), role, n_values, option))
    order = [role for role, _ in _NAMES]
    return tuple(sorted(found, key=lambda suggestion: order.index(suggestion.role)))


def column_problems(obs: pd.DataFrame, suggestions: tuple[Suggestion, ...]) -> list[Problem]:
    """Find what is wrong with the columns that look like labels."""
    problems = []
    for suggestion in suggestions:
        if suggestion.role == "label":
            problems += _label_problems(_hashable(obs[suggestion.column]), suggestion.column)
    return problems


def _role_of(column: str) -> Role | None:
    if re.search(r"(_id|_score|ontology_term_id|_color)s?$", column) and not re.search(
        r"donor|patient|subject|sample|mouse|batch", column, re.IGNORECASE
    ):
        return None
    for role, pattern in _NAMES:
        if re.search(pattern, column, re.IGNORECASE):
            return role
    return None


def _hashable(values: pd.Series) -> pd.Series:
    """Give a column of any objects as text, so that lists and arrays in it can be compared."""
    if values.dtype != object:
        return values
    return values.where(values.isna(), values.astype(str))


def _is_grouping(values: pd.Series) -> bool:
    n_values = int(values.nunique())
    is_measured = pd.api.types.is_float_dtype(values.dtype) and n_values > 20
    return 2 <= n_values <= min(MOST_LABELS, max(2, len(values) // 2)) and not is_measured


def _label_problems(values: pd.Series, column: str) -> list[Problem]:
    problems = []
    where = f"obs[{column!r}]"
    n_missing = int(values.isna().sum())
    if n_missing:
        message = f"{n_missing:,} of {len(values):,} cells have no label in {where}."
        mend = f"`adata = adata[adata.obs[{column!r}].notna()].copy()` for a reference"
        problems.append(Problem("missing-labels", "warn", message, mend, n_missing))
    sizes = values.value_counts()
    rare = [f"{label} ({n})" for label, n in sizes.items() if 0 < n < FEW_CELLS]
    if rare:
        message = (
            f"{len(rare):,} of {int((sizes > 0).sum()):,} labels in {where} have fewer than "
            f"{FEW_CELLS} cells: too few to learn from or to judge by."
        )
        problems.append(Problem("rare-labels", "note", message, None, len(rare), tuple(rare[:3])))
    if isinstance(values.dtype, pd.CategoricalDtype):
        unused = values.cat.categories[~values.cat.categories.isin(values.dropna())]
        if len(unused):
            message = f"{len(unused):,} categories of {where} have no cell."
            mend = f"`adata.obs[{column!r}] = adata.obs[{column!r}].cat.remove_unused_categories()`"
            examples = tuple(map(str, unused[:3]))
            problems.append(
                Problem("unused-categories", "note", message, mend, len(unused), examples)
            )
    return problems
