"""The suite `perturbation` over all studies together: unseen genes, one number a perturbation.

    celloquy benchmark perturbation --data FOLDER --out RESULTS
    python benchmarks/perturbation_pooled.py RESULTS

Contexts and draws of a perturbation are averaged first; intervals draw perturbations.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd

from celloquy.evaluation import mean_interval

SHOWN = ("centroid_accuracy", "pearson_centred")
CONTROLS = {
    "MiniLM, names of genes, ridge regression": "MiniLM, names of other genes, ridge regression",
    "MiniLM, paragraphs of genes, ridge regression":
        "MiniLM, paragraphs of other genes, ridge regression",
    "co-expression in other studies, ridge regression":
        "co-expression of other genes, ridge regression",
}  # fmt: skip


def main() -> None:
    report = json.loads((Path(sys.argv[1]) / "report.json").read_text(encoding="utf-8"))
    rows = pd.DataFrame(report["results"])
    rows = rows[rows["kind"].str.endswith("an unseen gene")]
    rows["unit"] = rows["kind"] + ", " + rows["unit"]
    means = rows.groupby(["title", "unit"])[list(SHOWN)].mean()
    print("| method | perturbations | centroid accuracy | 95 % | centred Pearson | 95 % |")
    print("|---|---|---|---|---|---|")
    order = means["centroid_accuracy"].groupby("title").mean().sort_values(ascending=False)
    for title in order.index:
        part = means.loc[title]
        said = [f"{part[name].mean():.3f} | {mean_interval(part[name])}" for name in SHOWN]
        print(f"| {title} | {len(part)} | {' | '.join(said)} |")
    wide = means["centroid_accuracy"].unstack("title")
    for title, control in CONTROLS.items():
        gap = (wide[title] - wide[control]).dropna()
        print(f"\n{title}, less {control}: {gap.mean():+.3f} {mean_interval(gap)}")


if __name__ == "__main__":
    main()
