"""The run folder: everything that says how a model came to be, and what it is gone on from."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celloquy._runtime import (
    atomic_path,
    is_full,
    left_over,
    processor,
    refuse_existing,
    remove_left_over,
    sha256_of,
)
from celloquy.errors import InputError
from celloquy.training._recipe_train import changed_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from celloquy.training._recipe_train import TrainRecipe

SCHEMA = 1
PACKAGES = ("celloquy", "torch", "transformers", "peft", "trl", "sentence-transformers", "numpy")
_GIT_SECONDS = 10


@dataclass(frozen=True)
class RunFolder:
    """A run on disk."""

    folder: Path
    """Where it lies."""

    @property
    def record_file(self) -> Path:
        """The record: recipe, data, versions, seed, git revision, and how it ended."""
        return self.folder / "run.json"

    @property
    def log_file(self) -> Path:
        """One line a step, and one an evaluation."""
        return self.folder / "log.jsonl"

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints."""
        return self.folder / "checkpoints"

    @property
    def examples(self) -> Path:
        """Folder of examples as token ids."""
        return self.folder / "examples"

    @property
    def model(self) -> Path:
        """Folder of the finished model or adapter."""
        return self.folder / "model"

    @property
    def has_learned(self) -> bool:
        """Whether a step was done."""
        return self.log_file.is_file() or self.checkpoints.is_dir() or self.model.is_dir()

    def record(self) -> dict[str, Any]:
        """Read the record.

        Raises
        ------
        InputError
            If this is no run folder.
        """
        try:
            found = json.loads(self.record_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            msg = f"'{self.folder}' holds no run: its run.json cannot be read."
            raise InputError(msg, hint="`celloquy train RECIPE --out RUN` makes one.") from error
        if not isinstance(found, dict) or found.get("schema") != SCHEMA:
            msg = f"'{self.record_file}' is not of the form {SCHEMA} that this celloquy reads."
            raise InputError(msg, hint="update celloquy, or train again.")
        return found

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Write the record."""
        with atomic_path(self.record_file, overwrite=True) as temporary:
            temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")

    def log(self, line: Mapping[str, Any]) -> None:
        """Add a line to the log.

        Raises
        ------
        InputError
            If the disk is full.
        OSError
            If the operating system refused for another reason.
        """
        try:
            with self.log_file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            if not is_full(error):
                raise
            msg = f"The disk or quota is full: '{self.log_file}' takes no line more."
            hint = "free some space and start again: the run goes on from its last checkpoint."
            raise InputError(msg, hint=hint) from error

    def lines(self) -> list[dict[str, Any]]:
        """Read the log; a last line that was cut short is left out."""
        if not self.log_file.is_file():
            return []
        found = []
        for line in self.log_file.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                break
        return found

    def rewind(self, step: int) -> None:
        """Leave out of the log what came after a step, because it is done again."""
        kept = [line for line in self.lines() if line["step"] <= step]
        with atomic_path(self.log_file, overwrite=True) as temporary:
            text = "".join(json.dumps(line) + "\n" for line in kept)
            temporary.write_text(text, encoding="utf-8")


def open_run(out: Path, recipe: TrainRecipe, *, overwrite: bool = False) -> RunFolder:
    """Begin a run, or find the one to go on with.

    Parameters
    ----------
    out
        Where it shall lie.
    recipe
        What is done; a run goes on only with the recipe that it began with.
    overwrite
        Whether a run that is there is thrown away.

    Raises
    ------
    InputError
        If the folder holds something else, or the recipe or the examples changed.
    """
    run = RunFolder(out)
    if overwrite and run.record_file.is_file():
        shutil.rmtree(out)
    if run.record_file.is_file():
        try:
            _refuse_changed(run, recipe)
        except InputError:
            if run.has_learned:
                raise
            shutil.rmtree(out)  # it ended before its first step: a mended recipe begins anew
        else:
            for folder in (out, run.checkpoints, run.examples):
                remove_left_over(folder)
            return run
    if out.is_dir() and {*out.iterdir()} - {run.examples, *left_over(out)}:
        refuse_existing(out, overwrite=False)
    if not out.is_dir():
        refuse_existing(out, overwrite=False)
        out.mkdir()
    run.write_record(new_record(recipe))
    remove_left_over(out)
    return run


def new_record(recipe: TrainRecipe) -> dict[str, Any]:
    """Say all that is known of a run before it begins."""
    return {
        "schema": SCHEMA,
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "recipe": recipe.model_dump(mode="json"),
        "data": data_hashes(recipe),
        "versions": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "processor": processor().name,
        "command": " ".join(["celloquy", *sys.argv[1:]]),
        "git": _git_revision(),
        "is_finished": False,
    }


def data_hashes(recipe: TrainRecipe) -> dict[str, str]:
    """SHA-256 of every file of examples."""
    return {str(path): sha256_of(path) for path in sorted(_files(recipe))}


def _files(recipe: TrainRecipe) -> Iterable[Path]:
    """List the files of examples.

    Raises
    ------
    InputError
        If one is missing.
    """
    data = recipe.data
    genes = recipe.model.add_genes
    files = [Path(one) for one in (*data.train, *data.valid, *([genes] if genes else []))]
    if data.corpus is not None:
        files += [path for path in Path(data.corpus).rglob("*") if path.is_file()]
    for path in files:
        if not path.is_file():
            msg = f"There is no file of examples '{path}'."
            raise InputError(msg, hint="name it in `[data] train` or `valid`, from the recipe on.")
    return files


def _refuse_changed(run: RunFolder, recipe: TrainRecipe) -> None:
    """Refuse to go on with another recipe or other examples.

    Raises
    ------
    InputError
        If something changed that decides what is learned.
    """
    record = run.record()
    changed = changed_keys(record["recipe"], recipe.model_dump(mode="json"))
    if changed:
        msg = f"The run in '{run.folder}' began with another recipe: {'; '.join(changed)}."
        hint = "write that back, choose another `--out`, or begin anew with `--overwrite`."
        raise InputError(msg, hint=hint)
    now = data_hashes(recipe)
    other = [path for path in {*now, *record["data"]} if now.get(path) != record["data"].get(path)]
    if other:
        msg = f"The examples of the run in '{run.folder}' changed: '{min(other)}'."
        raise InputError(msg, hint="choose another `--out`, or begin anew with `--overwrite`.")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _git_revision() -> str:
    """Give the git revision of the folder that the command runs in; empty outside of git."""
    git = shutil.which("git")
    if git is None:
        return ""
    try:
        found = subprocess.run(
            [git, "describe", "--always", "--dirty", "--abbrev=40"],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip()
