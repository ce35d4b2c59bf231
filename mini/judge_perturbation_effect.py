"""Judge the answers of `try_perturbation_effect.py`, study by study, with intervals over genes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

LABELS = ("up", "down", "none")
N_DRAWS = 1_000


def judged(told: pd.DataFrame) -> str:
    """Write a table a question: balanced accuracy a study, the mean of studies, and macro-F1.

    Parameters
    ----------
    told
        A row an answer, with `question`, `method`, `study`, `gene`, `effect` and `answer`.
    """
    lines = []
    for question, part in told.groupby("question"):
        methods = {str(name): rows for name, rows in part.groupby("method")}
        studies = sorted(set(part["study"]))
        one = next(iter(methods.values()))
        sizes = [f"{study} ({(one['study'] == study).sum():,})" for study in studies]
        found = {name: _draws(rows, studies) for name, rows in methods.items()}
        lines += [f"\n{question}", " | ".join(["method", "balanced accuracy", *sizes, "macro-F1"])]
        for name in sorted(found, key=lambda name: -found[name][0][0].mean()):
            accuracy, f1 = found[name]
            lines.append(" | ".join([
                name, _interval(accuracy.mean(axis=1)),
                *(f"{value:.3f}" for value in accuracy[0]), _interval(f1.mean(axis=1)),
            ]))  # fmt: skip
        mini = next(name for name in found if name.endswith("taught"))
        lines += [
            f"{mini} - {name}: {_interval((found[mini][0] - other[0]).mean(axis=1))}"
            for name, other in found.items() if name != mini
        ]  # fmt: skip
    return "\n".join(lines)


def _interval(values: Any) -> str:
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return f"{values[0]:.3f} [{low:.3f}, {high:.3f}]"


def _draws(rows: pd.DataFrame, studies: list[str]) -> tuple[Any, Any]:
    """Measure each study, first as it is, then with genes drawn anew; same draws every method."""
    places = {label: i for i, label in enumerate(LABELS)}
    truth, answer = (rows[column].map(places).to_numpy() for column in ("effect", "answer"))
    study = rows["study"].map({name: i for i, name in enumerate(studies)}).to_numpy()
    genes, gene = np.unique(rows["gene"], return_inverse=True)
    rng = np.random.default_rng(0)
    accuracy, f1 = [], []
    for draw in range(N_DRAWS + 1):
        drawn = rng.integers(len(genes), size=len(genes)) if draw else np.arange(len(genes))
        weights = np.bincount(drawn, minlength=len(genes))[gene]
        cells = np.bincount((study * 3 + truth) * 3 + answer, weights, len(studies) * 9)
        table = cells.reshape(len(studies), 3, 3)
        right = np.diagonal(table, axis1=1, axis2=2)
        true, said = table.sum(axis=2), table.sum(axis=1)
        accuracy.append(
            (right / np.maximum(true, 1e-9)).sum(axis=1) / np.maximum((true > 0).sum(axis=1), 1)
        )
        f1.append((2 * right / np.maximum(true + said, 1e-9)).mean(axis=1))
    return np.array(accuracy), np.array(f1)
