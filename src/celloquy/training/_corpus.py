"""A corpus from a recipe: planned, made in jobs that are resumed, put into a random order."""

from __future__ import annotations

import json
import shutil
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celloquy._runtime import Progress, ShardPlan, atomic_path, refuse_existing
from celloquy.errors import InputError
from celloquy.evaluation import Split, check_leaks
from celloquy.tasks import write_task
from celloquy.training._corpus_cells import CellStore
from celloquy.training._corpus_deal import MadeParts, deal_part, job_borders, make_parts, summed
from celloquy.training._corpus_files import SCHEMA
from celloquy.training._corpus_make import Maker
from celloquy.training._corpus_plan import CorpusPlan
from celloquy.training._corpus_read import GENES, RECORD, TASKS, Corpus, Lists
from celloquy.training._corpus_tables import fingerprint_of
from celloquy.training._corpus_tasks import CELL_WAYS
from celloquy.training._recipe import digest
from celloquy.training._recipe_corpus import (
    PARTS,
    CorpusRecipe,
    read_corpus_recipe,
    without_folders,
)

if TYPE_CHECKING:
    import os

    import pyarrow as pa

    from celloquy._runtime import Part

MADE = ".made"
"""Folder of the parts that are not in a random order yet."""
_LOOKED_AT = (4_000, 1_000)
"""Training and held-out examples that are compared for near duplicates."""
_ALIKE = 0.9
"""Shared genes, of all that two sentences name, from which on they are taken for one cell: two T
cells of two studies shared 0.82 of their first hundred, most of it ribosome."""
_NAMED = 100
"""Genes of a sentence by which near duplicates are known."""


def build_corpus(
    recipe: CorpusRecipe | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    progress: bool = False,
) -> Corpus:
    """Make a corpus of examples: cells, tables and networks asked about by tasks.

    Examples are drawn by keys that depend on the seed and on names alone, so the order of cells
    and files does not matter and no row comes first. The folder holds Parquet files in a random
    order for each part (``train/``, ``validation/``, ``test/``), the tasks, ``split.json`` and
    ``corpus.json``, the record of where all comes from. A run that was killed goes on where it
    was.

    Parameters
    ----------
    recipe
        A recipe, or the TOML file of one; see `CorpusRecipe`.
    out
        The folder to write; the one above it must exist.
    overwrite
        Whether a corpus of another recipe is replaced.
    progress
        Whether a line on stderr counts the jobs.

    Raises
    ------
    InputError
        If the recipe has a mistake, a source cannot be used, the split cannot be made or leaks,
        a prompt would hold its answer, a task has no example, organisms are mixed, or `out` is
        taken.
    """
    chosen = recipe if isinstance(recipe, CorpusRecipe) else read_corpus_recipe(recipe)
    out = Path(out)
    with closing(CellStore()) as store:
        plan = CorpusPlan(chosen, store)
        about = _about(plan)
        if _is_done(out, about, overwrite=overwrite):
            return Corpus(out)
        out.mkdir(exist_ok=True)
        made = _make(plan, about, out / MADE, overwrite=overwrite, progress=progress)
    counts, lost = summed(made)
    _refuse_none(plan, counts, lost)
    with closing(MadeParts([part.path for part in made])) as parts:
        for number, part in enumerate(PARTS):
            deal_part(parts, number, out / part, about=about, shard_size=chosen.shard_size)
    leaks = _near_duplicates(out, plan)
    _write_record(plan, out, {**about, "counts": counts, "lost": lost, "near_duplicates": leaks})
    shutil.rmtree(out / MADE)
    return Corpus(out)


def _about(plan: CorpusPlan) -> dict[str, Any]:
    """Say what makes this corpus this corpus."""
    from importlib.metadata import version  # slow to import

    named = without_folders(plan.recipe)
    genes = {} if plan.genes is None else {"genes": plan.genes.record()}
    return {
        "schema": SCHEMA,
        "kind": "corpus",
        **genes,
        "seed": plan.recipe.seed,
        "recipe": named.model_dump(mode="json", exclude_defaults=True),
        "recipe_sha256": digest(named),
        "sources": [
            {**source.fingerprint, "study": source.study, "n_left_out": source.n_left_out}
            for source in plan.sources
        ],
        "tables": [fingerprint_of(part) for part in plan.recipe.table],
        "graphs": [fingerprint_of(part) for part in plan.recipe.graph],
        "tasks": {task.name: task.task.sha256 for task in plan.tasks},
        "split_sha256": plan.split.sha256,
        "n_without_group": plan.n_without_group,
        "n_shared_names": plan.n_shared,
        "wanted": {
            part: {name: wanted[i] for name, wanted in plan.wanted.items()}
            for i, part in enumerate(PARTS)
        },
        "versions": {name: version(name) for name in ("celloquy", "anndata", "pyarrow", "numpy")},
    }


def _is_done(out: Path, about: dict[str, Any], *, overwrite: bool) -> bool:
    """Say whether the corpus is there already; make room for it if it may be replaced.

    Raises
    ------
    InputError
        If the folder holds something else.
    """
    if not out.exists():
        refuse_existing(out, overwrite=False)
        return False
    if (out / RECORD).is_file():
        held = Corpus(out).record
        if all(held.get(key) == json.loads(json.dumps(value)) for key, value in about.items()):
            return True
        refuse_existing(out, overwrite=overwrite)
        shutil.rmtree(out)
        return False
    if not (out / MADE).is_dir() and (not out.is_dir() or any(out.iterdir())):
        msg = f"'{out}' exists already and holds no corpus."
        raise InputError(msg, hint="choose a new or empty folder.")
    return False


def _make(
    plan: CorpusPlan, about: dict[str, Any], folder: Path, *, overwrite: bool, progress: bool
) -> tuple[Part, ...]:
    """Make the parts that are not there yet."""
    config = {key: about[key] for key in ("recipe_sha256", "tasks", "split_sha256", "versions")}
    known = ("sources", "tables", "graphs", "genes")
    inputs: dict[str, Any] = {key: about[key] for key in known if key in about}
    shards = ShardPlan(
        inputs=inputs,
        config=config,
        borders=job_borders(0, len(plan.jobs)),
        seed=plan.recipe.seed,
        ending=".arrow",
    )
    maker = Maker(plan)
    counter = Progress(len(plan.jobs), unit="blocks of cells") if progress else nullcontext()
    with counter as shown:

        def on_job() -> None:
            if shown is not None:
                shown.advance(1)

        try:
            return make_parts(shards, maker.make, folder=folder, overwrite=overwrite, on_job=on_job)
        finally:
            maker.close()


def _refuse_none(plan: CorpusPlan, counts: dict[str, dict[str, int]], lost: dict[str, int]) -> None:
    """Refuse a corpus in which a task has no training example.

    Raises
    ------
    InputError
        If there is one.
    """
    for task in plan.tasks:
        if not counts.get(PARTS[0], {}).get(task.name):
            why = [f"{n:,} had {what.partition(': ')[2]}" for what, n in lost.items()
                   if what.startswith(f"{task.name}:")]  # fmt: skip
            msg = f"No training example is left for task {task.name!r}"
            msg += f": {'; '.join(why)}." if why else "."
            hint = "lower `min_genes`" if task.way in CELL_WAYS else "give it more rows"
            raise InputError(msg, hint=f"{hint}, ask for more examples, or leave the task out.")


def _near_duplicates(out: Path, plan: CorpusPlan) -> dict[str, Any]:
    """Look for training sentences that are nearly those of held-out cells.

    Raises
    ------
    InputError
        If there are some, and that is refused.
    """
    rows: list[str] = []
    parts: dict[str, list[int]] = {}
    recipe = plan.recipe
    of_cells = [task.name for task in plan.tasks if task.way in CELL_WAYS]
    for part in PARTS:
        most = _LOOKED_AT[part != PARTS[0]]
        found = _sentences(out / part, most, of_cells)
        if found:
            parts[part] = list(range(len(rows), len(rows) + len(found)))
            rows += found
    if len(parts) < 2:
        return {}
    split = Split("corpus", recipe.split.by, parts, len(rows))
    leaks = check_leaks(split, sentences=rows, similarity=_ALIKE)
    if leaks.n and recipe.split.leaks == "refuse":
        msg = f"The split by {recipe.split.by} leaks: {'; '.join(str(leaks).splitlines())}."
        hint = "give files that share cells one study and split by study, or say "
        raise InputError(msg, hint=hint + '`leaks = "report"` in [corpus.split].')
    return {
        "looked_at": {part: len(held) for part, held in parts.items()},
        "found": [
            {"one": row["one"], "other": row["other"], "n": int(row["n"])}
            for row in leaks.table.to_dict("records")
        ],
    }


def _sentences(folder: Path, most: int, tasks: list[str]) -> list[str]:
    """Give sentences of cells, as texts of gene numbers, from the first examples of a part."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    found: list[str] = []
    for path in sorted(folder.glob("*.parquet")):
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                if len(found) >= most:
                    return found[:most]
                table = file.read_row_group(group, columns=["task", "genes", "answer_genes"])
                names = table["task"].cast(pa.string())
                found += _long_lists(table.filter(pc.is_in(names, pa.array(tasks, pa.string()))))
    return found[:most]


def _long_lists(table: pa.Table) -> list[str]:
    """Give the longest list of genes of each example, if it can be a cell."""
    genes, answers = Lists(table["genes"]), Lists(table["answer_genes"])
    found = []
    for row in range(len(table)):
        longest = max((*genes[row], *answers[row]), key=len, default=())
        if len(longest) >= _NAMED // 2:
            found.append(" ".join(map(str, longest[:_NAMED])))
    return found


def _write_record(plan: CorpusPlan, out: Path, about: dict[str, Any]) -> None:
    """Write the tasks, the split, and last the record, by which a corpus is finished."""
    (out / TASKS).mkdir(exist_ok=True)
    for task in plan.tasks:
        write_task(task.task, out / TASKS / f"{task.name}.yaml", overwrite=True)
    if plan.recipe.medians is not None:
        with atomic_path(out / GENES, overwrite=True) as temporary:
            shutil.copyfile(plan.recipe.medians, temporary)
    split = {**plan.split.record(), "sha256": plan.split.sha256}
    for name, held in (
        ("split.json", split),
        (RECORD, {**about, "vocabulary": list(plan.vocabulary.names)}),
    ):
        with atomic_path(out / name, overwrite=True) as temporary:
            temporary.write_text(json.dumps(held, ensure_ascii=False) + "\n", "utf-8")
