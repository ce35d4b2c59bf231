"""``celloquy tasks``: what can be asked."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from celloquy._runtime import count_of
from celloquy.apps.cli._options import Json, Overwrite

if TYPE_CHECKING:
    from celloquy.tasks import Task

tasks = typer.Typer(
    help="Tasks: list them, show one, check your own file, import those of other projects.",
    no_args_is_help=True,
)


@tasks.command("list")
def list_all(*, as_json: Json = False) -> None:
    """List the tasks: name, kind of answer, and what they ask."""
    from celloquy.tasks import list_tasks, load_task

    found = [load_task(name) for name in list_tasks()]
    if as_json:
        typer.echo(json.dumps([_summary(task) for task in found], indent=2))
        return
    width = max(len(task.name) for task in found)
    for task in found:
        typer.echo(f"{task.name:<{width}}  {task.answer.kind:<5}  {task.summary}")


@tasks.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Name of a task, or a YAML file.")],
    *,
    as_json: Json = False,
) -> None:
    """Show a task: inputs, answer, metrics and every template."""
    from celloquy.tasks import load_task
    from celloquy.tasks._cell2sentence import as_yaml
    from celloquy.tasks._form import content_of

    task = load_task(name)
    if as_json:
        typer.echo(json.dumps({**content_of(task), "sha256": task.sha256}, indent=2))
        return
    typer.echo(f"# sha256 {task.sha256}")
    typer.echo(as_yaml(content_of(task)), nl=False)


@tasks.command("validate")
def validate(
    file: Annotated[Path, typer.Argument(help="Your task's YAML file.")], *, as_json: Json = False
) -> None:
    """Check your own task; a mistake is told with its line and column."""
    from celloquy.tasks import load_task

    task = load_task(file)
    if as_json:
        typer.echo(json.dumps(_summary(task), indent=2))
        return
    inputs = ", ".join(given.name for given in task.asked_for) or "nothing"
    n = len(task.templates)
    typer.echo(f"{file}: fine · {task.name} · {count_of(n, 'templates')} · asks about {inputs}")


@tasks.command("import")
def import_files(
    source: Annotated[Path, typer.Argument(help="Folder of JSON files, or one of them.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder for the tasks and examples.")],
    compat: Annotated[
        bool, typer.Option("--compat", help="Keep Cell2Sentence's templates to the letter.")
    ] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Import your copy of another project's files: Cell2Sentence, CellHermes, ChatCell."""
    from celloquy.tasks import import_tasks

    done = import_tasks(source, out, compat=compat, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in done], indent=2, default=str))
        return
    for one in done:
        what = "templates" if one.form == "cell2sentence" else "examples"
        typer.echo(f"{one.source.name} ({one.form}): {count_of(one.n, what)} → {one.target}")


def _summary(task: Task) -> dict[str, object]:
    return {
        "name": task.name,
        "summary": task.summary,
        "note": task.note,
        "inputs": [given.name for given in task.asked_for],
        "answer": task.answer.kind,
        "parser": task.answer.parser,
        "metrics": list(task.metrics),
        "templates": len(task.templates),
        "sha256": task.sha256,
    }
