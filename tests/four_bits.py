"""Train with four bits and ask what was trained; run by tests, with bitsandbytes on the path.

    python tests/four_bits.py FOLDER FAMILY

prints JSON: losses, what was logged of the validation examples, and the same as it is asked.
It is a process of its own, because PEFT looks for bitsandbytes once, when it is imported.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import celloquy as cq
from celloquy.training import merge, train
from celloquy.training._run import RunFolder
from training_runs import write_setting

APART = Path(sys.prefix) / "four-bits"
"""Where `make test` installs bitsandbytes: beside it, whatever imports PEFT takes three seconds
longer."""
RECIPE = "[optimiser]\nlearning_rate = 1e-2\nbatch_size = 8\nepochs = 4\n"


def environment() -> dict[str, str]:
    """Give the environment of a process that finds bitsandbytes."""
    where = "" if importlib.util.find_spec("bitsandbytes") else str(APART)
    return {**os.environ, "PYTHONPATH": where, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def model_part(method: str, *, genes: str = "") -> str:
    """Write a recipe's part about the model."""
    more = f'add_genes = "{genes}"\n' if genes else ""
    return f'[model]\nbase = "base"\nmethod = "{method}"\n{more}'


def asked_loss(place: str, precision: str, valid: list[dict[str, str]]) -> float:
    """Give the mean loss of a token of the answers to some prompts."""
    lm = cq.load_lm(place, precision=precision)
    scores = [lm.score([one["prompt"]], [one["answer"]]) for one in valid]
    return -sum(s.logp.sum() for s in scores) / sum(int(s.n_tokens.sum()) for s in scores)


def run(folder: Path, family: str, method: str, *, genes: str) -> dict[str, Any]:
    """Train, merge and ask."""
    folder.mkdir()
    more = RECIPE + model_part(method, genes=genes)
    recipe = write_setting(folder, family=family, more=more, inner=128)
    with contextlib.redirect_stdout(sys.stderr):
        result = train(recipe, folder / "run", device="cpu")
        merge(result.folder, folder / "merged")
    lines = RunFolder(result.folder).lines()
    valid = [json.loads(line) for line in (folder / "valid.jsonl").read_text().splitlines()]
    adapted = f"hf:{folder / 'base'}+{result.model}"
    return {
        "losses": [line["loss"] for line in lines if "loss" in line],
        "logged": next(line["valid"]["loss"] for line in lines if "valid" in line),
        "4bit": asked_loss(adapted, "4bit", valid),
        "fp32": asked_loss(adapted, "fp32", valid),
        "merged": asked_loss(f"hf:{folder / 'merged'}", "fp32", valid),
    }


def main() -> None:
    """Print what was found."""
    folder, family = Path(sys.argv[1]), sys.argv[2]
    genes = folder / "genes.txt"
    genes.write_text("XIST\nMALAT1\n")
    given = {"lora": "", "qlora": "", "qlora, genes": str(genes)}
    found = {
        name: run(folder / name.replace(", ", "-"), family, name.partition(",")[0], genes=one)
        for name, one in given.items()
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
