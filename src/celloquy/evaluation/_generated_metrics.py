"""Generated against real cells: labels of neighbours, clouds, changes between types, copies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from celloquy.evaluation import _distances
from celloquy.evaluation._generated_edit import edit_distances
from celloquy.evaluation._measured import Meaning, mean_of
from celloquy.evaluation._perturbation_metrics import pearson
from celloquy.learn import NearestNeighbours, NeighbourIndex, label_codes

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from celloquy.evaluation._generated_cells import LabelledCells
    from celloquy.learn import CellBlock

    Floats = NDArray[np.float64]
    Vectors = NDArray[np.float32]
    Embed = Callable[[CellBlock], Vectors]

N_NEIGHBOURS = (5, 25)
N_EDITED = 200
"""New cells whose edit distances are counted, at most; each is compared with 500 real cells."""
N_GROMOV = 200
FEWEST_IN_CHANGE = 3
CHATCELL = "ChatCell (Fang et al., 2024)"
MEANINGS = {
    **{
        f"knn_quality_{k}": Meaning(
            f"share of new cells whose {k} nearest real cells have their label",
            f"{CHATCELL}; Cell2Sentence (Levine et al., ICML 2024)",
        )
        for k in N_NEIGHBOURS
    },
    "knn_discriminability": Meaning(
        "share of new cells that have their label by 5 real cells and by 5 other new cells",
        f"{CHATCELL}, where a cell also votes for itself",
    ),
    "real_or_new": Meaning(
        "accuracy of telling new from real cells by the nearest other cell",
        "Lopez-Paz and Oquab, ICLR 2017", best=0.5,
    ),
    **_distances.MEANINGS,
    "change_pearson": Meaning(
        "Pearson correlation of new and real log-fold changes of a type against the other types, "
        "over genes, mean of types",
        "after a comparison of generators on OpenReview (fA0T9ujlQr)", lowest=-1.0,
    ),
    "change_slope": Meaning(
        "size of the new changes for one unit of real change; below 1, types are too alike",
        "least squares through the origin", best=1.0, lowest=-float("inf"), highest=float("inf"),
    ),
    "edit_distance": Meaning(
        "genes to insert, delete or replace to get the nearest real sentence of the label, as a "
        "share of the sentence",
        "Levenshtein, 1966, in genes", best=0.0,
    ),
    "edit_quality_5": Meaning(
        "share of new cells whose 5 nearest real sentences by edit distance have their label",
        f"{CHATCELL}, there in characters",
    ),
    "distinct_cells": Meaning("share of new cells whose sentence no other has", "count"),
    "copied": Meaning(
        "share of new cells whose sentence is that of a training cell", "count", best=0.0
    ),
    "nearer_to_training": Meaning(
        "share of new cells nearer to a training cell than to as many unseen real cells",
        "distance to the closest record, Zhao et al., CTAB-GAN, 2021", best=0.5,
    ),
}  # fmt: skip
"""What each metric says."""


@dataclass(frozen=True, eq=False)
class Judge:
    """What new cells are compared with; made once, asked for each generator."""

    real: LabelledCells
    """Real cells that no generator and no baseline has seen."""
    embed: Embed
    """Gives the vectors of cells."""
    train: LabelledCells | None
    """Cells that a generator was trained on; `None` if they are not known."""
    has_labels: bool
    """Whether cells have labels to compare."""

    def measure(self, new: LabelledCells) -> tuple[dict[str, float], pd.DataFrame]:
        """Compare new with real cells; give metrics, and those of each label.

        Parameters
        ----------
        new
            Cells of one generator.
        """
        vectors, real = self.embed(new.block), self.embed(self.real.block)
        per_label = pd.DataFrame()
        found: dict[str, float] = {}
        if self.has_labels:
            per_label = self._by_label(new, vectors, real)
            weights = per_label["n_new"].to_numpy() / per_label["n_new"].sum()
            for name, mean in mean_of(per_label.drop(columns=["n_new", "n_real"])).items():
                is_share = name.startswith("knn")  # of cells; changes have one number a label
                found[name] = float(per_label[name].to_numpy() @ weights) if is_share else mean
        found |= clouds(vectors, real)
        found |= self._edits(new)
        found["distinct_cells"] = _distinct(new)
        if self.train is not None:
            found |= self._memory(new, vectors, real, self.train)
        return {name: found[name] for name in MEANINGS if name in found}, per_label

    def _by_label(self, new: LabelledCells, vectors: Vectors, real: Vectors) -> pd.DataFrame:
        names, codes = label_codes([*self.real.labels, *new.labels])
        true, wanted = codes[: self.real.n_obs], codes[self.real.n_obs :]
        told = {}
        for k in N_NEIGHBOURS:
            head = NearestNeighbours(n_neighbours=min(k, len(true)))
            head.fit(real, true, n_labels=len(names))
            told[k] = head.probabilities(vectors).argmax(axis=1) == wanted
        own = _by_other_new(vectors, wanted, n_labels=len(names))
        changes = _changes(new, self.real)
        rows = []
        for code, name in enumerate(names):
            mine = wanted == code
            if mine.any():
                rows.append(
                    {f"knn_quality_{k}": float(right[mine].mean()) for k, right in told.items()}
                    | {"knn_discriminability": float((told[N_NEIGHBOURS[0]] & own)[mine].mean())}
                    | dict(zip(("change_pearson", "change_slope"), changes[name], strict=True))
                    | {"n_new": int(mine.sum()), "n_real": int((true == code).sum())}
                )
        labels = [name for code, name in enumerate(names) if (wanted == code).any()]
        return pd.DataFrame(rows, index=pd.Index(labels, name="label"))

    def _edits(self, new: LabelledCells) -> dict[str, float]:
        step = max(1, -(-new.n_obs // N_EDITED))
        some = np.arange(0, new.n_obs, step)
        shares = edit_distances([new.sentences[i] for i in some], self.real.sentences)
        same = new.labels[some][:, None] == self.real.labels[None]
        nearest = np.where(same, shares, np.inf).min(axis=1)
        known = np.isfinite(nearest)
        found = {"edit_distance": float(nearest[known].mean()) if known.any() else float("nan")}
        if self.has_labels:
            _, codes = label_codes([*self.real.labels, *new.labels[some]])
            true, wanted = codes[: self.real.n_obs], codes[self.real.n_obs :]
            near = np.argsort(shares, axis=1, kind="stable")[:, : N_NEIGHBOURS[0]]
            votes = np.zeros((len(some), int(codes.max()) + 1))
            np.add.at(votes, (np.arange(len(some))[:, None], true[near]), 1)
            found["edit_quality_5"] = float((votes.argmax(axis=1) == wanted).mean())
        return found

    def _memory(
        self, new: LabelledCells, vectors: Vectors, real: Vectors, train: LabelledCells
    ) -> dict[str, float]:
        known = {one.tobytes() for one in train.sentences}
        copied = float(np.mean([one.tobytes() in known for one in new.sentences]))
        n = min(len(real), train.n_obs)
        evenly = np.linspace(0, train.n_obs - 1, n).astype(np.int64)
        to_train = _nearest(vectors, self.embed(train.rows(evenly).block))
        to_real = _nearest(vectors, real[np.linspace(0, len(real) - 1, n).astype(np.int64)])
        nearer = (to_train < to_real).mean() + (to_train == to_real).mean() / 2
        return {"copied": copied, "nearer_to_training": float(nearer)}


def clouds(vectors: Vectors, real: Vectors) -> dict[str, float]:
    """Give every distance of two clouds of vectors, and how well they are told apart."""
    some = [side[:: max(1, -(-len(side) // N_GROMOV))] for side in (vectors, real)]
    return {
        "real_or_new": real_or_new(vectors, real),
        "mmd": _distances.mmd(vectors, real),
        "energy_distance": _distances.energy_distance(vectors, real),
        "wasserstein": _distances.wasserstein(vectors, real),
        "gromov_wasserstein": _distances.gromov_wasserstein(some[0], some[1]),
        "frechet": _distances.frechet(vectors, real),
    }


def real_or_new(vectors: Vectors, real: Vectors) -> float:
    """Tell new from real cells by the nearest other cell, as many of each side.

    Examples
    --------
    Two clouds far apart are told apart always; 0.5 would be a guess.

    >>> near = np.array([[0.0], [1.0]], dtype=np.float32)
    >>> real_or_new(near, near + 50)
    1.0
    """
    n = min(len(vectors), len(real))
    sides = [side[np.linspace(0, len(side) - 1, n).astype(np.int64)] for side in (vectors, real)]
    is_new = np.repeat([True, False], n)
    near = NeighbourIndex(np.concatenate(sides)).leave_one_out(k=1).rows[:, 0]
    return float((is_new[near] == is_new).mean())


def _by_other_new(
    vectors: Vectors, wanted: NDArray[np.int64], *, n_labels: int
) -> NDArray[np.bool_]:
    """Say which new cells have their label by other new cells; none of a single cell."""
    k = min(N_NEIGHBOURS[0], len(vectors) - 1)
    if k < 1:
        return np.zeros(len(vectors), dtype=bool)
    head = NearestNeighbours(n_neighbours=k).fit(vectors, wanted, n_labels=n_labels)
    return np.asarray(head.vote(head.index.leave_one_out(k=k)).argmax(axis=1) == wanted)


def _changes(new: LabelledCells, real: LabelledCells) -> dict[str, tuple[float, float]]:
    """Correlate each label's log-fold changes, and give their size; NaN where cells are few."""
    found = {}
    for label in sorted({*new.labels, *real.labels}):
        told, true = (_change(side, label) for side in (new, real))
        if told is None or true is None:
            found[label] = (float("nan"), float("nan"))
        else:
            length = float(true @ true)
            found[label] = (
                pearson(told, true), float(told @ true) / length if length else float("nan")
            )  # fmt: skip
    return found


def _change(cells: LabelledCells, label: str) -> Floats | None:
    """Give the mean log values of a label less those of all others."""
    mine = cells.labels == label
    if min(mine.sum(), (~mine).sum()) < FEWEST_IN_CHANGE:
        return None
    values = cells.block.log_values
    inside, outside = (values[side].mean(axis=0) for side in (mine, ~mine))
    return np.asarray(inside - outside, dtype=np.float64).ravel()


def _distinct(cells: LabelledCells) -> float:
    _, counts = np.unique([one.tobytes() for one in cells.sentences], return_counts=True)
    return float((counts == 1).sum() / cells.n_obs)


def _nearest(vectors: Vectors, others: Vectors) -> Floats:
    return NeighbourIndex(others).search(vectors, k=1).distances[:, 0]
