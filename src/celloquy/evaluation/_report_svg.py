"""Small pictures as inline SVG: intervals side by side, and accuracy by confidence."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from celloquy.evaluation._report_axis import axis_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from celloquy.evaluation._suite_job import Metric
    from celloquy.learn import Reliability

_COLOURS = {
    "default": "#0b6e4f",
    "baseline": "#5b6770",
    "other": "#9aa5ad",
    "language model": "#b3541e",
    "control": "#d9a066",
    "ceiling": "#3d6fb4",
}
_ROW, _LEFT, _WIDTH, _TOP = 20, 430, 380, 26


def forest(rows: pd.DataFrame, headline: Metric) -> str:
    """Draw one line a method: its mean headline with the interval, best first.

    Parameters
    ----------
    rows
        Rows of one kind of the summary.
    headline
        What is drawn.
    """
    height = _TOP + _ROW * len(rows) + 24
    parts = [_opened(_LEFT + _WIDTH + 90, height, f"{headline.title} of every method, 95 %")]
    axis = axis_of(rows[[headline.name, "low", "high"]].to_numpy(dtype=float))
    for tick in axis.ticks:
        x = _LEFT + axis.place(tick) * _WIDTH
        parts += [
            f'<line x1="{x:.1f}" y1="{_TOP - 6}" x2="{x:.1f}" y2="{height - 24}" '
            'stroke="#e3e6e8"/>',
            f'<text x="{x:.1f}" y="{height - 8}" text-anchor="middle">{tick:.6g}</text>',
        ]
    for i, (_, row) in enumerate(rows.iterrows()):
        y, colour = _TOP + _ROW * i + 6, _COLOURS[str(row["role"])]
        mean, ends = float(row[headline.name]), (float(row["low"]), float(row["high"]))
        parts.append(
            f'<text x="{_LEFT - 10}" y="{y + 4}" text-anchor="end">'
            f"{escape(str(row['title']))}</text>"
        )
        if np.isfinite(ends[0]):
            low, high = (_LEFT + axis.place(end) * _WIDTH for end in ends)
            parts.append(
                f'<line x1="{low:.1f}" y1="{y}" x2="{high:.1f}" y2="{y}" stroke="{colour}" '
                'stroke-width="2"/>'
            )
        if np.isfinite(mean):
            x = _LEFT + axis.place(mean) * _WIDTH
            parts += [
                f'<circle cx="{x:.1f}" cy="{y}" r="4" fill="{colour}"/>',
                f'<text x="{_LEFT + _WIDTH + 12}" y="{y + 4}">{mean:.{headline.digits}f}</text>',
            ]
    return "".join([*parts, "</svg>"])


def legend(roles: Iterable[str]) -> str:
    """Say which colour is what, of the roles that are shown."""
    shown = set(roles)
    return " ".join(
        f'<span><svg width="12" height="12" aria-hidden="true"><circle cx="6" cy="6" r="5" '
        f'fill="{colour}"/></svg> {escape(role)}</span>'
        for role, colour in _COLOURS.items()
        if role in shown
    )


def reliability(found: Reliability) -> str:
    """Draw accuracy by confidence; the line is where both agree."""
    size, edge = 180, 30
    parts = [
        _opened(size + edge + 14, size + edge + 14, "accuracy by confidence"),
        f'<line x1="{edge}" y1="{size}" x2="{size + edge}" y2="0" stroke="#c4cacf"/>',
        f'<rect x="{edge}" y="0" width="{size}" height="{size}" fill="none" stroke="#c4cacf"/>',
    ]
    for sure, right, n in zip(found.confidence, found.accuracy, found.n_cells, strict=True):
        radius = 2 + 7 * np.sqrt(n / found.n_cells.max())
        parts.append(
            f'<circle cx="{edge + sure * size:.1f}" cy="{size - right * size:.1f}" '
            f'r="{radius:.1f}" fill="#0b6e4f" fill-opacity="0.7">'
            f"<title>confidence {sure:.2f}, accuracy {right:.2f}, {n:,} cells</title></circle>"
        )
    parts += [
        f'<text x="{edge + size / 2}" y="{size + 28}" text-anchor="middle">confidence</text>',
        f'<text x="12" y="{size / 2}" text-anchor="middle" '
        f'transform="rotate(-90 12 {size / 2})">accuracy</text>',
    ]
    return "".join([*parts, "</svg>"])


def _opened(width: float, height: float, label: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(label)}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#24292e">'
    )
