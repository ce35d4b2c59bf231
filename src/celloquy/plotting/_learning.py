"""Curves of a training run: losses and metrics against steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from celloquy.errors import InputError
from celloquy.plotting._figure import HUES, finish, new_axes

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

SMOOTH = 0.05
"""Share of the steps over which the training loss is averaged."""


def learning_curves(
    lines: Sequence[Mapping[str, Any]],
    *,
    ax: Axes | None = None,
    save: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Axes:
    """Draw the loss of a run, of learning and of validation, and its metrics beside.

    Parameters
    ----------
    lines
        Lines of a run's ``log.jsonl``.
    ax
        Where to draw the losses; `None` makes a figure, with metrics on axes to the right.
    save
        File to write: ``.png``, ``.svg`` or ``.pdf``.
    overwrite
        Whether an existing file is replaced.

    Raises
    ------
    InputError
        If no step was logged.
    """
    steps = pd.DataFrame([line for line in lines if "loss" in line])
    if steps.empty:
        msg = "The log holds no step."
        raise InputError(msg, hint="train at least one step first.")
    ax = new_axes(ax, width=7, height=4)
    width = max(1, round(SMOOTH * len(steps)))
    mean = steps["loss"].rolling(width, min_periods=1).mean()
    ax.plot(steps["step"], steps["loss"], color=HUES[0], alpha=0.25, linewidth=1)
    ax.plot(steps["step"], mean, color=HUES[0], label=f"learning (mean of {width} steps)")
    measured = [line for line in lines if "valid" in line]
    if measured:
        at = [line["step"] for line in measured]
        losses = [line["valid"]["loss"] for line in measured]
        ax.plot(at, losses, color=HUES[5], marker="o", label="validation")
    ax.set_xlabel("step")
    ax.set_ylabel("loss of a token (nats)")
    _metrics(ax, measured)
    return finish(ax, save=save, overwrite=overwrite)


def _metrics(ax: Axes, measured: Sequence[Mapping[str, Any]]) -> None:
    """Draw metrics against an axis of their own, on the right."""
    names = sorted(
        {
            (task, metric)
            for line in measured
            for task, found in line["valid"]["metrics"].items()
            for metric in found
        }
    )
    handles, labels = ax.get_legend_handles_labels()
    if names:
        right = ax.twinx()
        for number, (task, metric) in enumerate(names):
            points = [
                (line["step"], line["valid"]["metrics"][task][metric])
                for line in measured
                if metric in line["valid"]["metrics"].get(task, {})
            ]
            right.plot(
                *zip(*points, strict=True),
                color=HUES[(number + 1) % len(HUES)],
                linestyle="--",
                marker="s",
                markersize=4,
                label=f"{metric} of {task}" if task else metric,
            )
        right.set_ylabel("metric (right)")
        right.set_ylim(min(0.0, right.get_ylim()[0]), 1)
        right.spines["top"].set_visible(False)
        more, named = right.get_legend_handles_labels()
        handles, labels = [*handles, *more], [*labels, *named]
    ax.legend(handles, labels, frameon=False, fontsize="small")
