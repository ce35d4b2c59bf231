"""Long jobs as shards: a plan, parts that are whole or absent, and a way to go on.

A folder holds ``plan.json``, and for every shard a part (``part-00012.parquet``) with its
sidecar (``part-00012.json``: rows, bytes, SHA-256, versions). A part is written under a
temporary name and renamed, then its sidecar likewise: a shard is done when its sidecar fits
the plan and the part. There is no other state but a lock on the plan of a run that is under
way. A killed run is started again and does what is missing; two runners of one shard write the
same bytes, and the last rename stays. A plan of which no shard is done, and that nobody is at
work on, is in nobody's way: another one takes its place.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from celloquy._runtime._files import atomic_path, remove_left_over, sha256_of
from celloquy._runtime._seeds import rng_for
from celloquy.errors import InputError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np

SCHEMA = 1
"""Version of ``plan.json`` and of the sidecars."""
PLAN = "plan.json"


@dataclass(frozen=True)
class Shard:
    """Consecutive rows of the input, done as one."""

    number: int
    """Place in the plan, from 0."""
    start: int
    """First row."""
    stop: int
    """Row after the last."""
    seed: int
    """Seed of the whole plan."""

    def rng(self) -> np.random.Generator:
        """Make the shard's own randomness, whoever runs it and when."""
        return rng_for(self.seed, "shard", self.number)


@dataclass(frozen=True)
class ShardResult:
    """What the work on one shard tells beside the part that it wrote."""

    rows: int
    """Rows of the part."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Numbers and words to be kept in the sidecar, as JSON."""


@dataclass(frozen=True)
class Part:
    """A finished part."""

    shard: Shard
    path: Path
    rows: int
    sha256: str
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class ShardPlan:
    """What a job reads, how, and in which shards.

    Parts depend on the plan alone: not on the executor, the workers or the order.
    """

    inputs: Mapping[str, Any]
    """What makes the input this input (`CellStream.fingerprint()`), as JSON."""
    config: Mapping[str, Any]
    """Every option that changes what is written, as JSON."""
    borders: tuple[int, ...]
    """First row of every shard, and the number of rows at the end."""
    seed: int = 0
    """Seed of the shards' generators."""
    ending: str = ".parquet"
    """Ending of the parts."""

    @classmethod
    def cut(
        cls,
        n_rows: int,
        *,
        shard_size: int,
        inputs: Mapping[str, Any],
        config: Mapping[str, Any],
        seed: int = 0,
        ending: str = ".parquet",
    ) -> ShardPlan:
        """Cut rows into shards of `shard_size`, the last one smaller.

        Raises
        ------
        InputError
            If `shard_size` is below 1.

        Examples
        --------
        >>> plan = ShardPlan.cut(5, shard_size=2, inputs={}, config={})
        >>> [(shard.start, shard.stop) for shard in plan.shards]
        [(0, 2), (2, 4), (4, 5)]
        """
        if shard_size < 1:
            msg = f"`shard_size` must be at least 1, got {shard_size}."
            raise InputError(msg, hint="5,000 to 50,000 cells a shard go well.")
        borders = (*range(0, n_rows, shard_size), n_rows)
        return cls(inputs=inputs, config=config, borders=borders, seed=seed, ending=ending)

    @property
    def shards(self) -> tuple[Shard, ...]:
        """The shards in order."""
        spans = enumerate(pairwise(self.borders))
        return tuple(Shard(number, *span, seed=self.seed) for number, span in spans)

    def record(self) -> dict[str, Any]:
        """Give the plan as JSON has it."""
        held = {
            "schema": SCHEMA,
            "inputs": dict(self.inputs),
            "config": dict(self.config),
            "borders": list(self.borders),
            "seed": self.seed,
            "ending": self.ending,
        }
        as_read: dict[str, Any] = json.loads(json.dumps(held))
        return as_read

    def digest(self) -> str:
        """Hash the plan; sidecars carry it."""
        return hashlib.sha256(json.dumps(self.record(), sort_keys=True).encode()).hexdigest()

    def part_path(self, folder: Path, shard: Shard) -> Path:
        """Say where a shard's part lies."""
        return folder / f"part-{shard.number:05d}{self.ending}"


def run_shards(
    plan: ShardPlan,
    work: Callable[[Shard, Path], ShardResult],
    *,
    folder: str | os.PathLike[str],
    executor: Literal["serial", "process"] = "serial",
    workers: int = 2,
    select: tuple[int, int] | None = None,
    overwrite: bool = False,
    on_part: Callable[[Part], None] | None = None,
) -> tuple[Part, ...]:
    """Do every shard that is not done yet, and give the finished parts in order.

    Parameters
    ----------
    plan
        What is to be done. A folder where parts of another plan are done, or that another
        process works on, is refused.
    work
        Reads a shard's rows and writes its part to the given temporary path; called once a
        shard. For processes it must be a function of a module, or a `partial` of one.
    folder
        Where plan, parts and sidecars lie; made if it is missing (its parent must exist).
    executor
        ``"serial"``, or ``"process"`` for worker processes.
    workers
        Number of worker processes.
    select
        ``(i, n)``: only every n-th shard, from the i-th (0-based), for job arrays.
    overwrite
        Whether a folder begun with another plan is emptied first.
    on_part
        Called in this process with each part that was finished now.

    Returns
    -------
    The finished parts of the selected shards, in order, those of earlier runs included.

    Raises
    ------
    InputError
        If the folder holds another run, or `select` or `executor` is not valid.
    """
    folder = Path(folder)
    chosen = _selected(plan.shards, select)
    _begin(plan, folder, overwrite=overwrite)
    with _at_work(plan, folder):
        if select is None:
            remove_left_over(folder)
        done = {part.shard.number: part for part in _finished(plan, folder, chosen)}
        todo = [shard for shard in chosen if shard.number not in done]
        call = partial(_do, plan=plan, work=work, folder=folder)
        for part in _execute(call, todo, executor=executor, workers=workers):
            done[part.shard.number] = part
            if on_part is not None:
                on_part(part)
    return tuple(done[shard.number] for shard in chosen)


def finished_parts(plan: ShardPlan, folder: str | os.PathLike[str]) -> tuple[Part, ...]:
    """Give all parts of a finished job in order, each checked against its sidecar.

    Raises
    ------
    InputError
        If the folder holds another run, or parts are missing or changed.
    """
    folder = Path(folder)
    if not (folder / PLAN).is_file():
        msg = f"The folder '{folder}' holds no {PLAN}, so no run was begun there."
        raise InputError(msg, hint="check the name of the folder.")
    _refuse_other(plan, folder)
    parts = tuple(_finished(plan, folder, plan.shards))
    if len(parts) < len(plan.shards):
        held = {part.shard.number for part in parts}
        first = next(shard for shard in plan.shards if shard.number not in held)
        missing = len(plan.shards) - len(parts)
        msg = (
            f"{missing} of {len(plan.shards)} parts in '{folder}' are missing or changed; the "
            f"first is {plan.part_path(folder, first).name}."
        )
        raise InputError(msg, hint="run the same command again; it does what is missing.")
    return parts


def _selected(shards: Sequence[Shard], select: tuple[int, int] | None) -> Sequence[Shard]:
    if select is None:
        return shards
    i, n = select
    if not 0 <= i < n:
        msg = f"`select=({i}, {n})` names no part of the shards: 0 <= i < n is needed."
        raise InputError(msg, hint="number the tasks of a job array from 0 to n - 1.")
    return shards[i::n]


def _execute(
    call: Callable[[Shard], Part], todo: Sequence[Shard], *, executor: str, workers: int
) -> Iterator[Part]:
    if executor == "serial":
        return map(call, todo)
    if executor == "process":
        if workers < 1:
            msg = f"`workers` must be at least 1, got {workers}."
            raise InputError(msg, hint="leave it out for two.")
        from celloquy._runtime._executors import in_processes  # slow to import

        return in_processes(call, todo, workers=workers)
    msg = f"There is no executor {executor!r}."
    raise InputError(msg, hint="choose one of: serial, process.")


def _begin(plan: ShardPlan, folder: Path, *, overwrite: bool) -> None:
    """Make the folder and its plan, or see that the plan there is the same.

    Raises
    ------
    InputError
        If parts of another run are there and `overwrite` is false, or the folder holds
        something else, or is a file.
    """
    if not folder.parent.is_dir():
        msg = f"The folder '{folder.parent}' does not exist."
        raise InputError(msg, hint=f"make it first: mkdir -p '{folder.parent}'")
    if folder.exists() and not folder.is_dir():
        msg = f"'{folder}' exists already and is a file; parts are written into a folder."
        raise InputError(msg, hint="choose another name.")
    if folder.exists() and not (folder / PLAN).is_file():
        strange = [path.name for path in folder.iterdir() if not path.name.endswith(".tmp.json")]
        if strange:
            msg = f"The folder '{folder}' holds '{sorted(strange)[0]}' but no {PLAN} of a run."
            raise InputError(msg, hint="choose a new or empty folder.")
    elif folder.exists():
        if _written_plan(folder) == plan.record():
            return
        if not overwrite and not _is_free(folder):
            _refuse_other(plan, folder)
        for path in folder.glob("part-*"):
            path.unlink()
    folder.mkdir(exist_ok=True)
    _write_json(folder / PLAN, plan.record())


def _is_free(folder: Path) -> bool:
    """Say whether no shard of a folder's plan is done, of runs within the folder neither."""
    with (folder / PLAN).open("rb") as file:
        return not any(folder.rglob("part-*.json")) and _lock(file, alone=True)


@contextmanager
def _at_work(plan: ShardPlan, folder: Path) -> Iterator[None]:
    """Keep other plans from taking the folder until this process is done, or gone.

    Raises
    ------
    InputError
        If another plan was faster.
    """
    with (folder / PLAN).open("rb") as file:
        _lock(file, alone=False)
        _refuse_other(plan, folder)
        yield


def _lock(file: BinaryIO, *, alone: bool) -> bool:
    """Lock an open file as long as it is open; say whether that worked.

    Parameters
    ----------
    file
        The file.
    alone
        Whether no other process may have a lock on it.
    """
    if sys.platform == "win32":
        return False
    import fcntl

    with suppress(OSError):  # taken, or a file system without locks
        fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        return True
    return False


def _refuse_other(plan: ShardPlan, folder: Path) -> None:
    held, wanted = _written_plan(folder), plan.record()
    if held == wanted:
        return
    # a setting is told by its own name, and once where the plan holds it twice, as the seed
    told = (one.replace("`config.", "`", 1) for one in _differences(held, wanted))
    differing = list(dict.fromkeys(told))
    shown = "; ".join(differing[:3]) + ("; …" if len(differing) > 3 else "")
    msg = f"The folder '{folder}' holds the parts of another run: {shown}."
    hint = "ask as before to go on with it, choose another name, or pass `overwrite=True` "
    raise InputError(msg, hint=f"{hint}(`--overwrite`) to begin anew.")


def _differences(held: object, wanted: object, place: str = "") -> Iterator[str]:
    if isinstance(held, dict) and isinstance(wanted, dict):
        for key in [*held, *(key for key in wanted if key not in held)]:
            inner = f"{place}.{key}" if place else str(key)
            yield from _differences(held.get(key), wanted.get(key), inner)
    elif held != wanted:
        yield f"`{place}` was {_short(held)} and is {_short(wanted)}"


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "…"


def _written_plan(folder: Path) -> dict[str, Any]:
    try:
        held = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    except ValueError as error:
        msg = f"'{folder / PLAN}' is damaged: {error}"
        raise InputError(msg, hint="delete the folder and start again.") from error
    return held if isinstance(held, dict) else {}


def _write_json(path: Path, held: Mapping[str, Any]) -> None:
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")


def _sidecar(part: Path) -> Path:
    return part.with_suffix(".json") if part.suffix != ".json" else part.with_suffix(".side.json")


def _do(
    shard: Shard,
    *,
    plan: ShardPlan,
    work: Callable[[Shard, Path], ShardResult],
    folder: Path,
) -> Part:
    """Write one part and its sidecar; runs in any process."""
    from importlib.metadata import version  # slow to import

    path = plan.part_path(folder, shard)
    with atomic_path(path, overwrite=True) as temporary:
        result = work(shard, temporary)
        sha256, size = sha256_of(temporary), temporary.stat().st_size
    held = {
        "schema": SCHEMA,
        "plan": plan.digest(),
        "rows": result.rows,
        "bytes": size,
        "sha256": sha256,
        "facts": dict(result.facts),
        "versions": {"celloquy": version("celloquy"), "python": platform.python_version()},
    }
    _write_json(_sidecar(path), held)
    return Part(shard, path, result.rows, sha256, dict(result.facts))


def _finished(plan: ShardPlan, folder: Path, shards: Sequence[Shard]) -> Iterator[Part]:
    """Give the parts that are there, whole and of this plan."""
    digest = plan.digest()
    for shard in shards:
        path = plan.part_path(folder, shard)
        try:
            held = json.loads(_sidecar(path).read_text(encoding="utf-8"))
            is_done = (
                held["plan"] == digest
                and path.stat().st_size == held["bytes"]
                and sha256_of(path) == held["sha256"]
            )
        except (OSError, ValueError, KeyError, TypeError):  # absent or not whole: not done
            continue
        if is_done:
            yield Part(shard, path, held["rows"], held["sha256"], held["facts"])
