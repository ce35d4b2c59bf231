"""Examples of a network: which gene is hidden, and are two genes linked.

Prompts tell of training edges only, so that a held-out edge is never read off another prompt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from celloquy.training._corpus_draw import keys_for, share
from celloquy.training._objectives import Drawn, Examples, Ragged, dumps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from celloquy.training._corpus_tables import Network
    from celloquy.training._corpus_tasks import CorpusTask
    from celloquy.training._recipe_corpus import GraphPart

_STEPS = 3
_TRIES = 50
"""Genes of like degree that are tried for a pair without a link."""


class NetworkExamples:
    """Makes the examples of one network.

    Parameters
    ----------
    network
        The genes and edges.
    part
        What the recipe says of it.
    place
        Place of each gene in the corpus' vocabulary.
    mask
        What stands for a hidden gene.
    """

    def __init__(
        self, network: Network, part: GraphPart, *, place: NDArray[np.int32], mask: int
    ) -> None:
        self._network, self._part, self._place, self._mask = network, part, place, mask
        level = np.floor(np.log2(np.maximum(network.degrees, 1))).astype(np.int64)
        kinds = level * 3 + network.gene_parts
        self._alike = {int(kind): np.flatnonzero(kinds == kind) for kind in np.unique(kinds)}
        self._kinds = kinds

    def nodes(self, task: CorpusTask, drawn: Drawn) -> Examples:
        """Ask for genes by their neighbours within three steps, and the gene before each.

        Notes
        -----
        After CellHermes' masked nodes (bioRxiv 2025.11.07.687322).
        """
        lists: list[list[int]] = []
        kept = []
        for i, (gene, key) in enumerate(zip(drawn.cells, drawn.keys, strict=True)):
            near, through = self._around(int(gene), np.random.default_rng(int(key)))
            if near:
                kept.append(i)
                lists += [near, through]
        drawn = drawn[np.array(kept, dtype=np.int64)]
        answers = pa.array([self._network.names[gene] for gene in drawn.cells], pa.string())
        places = np.arange(len(drawn) + 1) * 2
        return Examples(drawn, self._values(task, len(drawn)), Ragged.of(lists), places, answers)

    def _around(self, gene: int, rng: np.random.Generator) -> tuple[list[int], list[int]]:
        """Walk out of a gene: half of the neighbours are one step away, if there are so many."""
        most = self._part.n_neighbours
        seen, frontier = {gene}, [gene]
        near: list[int] = []
        through: list[int] = []
        for step in range(_STEPS):
            reached = []
            for at in frontier:
                found = [one for one in self._neighbours(at, gene) if one not in seen]
                wanted = (most + 1) // 2 if step == 0 else 1
                for one in rng.permutation(found)[: min(wanted, most - len(near))].tolist():
                    seen.add(one)
                    reached.append(one)
                    near.append(int(self._place[one]))
                    through.append(self._mask if at == gene else int(self._place[at]))
            frontier = reached
        return near, through

    def _neighbours(self, at: int, asked: int) -> list[int]:
        """Give a gene's neighbours that a prompt may tell of.

        The edges of the gene that is asked for are what its question is made of; those to genes
        of other parts than training are left out.
        """
        if at != asked:
            return self._row(self._network.trained, at)
        found = self._row(self._network.whole, at)
        if self._network.gene_parts[asked]:
            return [one for one in found if not self._network.gene_parts[one]]
        return self._row(self._network.trained, at)

    @staticmethod
    def _row(matrix: object, at: int) -> list[int]:
        indptr, indices = matrix.indptr, matrix.indices  # type: ignore[attr-defined]
        found: list[int] = indices[indptr[at] : indptr[at + 1]].tolist()
        return found

    def links(self, task: CorpusTask, drawn: Drawn) -> Examples:
        """Ask whether genes are linked; half of the pairs are, half are of genes of like degree.

        Notes
        -----
        After CellHermes' masked links (bioRxiv 2025.11.07.687322), whose pairs without a link are
        not described.
        """
        with_company = any(given.kind == "genes" for given in task.task.asked_for)
        lists: list[list[int]] = []
        answers, kept = [], []
        yes, no = task.task.answer.labels or ("Yes", "No")
        says_yes = share(keys_for(drawn.keys, "is linked")) < 0.5
        for i, (edge, key) in enumerate(zip(drawn.cells, drawn.keys, strict=True)):
            rng = np.random.default_rng(int(key))
            node, other = self._oriented(int(edge), rng)
            candidate = other if says_yes[i] else self._unlinked(node, other, rng)
            company = self._company(node, {other, candidate}, rng) if with_company else []
            if candidate < 0 or (with_company and not company):
                continue
            kept.append(i)
            answers.append(yes if says_yes[i] else no)
            ends = [[int(self._place[node])], company, [int(self._place[candidate])]]
            lists += ends if with_company else [ends[0], ends[2]]
        drawn = drawn[np.array(kept, dtype=np.int64)]
        places = np.arange(len(drawn) + 1) * (3 if with_company else 2)
        values = self._values(task, len(drawn))
        return Examples(
            drawn, values, Ragged.of(lists), places, answers=pa.array(answers, pa.string())
        )

    def _oriented(self, edge: int, rng: np.random.Generator) -> tuple[int, int]:
        """Choose from which gene an edge is looked at: one that training knows, if there is one."""
        a, b = (int(one) for one in self._network.edges[edge])
        parts = self._network.gene_parts
        if self._network.edge_parts[edge] and bool(parts[a]) != bool(parts[b]):
            return (b, a) if parts[a] else (a, b)
        return (a, b) if rng.random() < 0.5 else (b, a)

    def _company(self, node: int, asked: set[int], rng: np.random.Generator) -> list[int]:
        """Name genes within two steps of a gene, but not those that are asked about."""
        most = self._part.n_neighbours
        first = [one for one in self._row(self._network.trained, node) if one not in asked]
        direct = rng.permutation(first)[: (most + 1) // 2].tolist() if first else []
        seen, second = {node, *first, *asked}, []
        for at in direct:
            found = [one for one in self._row(self._network.trained, at) if one not in seen]
            for one in rng.permutation(found)[:1].tolist() if found else []:
                seen.add(one)
                second.append(one)
        return [int(self._place[one]) for one in (*direct, *second)[:most]]

    def _unlinked(self, node: int, other: int, rng: np.random.Generator) -> int:
        """Find a gene that is not linked, of like degree and of the same part as the other."""
        alike = self._alike[int(self._kinds[other])]
        linked = set(self._row(self._network.whole, node))
        for one in rng.choice(alike, min(_TRIES, len(alike)), replace=False).tolist():
            if one != node and one not in linked:
                return int(one)
        return -1

    def _values(self, task: CorpusTask, n: int) -> pa.Array:
        words = {name: self._part.values[name] for name in task.speaks(self._part.values)}
        return pa.array([dumps(words)] * n, pa.string())
