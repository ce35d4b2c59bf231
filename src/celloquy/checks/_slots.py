"""Which slots a source has, and what each of them holds."""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import h5py

from celloquy.checks._kinds import SlotKind, slot_kind
from celloquy.checks._report import Slot
from celloquy.errors import InputError
from celloquy.io import open_stream

if TYPE_CHECKING:
    from anndata import AnnData

    from celloquy.checks._kinds import Kind
    from celloquy.io import CellStream

    Group: TypeAlias = Any
    Source: TypeAlias = AnnData | str | os.PathLike[str]

USABLE: tuple[Kind, ...] = ("counts", "log1p", "log2", "log10", "cpm")
"""Kinds that every verb takes."""


def list_slots(source: Source) -> tuple[str, ...]:
    """Name the slots of a source as streams do, X first; only X where there can be no other."""
    if not isinstance(source, str | os.PathLike):
        layers, has_raw = list(source.layers), source.raw is not None
        has_x = source.X is not None
    else:
        layers, has_raw, has_x = _slots_of_file(Path(source))
    names = ["X"] if has_x else []
    names += [f"layers[{layer!r}]" for layer in layers]
    return tuple([*names, "raw.X"] if has_raw else names)


def _slots_of_file(path: Path) -> tuple[list[str], bool, bool]:
    if path.is_dir() and (path / ".zgroup").exists() | (path / "zarr.json").exists():
        import zarr

        return _slots_of_group(zarr.open_group(path, mode="r"))
    if path.is_file() and h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            return _slots_of_group(file)
    return [], False, True


def _slots_of_group(group: Group) -> tuple[list[str], bool, bool]:
    layers = [str(name) for name in group["layers"]] if "layers" in group else []
    raw = group.get("raw")
    has_raw = (raw is not None and "X" in raw) or "raw.X" in group
    return layers, has_raw, "X" in group or "obs" not in group


def _layer_of(slot: str) -> str | None:
    """Give the layer that a slot's name names; None for X and raw."""
    return ast.literal_eval(slot[len("layers[") : -1]) if slot.startswith("layers[") else None


def option_for(slot: str) -> str:
    """Say how a verb is told to read a slot.

    Examples
    --------
    >>> option_for("raw.X"), option_for("layers['counts']")
    ('`use_raw=True` (`--raw`)', "`layer='counts'` (`--layer counts`)")
    """
    if slot == "raw.X":
        return "`use_raw=True` (`--raw`)"
    if slot == "X":
        return "no `layer` and no `use_raw`"
    layer = _layer_of(slot)
    return f"`layer={layer!r}` (`--layer {layer}`)"


def read_other_slots(source: Source, *, chosen: str, n_sampled: int, seed: int) -> tuple[Slot, ...]:
    """Look at the slots that were not chosen."""
    slots = []
    for name in list_slots(source):
        if name == chosen:
            continue
        try:
            with open_stream(source, layer=_layer_of(name), use_raw=name == "raw.X") as stream:
                kind, n_vars = sampled_kind(stream, n_sampled=n_sampled, seed=seed), stream.n_vars
        except InputError as error:
            kind, n_vars = SlotKind("unknown", 0.0, f"cannot be read: {error}"), 0
        slots.append(Slot(name=name, kind=kind, n_vars=n_vars, is_chosen=False))
    return tuple(slots)


def sampled_kind(stream: CellStream, *, n_sampled: int, seed: int) -> SlotKind:
    """Tell the kind of a stream's values from cells spread over it."""
    return slot_kind(stream.sample(n_sampled, seed=seed).to_csr())


def way_out(others: tuple[Slot, ...], *, otherwise: str) -> str:
    """Name the slots that would work, the surest first, or say what to do instead."""
    usable = [slot for slot in others if slot.kind.kind in USABLE]
    usable.sort(key=lambda slot: (slot.kind.kind != "counts", -slot.kind.confidence))
    if not usable:
        return otherwise
    return f"{option_for(usable[0].name)}: {usable[0].name} holds {usable[0].kind.kind}."
