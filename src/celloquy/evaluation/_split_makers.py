"""Splits by donor, study, perturbation, drug or gene, so that no group is on both sides.

What is measured on cells of a donor that was learned from says little about the next donor.
A split by cell is there for sets without groups, and says so in its record.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from celloquy._runtime import closest, rng_for
from celloquy.errors import InputError
from celloquy.evaluation._annotation import stratified_splits
from celloquy.evaluation._splits import Split, hash_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

SHARES: Mapping[str, float] = {"train": 0.8, "validation": 0.1, "test": 0.1}
"""Shares of the rows by part, where none are asked for."""
CELL = "cell"
"""What a split by cell says decided."""


def split_by_group(
    groups: ArrayLike,
    *,
    by: str,
    shares: Mapping[str, float] = SHARES,
    seed: int = 0,
    names: Sequence[str] | None = None,
) -> Split:
    """Deal whole groups to parts, so that the parts have about the shares asked for.

    Groups come in an order drawn from the seed; each goes to the part that lacks the most rows.

    Parameters
    ----------
    groups
        Group of each row: a column of obs, or any list of keys; shape ``(n_obs,)``.
    by
        What the groups are, for the record: ``"donor"``, ``"study"``, ``"gene"``, …
    shares
        Share of the rows by part; they sum to 1.
    seed
        Seed of the order.
    names
        Names of the rows, so that other data is refused later.

    Raises
    ------
    InputError
        If a row has no group, there are fewer groups than parts, or shares do not sum to 1.

    Examples
    --------
    >>> donors = ["a", "a", "b", "b", "c", "c", "d", "d"]
    >>> split = split_by_group(donors, by="donor", shares={"train": 0.75, "test": 0.25})
    >>> split.sizes, len(split.groups["test"])
    ({'train': 6, 'test': 2}, 1)
    """
    keys = group_keys(groups, by=by)
    _check_shares(shares)
    dealt = _deal(keys, list(shares.values()), by=by, seed=seed)
    assigned = dict(zip(shares, dealt, strict=True))
    return _of_groups(keys, assigned, name=f"by {by}", by=by, seed=seed, names=names)


def group_folds(
    groups: ArrayLike,
    *,
    by: str,
    n_folds: int = 5,
    seed: int = 0,
    names: Sequence[str] | None = None,
) -> list[Split]:
    """Cut into folds of whole groups; each fold is the test once, the others train.

    Parameters
    ----------
    groups
        Group of each row; shape ``(n_obs,)``.
    by
        What the groups are, for the record.
    n_folds
        Number of folds.
    seed
        Seed of the order in which groups are dealt.
    names
        Names of the rows, so that other data is refused later.

    Raises
    ------
    InputError
        If a row has no group, `n_folds` is under 2, or there are fewer groups than folds.
    """
    keys = group_keys(groups, by=by)
    _check_folds(n_folds)
    dealt = _deal(keys, [1 / n_folds] * n_folds, by=by, seed=seed)
    return [
        _held_out(keys, part, name=f"fold {i} of {n_folds}", by=by, seed=seed, names=names)
        for i, part in enumerate(dealt, start=1)
    ]


def leave_one_group_out(
    groups: ArrayLike, *, by: str, names: Sequence[str] | None = None
) -> list[Split]:
    """Let each group be the test once, the others train; nothing is drawn.

    Parameters
    ----------
    groups
        Group of each row; shape ``(n_obs,)``.
    by
        What the groups are, for the record.
    names
        Names of the rows, so that other data is refused later.

    Raises
    ------
    InputError
        If a row has no group, or there is one group.
    """
    keys = group_keys(groups, by=by)
    known = np.unique(keys)
    _refuse_few(known, 2, by=by)
    return [
        _held_out(keys, [key], name=f"without {by} {key}", by=by, seed=None, names=names)
        for key in known.tolist()
    ]


def hold_out(
    groups: ArrayLike,
    held: Sequence[str] | Mapping[str, Sequence[str]],
    *,
    by: str,
    names: Sequence[str] | None = None,
) -> Split:
    """Hold out the groups that are named; all others train.

    Parameters
    ----------
    groups
        Group of each row; shape ``(n_obs,)``.
    held
        Groups of the test; or groups by part, such as ``{"validation": [...], "test": [...]}``.
    by
        What the groups are, for the record.
    names
        Names of the rows, so that other data is refused later.

    Raises
    ------
    InputError
        If a named group is not there, is named twice, or nothing is left to train on.

    Examples
    --------
    >>> hold_out(["a", "b", "b"], ["b"], by="study").sizes
    {'train': 1, 'test': 2}
    """
    keys = group_keys(groups, by=by)
    parts = dict(held) if isinstance(held, Mapping) else {"test": held}
    parts = {part: [*map(str, listed)] for part, listed in parts.items()}
    wanted = [key for listed in parts.values() for key in listed]
    known = np.unique(keys).tolist()
    for i, key in enumerate(wanted):
        if key not in known:
            msg = f"There is no {by} {key!r}{closest(key, known)}."
            raise InputError(msg, hint=f"there are: {', '.join(known[:20])}.")
        if key in wanted[:i]:
            msg = f"The {by} {key!r} is held out twice."
            raise InputError(msg, hint="name it in one part.")
    rest = [key for key in known if key not in wanted]
    if not rest:
        msg = f"Every {by} is held out: nothing is left to train on."
        raise InputError(msg, hint=f"leave a {by} to train on.")
    return _of_groups(
        keys, {"train": rest, **parts}, name=f"held out by {by}", by=by, seed=None, names=names
    )


def split_by_cell(
    labels: ArrayLike | None = None,
    *,
    n_obs: int | None = None,
    shares: Mapping[str, float] = SHARES,
    seed: int = 0,
    names: Sequence[str] | None = None,
) -> Split:
    """Draw cells by chance, each label in every part by its share.

    Cells of one donor lie on both sides, so what it measures is optimistic for a new donor or
    study; the record says ``by="cell"``.

    Parameters
    ----------
    labels
        Label of each cell; `None` draws without regard to labels.
    n_obs
        Number of cells, where there are no labels.
    shares
        Share of the cells by part; they sum to 1.
    seed
        Seed of the draw.
    names
        Names of the cells, so that other data is refused later.

    Raises
    ------
    InputError
        If a label has fewer cells than there are parts, or shares do not sum to 1.

    Examples
    --------
    >>> split = split_by_cell(["B"] * 10 + ["T"] * 10, shares={"train": 0.8, "test": 0.2})
    >>> split.sizes, split.by
    ({'train': 16, 'test': 4}, 'cell')
    """
    _check_shares(shares)
    if labels is None and n_obs is None:
        msg = "There are neither labels nor a number of cells to split."
        raise InputError(msg, hint="pass `labels`, or `n_obs`.")
    keys = np.full(n_obs or 0, "all") if labels is None else group_keys(labels, by="label")
    part_of = np.empty(len(keys), dtype=np.int64)
    ends = np.cumsum(list(shares.values()))
    for key in np.unique(keys).tolist():
        rows = np.flatnonzero(keys == key)
        if len(rows) < len(shares):
            msg = f"Label {key!r} has {len(rows)} cells, fewer than {len(shares)} parts."
            raise InputError(msg, hint="leave the label out, or split into fewer parts.")
        place = rng_for(seed, "split by cell", key).permutation(len(rows))
        part_of[rows] = _cut(place, ends)
    parts = {part: np.flatnonzero(part_of == i) for i, part in enumerate(shares)}
    return Split("by cell", CELL, parts, len(keys), seed=seed, rows_sha256=_hash(names))


def cell_folds(
    labels: ArrayLike, *, n_folds: int = 5, seed: int = 0, names: Sequence[str] | None = None
) -> list[Split]:
    """Cut cells by chance into folds with the same shares of labels; each is the test once.

    As :func:`split_by_cell`, this is optimistic for a new donor or study.

    Parameters
    ----------
    labels
        Label of each cell; shape ``(n_obs,)``.
    n_folds
        Number of folds.
    seed
        Seed of the draw.
    names
        Names of the cells, so that other data is refused later.

    Raises
    ------
    InputError
        If `n_folds` is under 2, or a label has fewer cells than there are folds.
    """
    keys = group_keys(labels, by="label")
    _check_folds(n_folds)
    cut = stratified_splits(keys.tolist(), n_splits=n_folds, seed=seed)
    told = _hash(names)
    return [
        Split(f"fold {i} of {n_folds}", CELL, {"train": train, "test": test}, len(keys),
              seed=seed, rows_sha256=told)
        for i, (train, test) in enumerate(cut, start=1)
    ]  # fmt: skip


def group_keys(groups: ArrayLike, *, by: str) -> NDArray[np.str_]:
    """Give group keys as text.

    Raises
    ------
    InputError
        If there is no row, or a row has no group.
    """
    column = pd.Series(np.asarray(groups, dtype=object))
    gaps = column.isna().to_numpy()
    if not len(column):
        msg = f"There is no row to split by {by}."
        raise InputError(msg)
    if gaps.any():
        msg = f"{int(gaps.sum())} of {len(column)} rows have no {by}, the first is row "
        msg += f"{int(gaps.argmax())}."
        raise InputError(msg, hint="leave those rows out, or name their group.")
    return np.asarray(column.astype(str).to_numpy(), dtype=str)


def _check_shares(shares: Mapping[str, float]) -> None:
    """Refuse shares that are no shares.

    Raises
    ------
    InputError
        If one is not above 0, or they do not sum to 1.
    """
    values = list(shares.values())
    if len(values) < 2 or min(values) <= 0 or abs(sum(values) - 1) > 1e-9:
        said = ", ".join(f"{name} {share:g}" for name, share in shares.items()) or "none"
        msg = f"Shares are two or more numbers above 0 that sum to 1; here: {said}."
        raise InputError(msg, hint='write {"train": 0.8, "test": 0.2}.')


def _check_folds(n_folds: int) -> None:
    """Refuse fewer than two folds.

    Raises
    ------
    InputError
        If there are.
    """
    if n_folds < 2:
        msg = f"`n_folds` must be at least 2, got {n_folds}."
        raise InputError(msg)


def _refuse_few(known: NDArray[np.str_], n_parts: int, *, by: str) -> None:
    """Refuse fewer groups than parts.

    Raises
    ------
    InputError
        If there are.
    """
    if len(known) < n_parts:
        listed = ", ".join(map(repr, known.tolist()))
        msg = f"{len(known)} of {by} ({listed}) cannot be dealt to {n_parts} parts, whole."
        hint = f"ask for fewer parts, or name a column with more than {len(known)} groups."
        raise InputError(msg, hint=hint)


def _deal(
    keys: NDArray[np.str_], shares: Sequence[float], *, by: str, seed: int
) -> list[list[str]]:
    """Deal groups, in an order that is drawn, to the part that lacks the most rows."""
    known, sizes = np.unique(keys, return_counts=True)
    _refuse_few(known, len(shares), by=by)
    lacking = np.array(shares) * len(keys)
    dealt: list[list[str]] = [[] for _ in shares]
    order = rng_for(seed, "deal groups", by).permutation(len(known))
    for n_left, i in zip(range(len(known), 0, -1), order, strict=True):
        empty = np.array([not part for part in dealt])
        open_to = empty if n_left == empty.sum() else np.full(len(shares), fill_value=True)
        part = int(np.where(open_to, lacking, -np.inf).argmax())
        dealt[part].append(str(known[i]))
        lacking[part] -= sizes[i]
    return dealt


def _cut(place: NDArray[np.int64], ends: NDArray[np.float64]) -> NDArray[np.int64]:
    """Give each place in the drawn order its part; no part stays empty."""
    n = len(place)
    stops = np.round(ends * n).astype(np.int64)
    for i in range(len(stops)):  # a cell at least for this part, and one for each that follows
        lowest = (stops[i - 1] if i else 0) + 1
        stops[i] = min(max(stops[i], lowest), n - (len(stops) - 1 - i))
    return np.searchsorted(stops, place, side="right")


def _held_out(
    keys: NDArray[np.str_],
    held: Iterable[str],
    *,
    name: str,
    by: str,
    seed: int | None,
    names: Sequence[str] | None,
) -> Split:
    held = list(held)
    rest = sorted(set(keys.tolist()) - set(held))
    return _of_groups(keys, {"train": rest, "test": held}, name=name, by=by, seed=seed, names=names)


def _of_groups(
    keys: NDArray[np.str_],
    assigned: Mapping[str, Sequence[str]],
    *,
    name: str,
    by: str,
    seed: int | None,
    names: Sequence[str] | None,
) -> Split:
    parts = {part: np.flatnonzero(np.isin(keys, list(held))) for part, held in assigned.items()}
    groups = {part: tuple(sorted(map(str, held))) for part, held in assigned.items()}
    return Split(name, by, parts, len(keys), seed=seed, groups=groups, rows_sha256=_hash(names))


def _hash(names: Sequence[str] | None) -> str | None:
    return None if names is None else hash_names(names)
