"""The random order of a corpus: parts sorted by a key of chance, merged, and cut into shards.

Each example has a key that depends on the seed and on names alone; examples by rising key are the
random order. A job's part is sorted by it. Where there are more parts than are read side by side,
those of consecutive jobs are merged into one, again sorted, and removed; so no more than
``FAN_IN`` parts are open at a time, and as many for each time that they are merged lie on the
disk. A shard then takes its span of keys out of every part that is left.
"""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from celloquy._runtime import ShardPlan, ShardResult, run_shards
from celloquy.training._corpus_files import MADE, TOGETHER, part_codes, write_shard
from celloquy.training._recipe_corpus import PARTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from celloquy._runtime import Part, Shard

FAN_IN = 128
"""Parts that are read side by side."""
_AT_ONCE = 50_000
"""Examples that are merged in memory."""


def make_parts(
    plan: ShardPlan,
    make: Callable[[Shard, Path], ShardResult],
    *,
    folder: Path,
    overwrite: bool = False,
    on_job: Callable[[], None] = lambda: None,
) -> tuple[Part, ...]:
    """Make the parts of all jobs that are not there yet, and merge them to at most `FAN_IN`.

    Parameters
    ----------
    plan
        The jobs; each shard is one or consecutive ones, see :func:`job_borders`.
    make
        Makes the job at which a shard starts, and writes its part.
    folder
        Where parts lie.
    overwrite
        Whether what was begun with another plan is removed.
    on_job
        Called after each job.

    Returns
    -------
    The parts that are left, in the order of their jobs.
    """

    def work(shard: Shard, path: Path) -> ShardResult:
        if shard.stop - shard.start == 1:
            result = make(shard, path)
            on_job()
            return result
        inner = ShardPlan(
            inputs={"plan": plan.digest()},
            config={},
            borders=job_borders(shard.start, shard.stop),
            seed=plan.seed,
            ending=plan.ending,
        )
        # What is in the folder of a part that is to be made was begun by this plan, or is stale.
        parts = make_parts(
            inner, make, folder=_folder_of(folder, shard), overwrite=True, on_job=on_job
        )
        merge_parts([part.path for part in parts], path)
        counts, lost = summed(parts)
        return ShardResult(sum(part.rows for part in parts), {"counts": counts, "lost": lost})

    def remove_merged(part: Part) -> None:
        shutil.rmtree(_folder_of(folder, part.shard), ignore_errors=True)

    return run_shards(plan, work, folder=folder, overwrite=overwrite, on_part=remove_merged)


def job_borders(start: int, stop: int) -> tuple[int, ...]:
    """Cut consecutive jobs into at most `FAN_IN` spans, of one job each where that is enough.

    Parameters
    ----------
    start, stop
        The first job, and the one after the last.

    Examples
    --------
    >>> job_borders(0, 3)
    (0, 1, 2, 3)
    >>> job_borders(0, 300)
    (0, 128, 256, 300)
    """
    size = 1
    while size * FAN_IN < stop - start:
        size *= FAN_IN
    return (*range(start, stop, size), stop)


def _folder_of(folder: Path, shard: Shard) -> Path:
    """Say where the parts lie that are merged into one."""
    return folder / f"jobs-{shard.start}-{shard.stop}"


def summed(parts: Iterable[Part]) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
    """Add up what parts hold, and what could not be made.

    Parameters
    ----------
    parts
        Parts of jobs.
    """
    counts: dict[str, Counter[str]] = {part: Counter() for part in PARTS}
    lost: Counter[str] = Counter()
    for one in parts:
        for part, by_task in one.facts["counts"].items():
            counts[part].update(by_task)
        lost.update(one.facts["lost"])
    found = {part: dict(sorted(by_task.items())) for part, by_task in counts.items() if by_task}
    return found, dict(lost)


def merge_parts(paths: Sequence[Path], path: Path) -> None:
    """Write the rows of some parts as one part, sorted like each.

    Parameters
    ----------
    paths
        Files of parts.
    path
        The Arrow file.
    """
    with closing(MadeParts(paths)) as made:
        words = made.words()
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, words.schema) as writer:
            for part in range(len(PARTS)):
                n_spans = -(-made.count(part) // _AT_ONCE)
                for number in range(n_spans):
                    rows = pa.concat_tables([words, made.span(part, number, n_spans)])
                    whole = rows.unify_dictionaries().combine_chunks()
                    writer.write_table(whole, max_chunksize=TOGETHER)


def deal_part(
    made: MadeParts, part: int, folder: Path, *, about: Mapping[str, Any], shard_size: int
) -> None:
    """Write one part of the corpus in its random order.

    Parameters
    ----------
    made
        The examples.
    part
        Place of the part.
    folder
        Where its shards lie.
    about
        What makes the corpus this corpus.
    shard_size
        Examples of a shard, about.
    """
    n = made.count(part)
    if not n:
        return
    n_shards = -(-n // shard_size)
    plan = ShardPlan(
        inputs={"recipe_sha256": about["recipe_sha256"]},
        config={"split_sha256": about["split_sha256"], "n": n},
        borders=tuple(range(n_shards + 1)),
    )
    work = partial(_shard, made=made, part=part, n_shards=n_shards)
    run_shards(plan, work, folder=folder, overwrite=True)


def _shard(shard: Shard, path: Path, *, made: MadeParts, part: int, n_shards: int) -> ShardResult:
    table = made.span(part, shard.number, n_shards).drop_columns(["order"])
    write_shard(table, path)
    return ShardResult(len(table))


class MadeParts:
    """Finished parts, open side by side, out of which spans of keys are read.

    Parts are read, not mapped into memory: of a mapped file, each page that was looked at stays.

    Parameters
    ----------
    paths
        Their files.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        with ExitStack() as stack:
            self._files = [stack.enter_context(closing(_MadePart(path))) for path in paths]
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

    def count(self, part: int) -> int:
        """Count the examples of a part.

        Parameters
        ----------
        part
            Place of the part.
        """
        return sum(file.counts[part] for file in self._files)

    def words(self) -> pa.Table:
        """Give no rows, with the words of all files: a file of batches has one list of words."""
        none = [MADE.empty_table(), *(file.words() for file in self._files)]
        return pa.concat_tables(none).unify_dictionaries()

    def span(self, part: int, number: int, n_spans: int) -> pa.Table:
        """Give the examples of one span of keys, with their keys and in their random order.

        Parameters
        ----------
        part
            Place of the part.
        number, n_spans
            Which of how many spans.
        """
        low = np.uint64(number * 2**64 // n_spans)
        high = np.uint64((number + 1) * 2**64 // n_spans - 1)
        taken = [MADE.empty_table()]
        for file in self._files:
            taken += file.rows(part, low, high)
        whole = pa.concat_tables(taken).unify_dictionaries().combine_chunks()
        del taken
        place = np.argsort(whole["order"].to_numpy(), kind="stable")
        return whole.take(pa.array(place))


class _MadePart:
    """A finished part, open: where the batches of each part of the corpus lie, and their keys."""

    def __init__(self, path: Path) -> None:
        self.counts, self._first, self._lowest = _look_at(path)
        self._file = pa.OSFile(str(path))
        self._reader = pa.ipc.open_file(self._file)

    def close(self) -> None:
        self._file.close()

    def words(self) -> pa.Table:
        if not self._reader.num_record_batches:
            return MADE.empty_table()
        return pa.Table.from_batches([self._reader.get_batch(0).slice(0, 0)])

    def rows(self, part: int, low: np.uint64, high: np.uint64) -> Iterator[pa.Table]:
        """Give the rows of a span of keys, batch by batch."""
        lowest = self._lowest[part]
        # The batch before the first one that begins in the span may reach into it.
        first = max(int(np.searchsorted(lowest, low)) - 1, 0)
        for place in range(first, int(np.searchsorted(lowest, high, side="right"))):
            batch = self._reader.get_batch(self._first[part] + place)
            rows = pa.Table.from_batches([batch])
            orders, is_of = rows["order"].to_numpy(), part_codes(rows) == part
            if orders[is_of].max() >= low:
                yield rows.filter(pa.array((orders >= low) & (orders <= high) & is_of))


def _look_at(path: Path) -> tuple[list[int], list[int], list[NDArray[np.uint64]]]:
    """Give rows, the first batch, and the lowest key of each batch, by part of the corpus."""
    counts, first = [0] * len(PARTS), [0] * len(PARTS)
    lowest: list[list[np.uint64]] = [[] for _ in PARTS]
    columns = [MADE.get_field_index(name) for name in ("order", "part")]
    options = pa.ipc.IpcReadOptions(included_fields=columns)
    with pa.OSFile(str(path)) as file, pa.ipc.open_file(file, options=options) as reader:
        for number in range(reader.num_record_batches):
            rows = pa.Table.from_batches([reader.get_batch(number)])
            orders, parts = rows["order"].to_numpy(), part_codes(rows)
            for part in np.unique(parts):
                own = orders[parts == part]
                if not lowest[part]:
                    first[part] = number
                counts[part] += len(own)
                lowest[part].append(own[0])
    return counts, first, [np.array(keys, np.uint64) for keys in lowest]
