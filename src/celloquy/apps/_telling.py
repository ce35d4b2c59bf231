"""Tables as lines of text, readable without colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

HEADINGS = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "coverage": "coverage",
    "accuracy_answered": "acc. of labelled",
}


def table_lines(summary: pd.DataFrame) -> Iterator[str]:
    """Give one line a method: mean ± standard deviation of each metric.

    Parameters
    ----------
    summary
        What :func:`celloquy.evaluation.summarise` gives.
    """
    width = max(len(str(name)) for name in summary.index)
    yield f"{'':<{width}}  " + "  ".join(f"{title:>16}" for title in HEADINGS.values())
    for name, row in summary.iterrows():
        cells = (
            f"{row[(metric, 'mean')]:>7.3f} ± {row[(metric, 'std')]:.3f} " for metric in HEADINGS
        )
        yield f"{name:<{width}}  " + "  ".join(f"{cell:>16}" for cell in cells)
