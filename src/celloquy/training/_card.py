"""The model card of a run: what was trained, on what, how, and how well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celloquy.training._model import bare_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


def model_card(record: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> str:
    """Write the card of a finished run.

    Parameters
    ----------
    record
        The run's record.
    lines
        The lines of its log.
    """
    return "\n".join([*_head(record), *_measures(record, lines), *_data(record), *_how(record)])


def _head(record: Mapping[str, Any]) -> Iterator[str]:
    model, result = record["recipe"]["model"], record["result"]
    what = "All weights" if model["method"] == "full" else f"A {model['method'].upper()} adapter"
    base = "random weights" if model["from_scratch"] else f"`{bare_name(model['base'])}`"
    yield from (
        "# Model card",
        "",
        f"{what} trained from {base} by celloquy {record['versions']['celloquy']}. "
        f"{result['n_trained']:,} of {result['n_weights']:,} weights were trained, for "
        f"{result['steps']:,} steps ({result['n_tokens']:,} tokens); the weights are those after "
        f"step {result['best_step'] or result['steps']:,}.",
        "",
    )


def _measures(record: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    best = record["result"]["best_step"]
    found = [line["valid"] for line in lines if "valid" in line and line["step"] == best]
    yield from ("## How well", "")
    if not found:
        yield from ("No validation examples were given, so nothing was measured.", "")
        return
    yield from ("| task | metric | value |", "|---|---|---|")
    yield f"| all | loss of a token (nats) | {found[-1]['loss']:.4f} |"
    for task, metrics in found[-1]["metrics"].items():
        for name, value in metrics.items():
            yield f"| {task or 'all'} | {name} | {value:.4f} |"
    yield from (
        "",
        "Measured on validation examples, which chose the step: not a test. Compare with baselines "
        "on other studies before you rely on it.",
        "",
    )


def _data(record: Mapping[str, Any]) -> Iterator[str]:
    yield from ("## Data", "", "| part | examples | left out | shortened | genes cut |")
    yield "|---|---|---|---|---|"
    for name, about in record["result"]["examples"].items():
        counts = (about[key] for key in ("n", "n_left_out", "n_shortened", "n_genes_cut"))
        yield f"| {name} | " + " | ".join(f"{count:,}" for count in counts) + " |"
    yield ""
    for path, digest in record["data"].items():
        yield f"- `{path.rpartition('/')[2]}` (SHA-256 {digest[:16]}…)"
    yield from (
        "",
        "Licence and origin of the cells are those of these files; state them before you share "
        "the weights.",
        "",
    )


def _how(record: Mapping[str, Any]) -> Iterator[str]:
    recipe = record["recipe"]
    model_base = recipe["model"]["base"]
    yield from ("## How", "", f"`{record['command']}`, seed {recipe['run']['seed']}.", "")
    yield from ("| section | keys |", "|---|---|")
    for section in ("model", "adapter", "optimiser", "evaluation", "run"):
        if section == "adapter" and recipe["model"]["method"] == "full":
            continue
        said = {
            **recipe[section],
            **({"base": bare_name(model_base)} if section == "model" else {}),
        }
        keys = ", ".join(f"{key} = {value!r}" for key, value in said.items())
        yield f"| {section} | {keys} |"
    versions = ", ".join(f"{name} {found}" for name, found in record["versions"].items())
    yield from ("", f"Python {record['python']}; {versions}.", f"{record['processor']}.", "")
    if record["git"]:
        yield from (f"Git revision {record['git']}.", "")
