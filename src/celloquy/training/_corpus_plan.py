"""The plan of a corpus: how many examples of each task, of which cells, in which jobs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from celloquy.errors import InputError
from celloquy.knowledge import read_known_genes
from celloquy.text import Vocabulary
from celloquy.training._corpus_draw import (
    Again,
    BalancedQuota,
    Quota,
    balanced_quota,
    keys_for,
    mix,
    proportional,
    quota,
)
from celloquy.training._corpus_sources import GeneUnion, Ranking
from celloquy.training._corpus_split import CorpusSplit, make_split
from celloquy.training._corpus_survey import (
    group_counts,
    refuse_empty,
    refuse_told_labels,
    shared_cells,
    survey,
)
from celloquy.training._corpus_tables import read_network
from celloquy.training._corpus_tasks import CELL_WAYS, GRAPH_WAYS, ONE_CELL_WAYS, make_task
from celloquy.training._objectives import TRAIN, Ways
from celloquy.training._objectives_groups import possible_groups
from celloquy.training._objectives_tables import TableExamples
from celloquy.training._recipe_corpus import PARTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from celloquy.training._corpus_cells import Cells, CellStore
    from celloquy.training._corpus_draw import Keys
    from celloquy.training._corpus_tables import Network
    from celloquy.training._corpus_tasks import CorpusTask
    from celloquy.training._recipe_corpus import CorpusRecipe

BLOCK = 8_192
"""Cells of one job."""


@dataclass(frozen=True)
class Job:
    """What is made as one: cells of a source, a table, or a network."""

    kind: str
    """``"source"``, ``"table"`` or ``"graph"``."""
    index: int
    """Which one."""
    start: int = 0
    """First cell."""
    stop: int = 1
    """Cell after the last."""


class CorpusPlan:
    """All that is decided before the first example is made.

    Parameters
    ----------
    recipe
        The corpus.
    store
        Where keys and words of the cells are put; it stays open while examples are made.

    Raises
    ------
    InputError
        If a source, the split or a task cannot be used.
    """

    def __init__(self, recipe: CorpusRecipe, store: CellStore) -> None:
        self.recipe = recipe
        self.tasks = self._make_tasks()
        self.genes = None if recipe.medians is None else read_known_genes(recipe.medians)
        self.ranking = Ranking(recipe, self.genes, GeneUnion())
        self.sources = survey(self.ranking, store)
        self.tables = self._read_tables()
        counts, self.n_without_group = group_counts(self.sources, recipe.split.by)
        split = make_split(counts, recipe.split, seed=recipe.seed) if counts else None
        self.split = split or CorpusSplit(
            recipe.split.by, recipe.seed, {}, recipe.split.gene_shares
        )
        self.split = replace(self.split, sizes=self._sizes())
        self.networks = [
            read_network(
                part, by=recipe.split.genes, shares=recipe.split.gene_shares, seed=recipe.seed
            )
            for part in recipe.graph
        ]
        self._check()
        self.vocabulary = Vocabulary(self._gene_names())
        self.ways = Ways.of(recipe, self.vocabulary, self.genes)
        self._plan_draws()

    def _make_tasks(self) -> list[CorpusTask]:
        """Load the tasks.

        Raises
        ------
        InputError
            If one is named twice, or a table is of a task that the recipe does not name.
        """
        tabled = {table.task for table in self.recipe.table}
        tasks = [make_task(part, tabled=tabled) for part in self.recipe.task]
        names = [task.name for task in tasks]
        for i, name in enumerate(names):
            if name in names[:i]:
                msg = f"The recipe names the task {name!r} twice."
                raise InputError(msg, hint="name it once, with the weight of both.")
        for name in sorted(tabled - set(names)):
            msg = f"A [[corpus.table]] is of the task {name!r}, and no [[corpus.task]] names it."
            raise InputError(msg, hint=f'add [[corpus.task]] with name = "{name}".')
        return tasks

    def _read_tables(self) -> list[TableExamples]:
        by_name = {task.name: task for task in self.tasks}
        return [
            TableExamples(part, by_name[part.task], seed=self.recipe.seed)
            for part in self.recipe.table
        ]

    def _sizes(self) -> dict[str, int]:
        counted = np.zeros(len(PARTS), np.int64)
        for cells in (cells for source in self.sources for cells in source.chunks()):
            parts = cells.parts(self.split)
            counted += np.bincount(parts[parts >= 0], minlength=len(PARTS))
        return {name: int(n) for name, n in zip(PARTS, counted, strict=True)}

    def _check(self) -> None:
        """Refuse what would make a corpus useless.

        Raises
        ------
        InputError
            If parts share cells, a prompt holds its answer, or a task has no example.
        """
        shared = shared_cells(self.sources, self.split)
        if shared and self.recipe.split.leaks == "refuse":
            (one, other), n = next(iter(shared.items()))
            msg = f"The split by {self.split.by} leaks: {n:,} cells of one name and study are in "
            msg += f"{PARTS[one]} and in {PARTS[other]}."
            hint = 'split by study; or, if they are other cells, say `leaks = "report"`.'
            raise InputError(msg, hint=hint)
        self.n_shared = {f"{PARTS[a]} and {PARTS[b]}": n for (a, b), n in shared.items()}
        for task in self.tasks:
            if task.part.balance != "none" and task.way not in ONE_CELL_WAYS:
                msg = f"`balance` of task {task.name!r} has no say: it is not about one cell."
                raise InputError(msg, hint="leave `balance` out.")
            if task.way in CELL_WAYS:
                refuse_told_labels(task, self.sources)
                refuse_empty(task, self.sources, self.split)
            if task.way in GRAPH_WAYS and not self.recipe.graph:
                msg = f"No training example is left for task {task.name!r}: there is no "
                msg += "[[corpus.graph]]."
                raise InputError(msg, hint="name a file of edges, or leave the task out.")
            if task.way == "table" and all(t.task != task.name for t in self.recipe.table):
                msg = f"No training example is left for task {task.name!r}: there is no "
                msg += "[[corpus.table]] of it."
                raise InputError(msg, hint="name a file of examples, or leave the task out.")

    def _gene_names(self) -> tuple[str, ...]:
        named = set(self.ranking.union.names)
        for table in self.tables:
            named |= table.gene_names
        for network in self.networks:
            named.update(network.names)
        return tuple(sorted(named))

    def _plan_draws(self) -> None:
        """Decide how many examples of each task each part shall have, and who is drawn."""
        pools = {task.name: self._pool(task) for task in self.tasks}
        weights = [task.part.weight for task in self.tasks]
        shares = np.array(weights) / sum(weights)
        self.possible = {task.name: self._n_possible(task, pools[task.name]) for task in self.tasks}
        self._of_label: dict[tuple[str, int], NDArray[np.float64]] = {}
        fits = [
            self.possible[task.name][TRAIN] / share
            for task, share in zip(self.tasks, shares, strict=True)
        ]
        total = self.recipe.n_train or int(min(fits))
        totals = [total, self.recipe.n_held_out, self.recipe.n_held_out]
        self.wanted = {task.name: [0, 0, 0] for task in self.tasks}
        for part, n in enumerate(totals):
            for task, wanted in zip(self.tasks, proportional(n, weights), strict=True):
                most = self.possible[task.name][part]
                self.wanted[task.name][part] = wanted if part == TRAIN else min(wanted, most)
        self.quotas = {
            task.name: [self._quota(task, part, pools[task.name]) for part in range(len(PARTS))]
            for task in self.tasks
            if task.way != "group"
        }

    def _quota(
        self, task: CorpusTask, part: int, pool: Iterable[tuple[Keys, NDArray[np.int8]]]
    ) -> Quota | BalancedQuota:
        """Find who is drawn for a task in a part."""
        wanted = self.wanted[task.name][part]
        keys = Again(lambda: (mix(keys[parts == part] ^ task.key) for keys, parts in pool))
        if part != TRAIN or task.part.balance == "none":
            return quota(wanted, keys, repeats=part == TRAIN)
        return balanced_quota(wanted, keys, Again(partial(self._weights, task)))

    def _weights(self, task: CorpusTask) -> Iterator[NDArray[np.float64]]:
        """Give the weight of each cell that a task can be trained on, chunk by chunk."""
        for index, source in enumerate(self.sources):
            for cells in source.chunks():
                fits = cells.fits(task) & (cells.parts(self.split) == TRAIN)
                yield self.weights(task, index, cells)[fits]

    def weights(self, task: CorpusTask, index: int, cells: Cells) -> NDArray[np.float64]:
        """Give the weight of cells by how rare their label is in their source.

        Parameters
        ----------
        task
            The task.
        index
            Of which source they are.
        cells
            Some of its cells.
        """
        if (task.name, index) not in self._of_label:
            self._of_label[task.name, index] = self._label_weights(task, index)
        word = cells.words.get(task.label or task.part.label)
        codes = np.zeros(len(cells), np.int32) if word is None else word.codes
        weights: NDArray[np.float64] = self._of_label[task.name, index][codes + 1]
        return weights

    def _label_weights(self, task: CorpusTask, index: int) -> NDArray[np.float64]:
        """Give the weight of each label of a source; that of no label comes first."""
        source, label = self.sources[index], task.label or task.part.label
        _, texts = source.words.get(label, (None, ("",)))
        counts = np.zeros(len(texts) + 1, np.int64)
        for cells in source.chunks():
            fits = cells.fits(task) & (cells.parts(self.split) == TRAIN)
            codes = cells.words[label].codes if label in cells.words else np.zeros(len(cells), int)
            counts += np.bincount(codes[fits] + 1, minlength=len(counts))
        return 1.0 / np.sqrt(np.maximum(counts, 1))

    def rates(self, task: CorpusTask) -> list[float]:
        """Say how often each possible group of a task of several cells is drawn, by part.

        Parameters
        ----------
        task
            The task.
        """
        pairs = zip(self.wanted[task.name], self.possible[task.name], strict=True)
        return [wanted / max(possible, 1) for wanted, possible in pairs]

    def _n_possible(
        self, task: CorpusTask, pool: Iterable[tuple[Keys, NDArray[np.int8]]]
    ) -> list[int]:
        """Count all that a task can be asked about, by part."""
        counts = np.zeros(len(PARTS), np.int64)
        if task.way == "group":
            for source in self.sources:
                counts += possible_groups(task, source.chunks(), self.split)
        else:
            for _, parts in pool:
                counts += np.bincount(parts[parts >= 0], minlength=len(PARTS))
        return [int(n) for n in counts]

    def _pool(self, task: CorpusTask) -> Iterable[tuple[Keys, NDArray[np.int8]]]:
        """Give the keys of all that a task can be asked about, with their parts, -1 for none."""
        if task.way in CELL_WAYS:
            return Again(partial(self._cells_for, task))
        if task.way in GRAPH_WAYS:
            return [self.edges_or_genes(task, network)[:2] for network in self.networks]
        of_task = [
            table
            for table, part in zip(self.tables, self.recipe.table, strict=True)
            if part.task == task.name
        ]
        return [(table.keys, table.parts(self.split, self.recipe.split)) for table in of_task]

    def _cells_for(self, task: CorpusTask) -> Iterator[tuple[Keys, NDArray[np.int8]]]:
        for source in self.sources:
            for cells in source.chunks():
                parts = np.where(cells.fits(task), cells.parts(self.split), -1)
                yield cells.keys, parts.astype(np.int8)

    @staticmethod
    def edges_or_genes(
        task: CorpusTask, network: Network
    ) -> tuple[Keys, NDArray[np.int8], NDArray[np.int64]]:
        """Give what a task of a network is asked about: keys, parts and places.

        Parameters
        ----------
        task, network
            The task, and of which network.
        """
        if task.way == "link":
            n = len(network.edges)
            return network.edge_keys, network.edge_parts, np.arange(n)
        known = np.flatnonzero(network.degrees > 0)
        return keys_for(network.keys, "node")[known], network.gene_parts[known], known

    @cached_property
    def jobs(self) -> tuple[Job, ...]:
        """What is to be made, in order."""
        jobs = []
        if any(task.way in CELL_WAYS for task in self.tasks):
            for index, source in enumerate(self.sources):
                jobs += [
                    Job("source", index, start, min(start + BLOCK, source.n_obs))
                    for start in range(0, source.n_obs, BLOCK)
                ]
        jobs += [Job("table", index) for index in range(len(self.tables))]
        if any(task.way in GRAPH_WAYS for task in self.tasks):
            jobs += [Job("graph", index) for index in range(len(self.networks))]
        return tuple(jobs)

    def follows(self, job: Job) -> Job | None:
        """Give the job after a job; `None` after the last.

        Parameters
        ----------
        job
            A job of the plan.
        """
        return self._following.get(job)

    @cached_property
    def _following(self) -> dict[Job, Job]:
        return dict(pairwise(self.jobs))
