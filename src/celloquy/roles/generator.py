"""The generator: new cells from a language model, with expression, answers and provenance."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celloquy._runtime import (
    Progress,
    ShardPlan,
    ShardResult,
    count_of,
    refuse_existing,
    run_shards,
)
from celloquy.errors import InputError
from celloquy.io import refuse_ending, write_h5ad
from celloquy.roles._asking import record_of_lm, record_of_reading, said_of_server, told_where
from celloquy.roles._collect import discard_parts
from celloquy.roles._generate_cells import cells_of
from celloquy.roles._generate_chosen import seeds_of, write_chosen
from celloquy.roles._generate_options import GenerateOptions
from celloquy.roles._generate_prompts import want
from celloquy.roles._generate_several import write_several
from celloquy.roles._targets import refuse_replacing
from celloquy.text import plain_text

if TYPE_CHECKING:
    import os

    from anndata import AnnData

    from celloquy._runtime import Shard
    from celloquy.lm import LanguageModel
    from celloquy.roles._generate_prompts import Fields, Wanted
    from celloquy.tasks import Task

UNS_KEY = "celloquy_generate"


def generate(
    task: Task | str | os.PathLike[str],
    fields: Fields | None = None,
    *,
    n: int | None = None,
    lm: LanguageModel | str | None = None,
    out: str | os.PathLike[str] | None = None,
    seed: int = 0,
    overwrite: bool = False,
    options: GenerateOptions | None = None,
) -> AnnData:
    """Let a language model write new cells.

    A local model can write nothing but different genes of the list. Each cell's random numbers
    depend on `seed` and its number alone: more cells of the same seed begin with the same
    ones. With `out`, answers are kept in parts, and a run that was killed goes on from them.

    Parameters
    ----------
    task
        What is asked for: the name of a task (``celloquy tasks list``), the file of one, or a
        task.
    fields
        Values of the task's inputs: one for all cells, or a list with one a cell.
    n
        Answers to write; `None` writes one a control cell, else one a value of a list in
        `fields`, else one.
    lm
        A loaded language model, or what :func:`celloquy.load_lm` takes; `None` takes
        celloquy-mini, which comes with this package.
    out
        File (.h5ad) to write the cells to.
    seed
        Seed of everything random.
    overwrite
        Whether `out`, and parts of another run, are replaced.
    options
        Everything else: genes, their number, how tokens are drawn, control cells.

    Returns
    -------
    The new cells: reconstructed expression (float32 CSR), in obs the values of the inputs, the
    answer as it was written, its log-probability, why it ended, and how many words named a
    gene, were unknown or repeated, with several candidates also the probability of what was
    asked for; in ``uns["celloquy_generate"]`` where they come from.

    Raises
    ------
    InputError
        If the task is not answered with cells, an input has no value, there is no list of
        genes, genes cannot be written by the tokenizer or do not fit, the rank curve cannot be
        read, or `out` exists or is the control cells' own file.
    """
    options = options or GenerateOptions()
    if out is not None:
        refuse_ending(Path(out))
        refuse_existing(Path(out), overwrite=overwrite)
        refuse_replacing(options.control, Path(out))
    wanted = want(task, fields or {}, n=n, lm=lm, options=options)
    record = _record(wanted, seed)
    answers = _collect(wanted, record, seed=seed, out=out, overwrite=overwrite)
    made = cells_of(answers, wanted)
    counts = {
        name: int(made.obs[name].sum()) for name in ("n_genes_named", "n_unknown", "n_repeated")
    }
    record["lm"] |= said_of_server(wanted.lm)
    made.uns[UNS_KEY] = record | counts | {"n_obs": made.n_obs}
    if out is not None:
        write_h5ad(made, out, overwrite=overwrite)
        discard_parts(out)
    return made


def plan_generation(
    task: Task | str | os.PathLike[str],
    fields: Fields | None = None,
    *,
    n: int | None = None,
    lm: LanguageModel | str | None = None,
    seed: int = 0,
    options: GenerateOptions | None = None,
) -> str:
    """Say what :func:`generate` would ask first, and how much; nothing is asked.

    Parameters
    ----------
    task, fields, n, lm, seed, options
        See :func:`generate`.

    Raises
    ------
    InputError
        As :func:`generate`.
    """
    wanted = want(task, fields or {}, n=n, lm=lm, options=options or GenerateOptions())
    plan = wanted.lm.plan([wanted.prompt(0)], n_answer_tokens=wanted.room)
    dry_run = getattr(wanted.lm, "dry_run", None)
    if dry_run is not None:
        limits, (first,) = wanted.limits, seeds_of(seed, range(1))
        return str(dry_run(plan, constraint=wanted.constraint(), limits=limits, seed=first))
    most = wanted.limits.max_new_tokens
    n_answers = wanted.n * wanted.options.n_candidates
    said = f"{count_of(n_answers, 'answers')} of at most {most:,} tokens; the first prompt takes "
    said = f"{said}{plan.n_tokens[0]:,} tokens:\n\n{plan.texts[0]}"
    contrasts = wanted.contrasts(range(1))
    if contrasts is not None:
        said += f"\n\nguided (scale {wanted.limits.guidance_scale:g}) away from:\n\n"
        said += plain_text(contrasts[0])
    return said


def _write(wanted: Wanted, answers: range, *, seed: int) -> list[dict[str, Any]]:
    """Write some answers."""
    with told_where([f"generated-{answer}" for answer in answers]):
        if wanted.is_cell_by_cell:
            return write_several(wanted, answers, seed=seed)
        return write_chosen(wanted, answers, seed=seed)


def _collect(
    wanted: Wanted,
    record: dict[str, Any],
    *,
    seed: int,
    out: str | os.PathLike[str] | None,
    overwrite: bool,
) -> list[dict[str, Any]]:
    """Write all answers, and keep what is done if `out` says where.

    Raises
    ------
    InputError
        If answers cannot be written, or parts are those of another run.
    """
    size = wanted.options.shard_size
    if out is None:
        borders = [*range(0, wanted.n, size), wanted.n]
        return [one for a, b in pairwise(borders) for one in _write(wanted, range(a, b), seed=seed)]
    plan = ShardPlan.cut(
        wanted.n, shard_size=size, inputs={"prompts": _digest(wanted)}, config=record,
        seed=seed, ending=".jsonl",
    )  # fmt: skip

    def work(shard: Shard, path: Path) -> ShardResult:
        try:
            made = _write(wanted, range(shard.start, shard.stop), seed=seed)
        except InputError:
            if not any(folder.glob("*.jsonl")):  # nothing to go on from
                discard_parts(out)
            raise
        lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in made)
        path.write_text(lines, encoding="utf-8")
        return ShardResult(len(made))

    place = Path(out)
    folder = place.with_name(f"{place.name}.parts")
    with Progress(wanted.n, unit="cells") as progress:
        parts = run_shards(
            plan, work, folder=folder, overwrite=overwrite,
            on_part=lambda part: progress.advance(part.rows),
        )  # fmt: skip
        progress.note(place.name)
    # not `splitlines`: an answer may hold other marks of a line's end
    lines = (line for part in parts for line in part.path.read_text("utf-8").split("\n"))
    return [json.loads(line) for line in lines if line]


def _digest(wanted: Wanted) -> str:
    """Hash what is said of every cell."""
    digest = hashlib.sha256()
    for answer in range(wanted.n):
        digest.update(plain_text(wanted.prompt(answer)).encode() + b"\0")
    return digest.hexdigest()


def _record(wanted: Wanted, seed: int) -> dict[str, Any]:
    """Say what was done, in plain values that h5ad can hold."""
    task, options, limits = wanted.task, wanted.options, wanted.limits
    drawn = {"temperature": limits.temperature, "top_k": limits.top_k, "top_p": limits.top_p}
    drawn["guidance_scale"] = None if wanted.contrast is None else limits.guidance_scale
    return {
        "verb": "generate",
        "celloquy": version("celloquy"),
        "task": {"name": task.name, "sha256": task.sha256, "template": options.template or 0},
        "lm": record_of_lm(wanted.lm),
        "seed": seed,
        "n_answers": wanted.n,
        "n_top_genes": wanted.n_genes,
        "n_candidates": wanted.options.n_candidates,
        "exactly": options.exactly,
        "is_constrained": wanted.constraint() is not None,
        "repair": options.repair,
        "limits": {"max_new_tokens": limits.max_new_tokens}
        | {name: value for name, value in drawn.items() if value is not None},
        "genes": {"n": len(wanted.vocabulary), "fingerprint": wanted.vocabulary.fingerprint},
        "has_control": bool(wanted.controls),
        **({} if wanted.contrast is None else {"contrast": wanted.contrast.record()}),
        **record_of_reading(wanted.lm),
    }
