"""Put a trained model into the package: weights in bf16, tokenizer, genes, reading, card.

python mini/package.py --build build/ --results result.json [result.json ...]
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from prepare import read_sources

HERE = Path(__file__).parent
PLACE = HERE.parent / "src" / "celloquy" / "lm" / "mini"
COPIED = ("config.json", "tokenizer.json", "tokenizer_config.json", "reading.json", "genes.tsv")
DRAWING = {"pseudo_cell": {"temperature": 0.8, "guidance_scale": 2.0}}
"""How its cells are drawn: chosen by the runs without 10x PBMC 3k and without Kang 2018."""
MOST = 25 * 2**20
"""Bytes that the folder may take."""


def main() -> None:
    """Write the folder of the package.

    Raises
    ------
    SystemExit
        If the folder takes more than it may.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--results", type=Path, nargs="+", required=True)
    asked = parser.parse_args()
    model = asked.build / "run" / "model"
    PLACE.mkdir(exist_ok=True)
    for name in COPIED:
        shutil.copy(model / name, PLACE / name)
    reading = json.loads((PLACE / "reading.json").read_text("utf-8")) | {"drawing": DRAWING}
    text = json.dumps(reading, ensure_ascii=False, indent=1)
    (PLACE / "reading.json").write_text(text + "\n", encoding="utf-8")
    calibration = asked.build / "calibration.json"
    if calibration.is_file():
        shutil.copy(calibration, PLACE / calibration.name)
    weights = load_file(model / "model.safetensors")
    rounded = {name: weight.to(torch.bfloat16).contiguous() for name, weight in weights.items()}
    save_file(rounded, PLACE / "model.safetensors", metadata={"format": "pt"})
    settings = json.loads((PLACE / "config.json").read_text("utf-8"))
    settings |= {"dtype": "bfloat16", "_name_or_path": "celloquy-mini"}
    (PLACE / "config.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    results = [json.loads(path.read_text("utf-8")) for path in asked.results]
    record = json.loads((asked.build / "run" / "run.json").read_text("utf-8"))
    (PLACE / "README.md").write_text(card(record, results), encoding="utf-8")
    size = sum(path.stat().st_size for path in PLACE.iterdir())
    if size > MOST:
        msg = f"The folder takes {size / 2**20:.1f} MiB, and may take {MOST / 2**20:.0f}."
        raise SystemExit(msg)
    print(f"{PLACE}: {size / 2**20:.1f} MiB")


def card(record: dict[str, Any], results: list[dict[str, Any]]) -> str:
    """Write the model card."""
    held = results[0]["held_out"]
    result, recipe = record["result"], record["recipe"]
    drawn = DRAWING["pseudo_cell"]
    lines = [
        "---",
        "license: apache-2.0",
        "library_name: celloquy",
        "---",
        "# celloquy-mini",
        "",
        "A small decoder that reads and writes cells: one token a protein-coding human gene, "
        f"{result['n_weights'] / 1e6:.1f} million weights, trained from scratch by this project "
        f"({result['steps']:,} steps of {recipe['optimiser']['batch_size']} examples, "
        f"{result['n_tokens']:,} tokens). It answers offline, without a GPU. Licence: Apache-2.0.",
        "",
        f"No cell of the study {held} was seen in training, so the numbers below for that study "
        "are of cells, donors and a study that it never saw. The other tables are of models "
        "trained in the same way with another study left out; their weights are not shipped.",
        "",
        "Its probabilities are tempered (1.3), by what a model trained in the same way gave on the "
        "study that was left out for it; they are still too sure.",
        "",
        f"New cells are drawn at temperature {drawn['temperature']:g}, guided with scale "
        f"{drawn['guidance_scale']:g} (`drawing` in `reading.json`). How they, its vectors and "
        "its probabilities were judged stands in `docs/benchmarks/celloquy-mini.md` of the "
        "repository.",
        "",
        "Not for medical use. Labels that it was never taught it cannot know; a cell of another "
        "type gets one of the labels that it is offered, or unknown.",
        "",
    ]
    for found in results:
        lines += measured(found)
    lines += [
        "## What it learned from",
        "",
        "| study | licence | origin |",
        "|---|---|---|",
    ]
    rows = [
        f"| {one['study']} | {one['licence']} | {one['origin']} |"
        for one in read_sources()
        if one["study"] != held
    ]
    lines += dict.fromkeys(rows)
    return "\n".join([*lines, ""])


def measured(found: dict[str, Any]) -> list[str]:
    """Write what was measured on one study."""
    lines = [
        f"## Held out: {found['held_out']}",
        "",
        f"Six coarse types of blood cells. Other methods learned from {found['n_train']:,} of the "
        "labelled blood cells that the model learned from.",
        "",
    ]
    names = {one["file"]: one.get("name", one["study"]) for one in read_sources()}
    for file, test in found["tests"].items():
        panels = [name for name in test if name != "n_obs"]
        whole, drawn = test[panels[0]], [test[name] for name in panels[1:]]
        lines += [
            f"**{names[file]}**, {test['n_obs']:,} cells:",
            "",
            "| method | macro-F1 | accuracy | macro-F1 on 1,000 genes (draws) |",
            "|---|---|---|---|",
        ]
        for method, values in sorted(whole.items(), key=lambda one: -one[1]["macro_f1"]):
            few = [f"{panel[method]['macro_f1']:.3f}" for panel in drawn if method in panel]
            lines.append(
                f"| {method} | {values['macro_f1']:.3f} | {values['accuracy']:.3f} "
                f"| {', '.join(few)} |"
            )
        lines.append("")
    return lines


if __name__ == "__main__":
    main()
