"""Who lies around a cell: the labels of its nearest neighbours, as words and as counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from celloquy._runtime import closest
from celloquy.errors import InputError
from celloquy.text._fields import field_text, require_columns

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray


@dataclass(frozen=True)
class SpatialOptions:
    """Which cells are neighbours.

    Raises
    ------
    InputError
        If `n_neighbours` is below 1 or `radius` is not above 0.
    """

    n_neighbours: int = 5
    """The most neighbours of a cell."""
    radius: float | None = None
    """Neighbours lie within this distance, in the unit of the coordinates."""
    spatial_key: str = "spatial"
    """Array of obsm that holds the coordinates."""
    section_key: str | None = None
    """Column of obs that tells sections apart: a neighbour lies in the same section."""

    def __post_init__(self) -> None:
        if self.n_neighbours < 1:
            msg = f"`n_neighbours` must be at least 1, got {self.n_neighbours}."
            raise InputError(msg, hint="5 is common for tissue sections.")
        if self.radius is not None and not self.radius > 0:
            msg = f"`radius` must be above 0, got {self.radius}."
            raise InputError(msg, hint="pass `radius=None` for no limit.")


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Neighbours of cells, nearest first, the cell itself left out."""

    cells: NDArray[np.int64]
    """Row numbers of the neighbours, cell after cell; shape ``(n_pairs,)``."""
    distances: NDArray[np.float64]
    """Their distances, in the unit of the coordinates; shape ``(n_pairs,)``."""
    offsets: NDArray[np.int64]
    """Where each cell begins; shape ``(n_obs + 1,)``."""


@dataclass(frozen=True, eq=False)
class NeighbourLabels:
    """Labels of the cells around each cell."""

    text: pd.Series[str]
    """Labels of the neighbours, nearest first, joined by commas; ``""`` if there are none."""
    counts: pd.DataFrame
    """How many neighbours have each label; shape ``(n_obs, n_labels)``."""
    neighbours: Neighbours
    """The neighbours themselves."""


NEAREST = SpatialOptions()
"""The five nearest cells, whatever their distance."""


def find_neighbours(adata: AnnData, *, options: SpatialOptions = NEAREST) -> Neighbours:
    """Find each cell's nearest cells by their coordinates.

    Cells at the same distance follow their coordinates and then their names, so the order of
    rows changes nothing. Cells at the same place are neighbours at distance 0.

    Parameters
    ----------
    adata
        Cells with coordinates in obsm, shape ``(n_obs, 2)`` or ``(n_obs, 3)``; not changed.
    options
        Which cells are neighbours.

    Raises
    ------
    InputError
        If coordinates or the section column are missing, a coordinate is not finite, or cell
        names repeat.
    """
    points = _coordinates(adata, options.spatial_key)
    sections = np.zeros(adata.n_obs, dtype=np.int64)
    if options.section_key is not None:
        require_columns([options.section_key], adata.obs.columns)
        sections = pd.factorize(adata.obs[options.section_key])[0]
    place = np.empty(adata.n_obs, dtype=np.int64)
    names = adata.obs_names.to_numpy(dtype=object).astype(str)
    place[np.lexsort((names, *points.T[::-1]))] = np.arange(adata.n_obs)
    found: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = [_NOBODY] * adata.n_obs
    for section in np.unique(sections):
        members = np.flatnonzero(sections == section)
        near = _nearest(points[members], place[members], options)
        for cell, (others, distances) in zip(members, near, strict=True):
            found[cell] = (members[others], distances)
    offsets = np.concatenate([[0], np.cumsum([len(others) for others, _ in found])])
    return Neighbours(
        np.concatenate([_NOBODY[0], *(others for others, _ in found)]),
        np.concatenate([_NOBODY[1], *(distances for _, distances in found)]),
        offsets.astype(np.int64),
    )


_NOBODY = (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float64))


def neighbour_labels(
    adata: AnnData, *, label_key: str, options: SpatialOptions = NEAREST
) -> NeighbourLabels:
    """Say which labels lie around each cell, nearest first, and how many of each.

    The text goes into a sentence as an obs feature::

        adata.obs["nearest_cells"] = neighbour_labels(adata, label_key="cell_type").text
        sentences(adata, style="cellama", obs_features=["nearest_cells"])

    Parameters
    ----------
    adata
        Cells with coordinates in obsm; not changed.
    label_key
        Column of obs; a missing label is written "unknown".
    options
        Which cells are neighbours.

    Raises
    ------
    InputError
        If the label column or coordinates are missing; see :func:`find_neighbours`.

    Notes
    -----
    After CELLama (Advanced Science 2025), whose sentences hold the same list of labels.
    """
    require_columns([label_key], adata.obs.columns)
    neighbours = find_neighbours(adata, options=options)
    labels = np.array([field_text(label) for label in adata.obs[label_key]], dtype=object)
    near = labels[neighbours.cells]
    spans = list(zip(neighbours.offsets[:-1], neighbours.offsets[1:], strict=True))
    text = pd.Series(
        [",".join(near[start:stop]) for start, stop in spans],
        index=adata.obs_names,
        name="nearest_cells",
        dtype="str",
    )
    kinds = sorted(set(labels))
    counts = np.zeros((adata.n_obs, len(kinds)), dtype=np.int64)
    cells = np.repeat(np.arange(adata.n_obs), np.diff(neighbours.offsets))
    np.add.at(counts, (cells, np.searchsorted(kinds, near)), 1)
    frame = pd.DataFrame(counts, index=adata.obs_names, columns=pd.Index(kinds, name=label_key))
    return NeighbourLabels(text, frame, neighbours)


def summarise_niches(labels: NeighbourLabels, groups: pd.Series[Any]) -> pd.DataFrame:
    """Average how many neighbours of each label the cells of each group have.

    Parameters
    ----------
    labels
        What :func:`neighbour_labels` gave.
    groups
        Group of every cell, such as its cluster, indexed by cell name.

    Returns
    -------
    Mean number of neighbours, labels by groups.

    Raises
    ------
    InputError
        If `groups` lacks a cell.
    """
    missing = labels.counts.index.difference(groups.index)
    if len(missing):
        msg = f"`groups` lacks {len(missing)} cells, such as {missing[0]!r}."
        raise InputError(msg, hint="pass a column of the same `adata.obs`.")
    aligned = groups.reindex(labels.counts.index)
    means: pd.DataFrame = labels.counts.groupby(aligned, observed=True).mean().T
    return means


def _coordinates(adata: AnnData, key: str) -> NDArray[np.float64]:
    if key not in adata.obsm:
        known = list(adata.obsm.keys())
        msg = f"`obsm` has no array {key!r}{closest(key, known)}."
        raise InputError(msg, hint=f"it has: {', '.join(known) or 'no arrays'}.")
    points = np.asarray(adata.obsm[key], dtype=np.float64)
    if points.ndim != 2:
        msg = f"`obsm[{key!r}]` has shape {points.shape}; coordinates are (n_obs, 2) or (n_obs, 3)."
        raise InputError(msg, hint="name the array with `spatial_key`.")
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if len(bad):
        msg = f"The coordinates of cell {adata.obs_names[bad[0]]!r} are not finite."
        raise InputError(msg, hint="leave cells without coordinates out.")
    if not adata.obs_names.is_unique:
        repeated = adata.obs_names[adata.obs_names.duplicated()][0]
        msg = f"Cell names must be unique; {repeated!r} repeats."
        raise InputError(msg, hint="run `adata.obs_names_make_unique()` first.")
    return points


def _nearest(
    points: NDArray[np.float64], place: NDArray[np.int64], options: SpatialOptions
) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Give the neighbours of all cells of one section; `place` orders equal distances."""
    from scipy.spatial import cKDTree

    tree = cKDTree(points)
    wanted = min(options.n_neighbours + 1, len(points))
    reach = np.asarray(tree.query(points, k=wanted)[0]).reshape(len(points), wanted)[:, -1]
    if options.radius is not None:
        reach = np.minimum(reach, options.radius)
    # a ball a little wider than the last wanted neighbour holds all that tie with it
    balls = tree.query_ball_point(points, np.nextafter(reach * (1 + 1e-12), np.inf))
    found = []
    for cell, ball in enumerate(balls):
        others = np.array([other for other in ball if other != cell], dtype=np.int64)
        distances = np.sqrt(((points[others] - points[cell]) ** 2).sum(axis=1))
        if options.radius is not None:
            others, distances = (
                others[distances <= options.radius],
                distances[distances <= options.radius],
            )
        order = np.lexsort((place[others], distances))[: options.n_neighbours]
        found.append((others[order], distances[order]))
    return found
