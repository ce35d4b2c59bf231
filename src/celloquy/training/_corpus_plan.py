"""The plan of a corpus: how many examples of each task, of which cells, in which jobs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy.errors import InputError
from celloquy.knowledge import read_known_genes
from celloquy.text import Vocabulary
from celloquy.training._corpus_draw import (
    BalancedQuota,
    Quota,
    balanced_quota,
    keys_for,
    mix,
    proportional,
    quota,
)
from celloquy.training._corpus_sources import Ranking
from celloquy.training._corpus_split import CorpusSplit, make_split
from celloquy.training._corpus_survey import (
    group_counts,
    parts_of,
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
    from collections.abc import Sequence

    from numpy.typing import NDArray

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

    Raises
    ------
    InputError
        If a source, the split or a task cannot be used.
    """

    def __init__(self, recipe: CorpusRecipe) -> None:
        self.recipe = recipe
        self.tasks = self._make_tasks()
        self.genes = None if recipe.medians is None else read_known_genes(recipe.medians)
        self.ranking = Ranking(recipe, self.genes)
        self.sources = survey(self.ranking)
        self.tables = self._read_tables()
        counts, self.n_without_group = group_counts(self.sources, recipe.split.by)
        split = make_split(counts, recipe.split, seed=recipe.seed) if counts else None
        self.split = split or CorpusSplit(
            recipe.split.by, recipe.seed, {}, recipe.split.gene_shares
        )
        self.parts = [parts_of(source, self.split) for source in self.sources]
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
        counted = sum(
            (np.bincount(part[part >= 0], minlength=len(PARTS)) for part in self.parts),
            np.zeros(len(PARTS), np.int64),
        )
        return {name: int(n) for name, n in zip(PARTS, counted, strict=True)}

    def _check(self) -> None:
        """Refuse what would make a corpus useless.

        Raises
        ------
        InputError
            If parts share cells, a prompt holds its answer, or a task has no example.
        """
        shared = shared_cells(self.sources, self.parts)
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
                refuse_empty(task, self.sources, self.parts)
            if task.way in GRAPH_WAYS and not self.recipe.graph:
                msg = f"No training example is left for task {task.name!r}: there is no "
                msg += "[[corpus.graph]]."
                raise InputError(msg, hint="name a file of edges, or leave the task out.")
            if task.way == "table" and all(t.task != task.name for t in self.recipe.table):
                msg = f"No training example is left for task {task.name!r}: there is no "
                msg += "[[corpus.table]] of it."
                raise InputError(msg, hint="name a file of examples, or leave the task out.")

    def _gene_names(self) -> tuple[str, ...]:
        named: set[str] = set()
        for source in self.sources:
            named.update(source.names)
        for table in self.tables:
            named |= table.gene_names
        for network in self.networks:
            named.update(network.names)
        return tuple(sorted(named))

    def _plan_draws(self) -> None:
        """Decide how many examples of each task each part shall have, and who is drawn."""
        pools = {task.name: self._pools(task) for task in self.tasks}
        weights = [task.part.weight for task in self.tasks]
        shares = np.array(weights) / sum(weights)
        self.possible = {
            name: [self._n_possible(pool, part) for part in range(len(PARTS))]
            for name, pool in pools.items()
        }
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
        self, task: CorpusTask, part: int, pools: Sequence[Sequence[Any]]
    ) -> Quota | BalancedQuota:
        """Find who is drawn for a task in a part."""
        wanted = self.wanted[task.name][part]
        keys = [mix(pool[part] ^ task.key) for pool in pools]
        if part != TRAIN or task.part.balance == "none":
            return quota(wanted, [one for one in keys if len(one)], repeats=part == TRAIN)
        weights = [
            self.weights(task, i)[source.fits(task) & (self.parts[i] == TRAIN)]
            for i, source in enumerate(self.sources)
        ]
        return balanced_quota(wanted, keys, weights)

    def weights(self, task: CorpusTask, index: int) -> NDArray[np.float64]:
        """Give the weight of each cell of a source by how rare its label is there.

        Parameters
        ----------
        task
            The task.
        index
            Which source.
        """
        source = self.sources[index]
        fits = source.fits(task) & (self.parts[index] == TRAIN)
        word = source.words.get(task.label or task.part.label)
        codes = np.zeros(len(fits), np.int32) if word is None else word.codes
        counts = np.bincount(codes[fits] + 1, minlength=int(codes.max(initial=0)) + 2)
        weights: NDArray[np.float64] = 1.0 / np.sqrt(np.maximum(counts, 1))[codes + 1]
        return weights

    def rates(self, task: CorpusTask) -> list[float]:
        """Say how often each possible group of a task of several cells is drawn, by part.

        Parameters
        ----------
        task
            The task.
        """
        pairs = zip(self.wanted[task.name], self.possible[task.name], strict=True)
        return [wanted / max(possible, 1) for wanted, possible in pairs]

    def _n_possible(self, pools: Sequence[Sequence[Any]], part: int) -> int:
        return sum(pool[part] if isinstance(pool[part], int) else len(pool[part]) for pool in pools)

    def _pools(self, task: CorpusTask) -> list[list[Any]]:
        """Give the keys of all that a task can be asked about, by source and part."""
        if task.way == "group":
            counted = [
                possible_groups(task, part, source.words, source.fits(task) & (part >= 0))
                for source, part in zip(self.sources, self.parts, strict=True)
            ]
            return [[int(n) for n in one] for one in counted]
        if task.way in CELL_WAYS:
            pairs = [
                (source.keys[fits], part[fits])
                for source, part in zip(self.sources, self.parts, strict=True)
                for fits in [source.fits(task)]
            ]
        elif task.way in GRAPH_WAYS:
            pairs = [
                (keys, part) for keys, part, _ in map(self.edges_or_genes, *self._graph_of(task))
            ]
        else:
            tables = [
                t
                for t, p in zip(self.tables, self.recipe.table, strict=True)
                if p.task == task.name
            ]
            pairs = [(table.keys, table.parts(self.split, self.recipe.split)) for table in tables]
        return [[keys[part == i] for i in range(len(PARTS))] for keys, part in pairs]

    def _graph_of(self, task: CorpusTask) -> tuple[list[CorpusTask], list[Network]]:
        return [task] * len(self.networks), list(self.networks)

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
                n = len(source.keys)
                jobs += [
                    Job("source", index, start, min(start + BLOCK, n))
                    for start in range(0, n, BLOCK)
                ]
        jobs += [Job("table", index) for index in range(len(self.tables))]
        if any(task.way in GRAPH_WAYS for task in self.tasks):
            jobs += [Job("graph", index) for index in range(len(self.networks))]
        return tuple(jobs)
