"""The making of examples, job by job: each is drawn by keys, so the order of jobs is all one."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from celloquy._runtime import ShardResult
from celloquy.training._corpus_draw import BalancedQuota, mix
from celloquy.training._corpus_files import rows_of, write_part
from celloquy.training._corpus_sources import open_cells
from celloquy.training._corpus_tasks import CELL_WAYS, GRAPH_WAYS
from celloquy.training._objectives import Block, Drawn, Examples, Ragged, texts_of
from celloquy.training._objectives_cells import (
    continue_cells,
    hide_genes,
    name_cells,
    pair_cells,
    write_cells,
)
from celloquy.training._objectives_graph import NetworkExamples
from celloquy.training._objectives_groups import group_cells

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from celloquy._runtime import Shard
    from celloquy.training._corpus_cells import Cells
    from celloquy.training._corpus_draw import Keys
    from celloquy.training._corpus_plan import CorpusPlan, Job
    from celloquy.training._corpus_sources import CellFile
    from celloquy.training._corpus_tasks import CorpusTask

_OF_ONE_CELL = {
    "name": name_cells,
    "write": write_cells,
    "hidden": hide_genes,
    "next": continue_cells,
    "pair": pair_cells,
}


class Maker:
    """Makes the jobs of a plan; one source is open at a time.

    Another thread, the only one that reads, ranks the next cells while examples of these are made.

    Parameters
    ----------
    plan
        What is to be made.
    """

    def __init__(self, plan: CorpusPlan) -> None:
        self.plan = plan
        self._open: tuple[int, CellFile] | None = None
        self._reader = ThreadPoolExecutor(1)
        self._next: tuple[Job, Future[Ragged]] | None = None

    def make(self, shard: Shard, path: Path) -> ShardResult:
        """Make the job at which a shard starts, and write its part.

        Parameters
        ----------
        shard
            Jobs of the plan.
        path
            The file of the part.
        """
        job = self.plan.jobs[shard.start]
        lost: Counter[str] = Counter()
        ways = {"source": self._cells, "table": self._table, "graph": self._graph}
        tables = ways[job.kind](job, lost)
        counts = write_part(tables, path)
        n = sum(sum(by_task.values()) for by_task in counts.values())
        return ShardResult(n, {"counts": counts, "lost": dict(lost)})

    def close(self) -> None:
        """Close the source that is open."""
        self._reader.shutdown(wait=True, cancel_futures=True)
        self._close_source()

    def _close_source(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def _ranked(self, job: Job) -> Ragged:
        """Rank the cells of a job, and begin with those of the next one."""
        if self._next is None or self._next[0] != job:
            self._next = (job, self._reader.submit(self._rank, job))
        cells = self._next[1].result()
        self._next = None
        then = self.plan.follows(job)
        if then is not None and then.kind == "source":
            self._next = (then, self._reader.submit(self._rank, then))
        return cells

    def _rank(self, job: Job) -> Ragged:
        plan = self.plan
        if self._open is None or self._open[0] != job.index:
            self._close_source()
            source = plan.sources[job.index]
            self._open = (
                job.index,
                open_cells(source.part, ranking=plan.ranking, known=source.choice),
            )
        cells = self._open[1]
        depth = plan.ways.depth
        return Ragged(*cells.ranked(job.start, job.stop, plan.vocabulary, n_top_genes=depth))

    def _cells(self, job: Job, lost: Counter[str]) -> list[pa.Table]:
        source = self.plan.sources[job.index]
        cells = source.cells(job.start, job.stop)
        block = self._block(job, cells)
        made = []
        for task in self.plan.tasks:
            if task.way not in CELL_WAYS:
                continue
            fits = cells.fits(task) & (block.parts >= 0)
            if not fits.any():
                continue
            if task.way == "group":
                examples = group_cells(
                    task, block, fits, self.plan.ways, rates=self.plan.rates(task)
                )
            else:
                weights = None
                if task.part.balance != "none":
                    weights = self.plan.weights(task, job.index, cells)
                times = self._times(task, block.keys, block.parts, fits, weights=weights)
                drawn = Drawn.of(block, times, task)
                examples = _OF_ONE_CELL[task.way](task, block, drawn, self.plan.ways)
                _count(lost, f"{task.name}: no control in the same block", len(drawn), examples)
            made.append(self._rows(task, cells, block, examples, lost=lost))
        return made

    def _block(self, job: Job, cells: Cells) -> Block:
        source = self.plan.sources[job.index]
        return Block(
            self._ranked(job),
            cells.keys,
            cells.parts(self.plan.split),
            cells.words,
            job.start,
            source.part.control,
            source.part.match,
            source.labels,
        )

    def _times(
        self,
        task: CorpusTask,
        keys: Keys,
        parts: NDArray[np.int8],
        fits: NDArray[np.bool_],
        *,
        weights: NDArray[np.float64] | None = None,
    ) -> NDArray[np.int64]:
        """Say how often each cell, row, gene or edge is drawn."""
        mixed = mix(keys ^ task.key)
        times = np.zeros(len(keys), dtype=np.int64)
        for part, quota in enumerate(self.plan.quotas[task.name]):
            here = fits & (parts == part)
            if isinstance(quota, BalancedQuota):
                times[here] = quota.draws(
                    mixed[here], (np.ones(0) if weights is None else weights)[here]
                )
            else:
                times[here] = quota.draws(mixed[here])
        return times

    def _rows(
        self,
        task: CorpusTask,
        cells: Cells,
        block: Block,
        examples: Examples,
        *,
        lost: Counter[str],
    ) -> pa.Table:
        drawn = examples.drawn
        groups = cells.groups(self.plan.split.by)
        table = rows_of(
            task,
            examples,
            templates=self.plan.ways.templates(task, drawn),
            source=Path(cells.part.path).name,
            rows=drawn.cells + block.start,
            groups=None if groups is None else texts_of(groups[drawn.cells]),
        )
        if examples.n_genes is None:
            return table
        enough = examples.n_genes >= self.plan.recipe.min_genes
        if not enough.all():
            lost[f"{task.name}: fewer than {self.plan.recipe.min_genes} genes"] += int(
                (~enough).sum()
            )
        return table.filter(pa.array(enough))

    def _table(self, job: Job, lost: Counter[str]) -> list[pa.Table]:
        plan, made = self.plan, self.plan.tables[job.index]
        part = plan.recipe.table[job.index]
        task = next(task for task in plan.tasks if task.name == part.task)
        parts = made.parts(plan.split, plan.recipe.split)
        drawn = self._drawn(task, made.keys, parts, np.arange(len(made)))
        if made.n_incomplete:
            lost[f"{task.name}: a column is empty"] += made.n_incomplete
        examples = made.examples(drawn, plan.vocabulary.positions)
        return [self._plain(task, examples, part.path, made.rows[drawn.cells])]

    def _graph(self, job: Job, lost: Counter[str]) -> list[pa.Table]:
        plan, network = self.plan, self.plan.networks[job.index]
        part = plan.recipe.graph[job.index]
        place = plan.vocabulary.find(network.names)
        maker = NetworkExamples(network, part, place=place, mask=len(plan.vocabulary))
        made = []
        for task in plan.tasks:
            if task.way not in GRAPH_WAYS:
                continue
            keys, parts, places = plan.edges_or_genes(task, network)
            drawn = self._drawn(task, keys, parts, places)
            examples = (maker.links if task.way == "link" else maker.nodes)(task, drawn)
            _count(
                lost, f"{task.name}: no neighbours, or no gene of like degree", len(drawn), examples
            )
            made.append(self._plain(task, examples, part.path, examples.drawn.cells))
        return made

    def _drawn(
        self, task: CorpusTask, keys: Keys, parts: NDArray[np.int8], places: NDArray[np.int64]
    ) -> Drawn:
        """Draw rows, genes or edges."""
        nothing = Ragged(np.empty(0, np.int32), np.zeros(1, np.int64))
        block = Block(nothing, keys, parts, {}, 0, {}, (), {})
        drawn = Drawn.of(block, self._times(task, keys, parts, parts >= 0), task)
        return Drawn(places[drawn.cells], drawn.keys, drawn.parts)

    def _plain(
        self, task: CorpusTask, examples: Examples, path: str, rows: NDArray[np.int64]
    ) -> pa.Table:
        return rows_of(
            task,
            examples,
            templates=self.plan.ways.templates(task, examples.drawn),
            source=path.rpartition("/")[2],
            rows=rows,
            groups=None,
        )


def _count(lost: Counter[str], why: str, n: int, examples: Examples) -> None:
    """Count examples that could not be made."""
    if len(examples.drawn) < n:
        lost[why] += n - len(examples.drawn)
