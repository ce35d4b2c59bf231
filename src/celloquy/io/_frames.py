"""Tables of h5ad and zarr files, as anndata of any age and R's writers leave them.

The layouts: a group of columns (anndata since 0.7; the index named by the attribute
``_index``), or one dataset of compound type (before 0.7). Categories are a group of codes
and categories, codes beside ``__categories``, or codes beside ``uns/<column>_categories``.
Columns with missing values are a group of values and mask. Text is of variable or fixed
length, and booleans may be an enumeration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from celloquy.errors import InputError

if TYPE_CHECKING:
    from celloquy.io._types import Column, Node

INDEX_NAMES = ("_index", "index", "obs_names", "var_names", "rownames", "row_names")
"""Names an index goes by in files that do not say which column it is."""


class Frame:
    """One stored table (obs or var), read column by column.

    Parameters
    ----------
    node
        The group or compound dataset, of h5py or zarr.
    uns
        The file's `uns` group, where anndata before 0.7 kept categories.
    where
        Name for messages, such as ``"`obs` of 'cells.h5ad'"``.
    """

    def __init__(self, node: Node, *, uns: Node = None, where: str) -> None:
        self._node, self._uns, self._where = node, uns, where
        self._is_compound = not hasattr(node, "keys")
        names = node.dtype.names or () if self._is_compound else tuple(node.keys())
        if self._is_compound and not names:
            msg = f"{where} is neither a table nor a group of columns."
            raise InputError(msg, hint="write the file again from the program that made it.")
        self._index_name = self._find_index(names)
        hidden = {self._index_name, "__categories"}
        stored = [name for name in names if name not in hidden]
        ordered = [] if self._is_compound else list(node.attrs.get("column-order", []))
        first = [_text(name) for name in ordered if _text(name) in stored]
        self.columns = tuple(dict.fromkeys([*first, *stored]))

    def _find_index(self, names: tuple[str, ...]) -> str | None:
        said = _text(self._node.attrs.get("_index", ""))
        return next((name for name in (said, *INDEX_NAMES) if name in names), None)

    def index(self) -> pd.Index | None:
        """Read the index as text; None if the file has none."""
        if self._index_name is None:
            return None
        values = self._read(self._index_name)
        index: pd.Index = pd.Index(np.asarray(values).astype(str).astype(object))
        return index

    def column(self, name: str) -> Column:
        """Read one column, one of `columns`.

        Raises
        ------
        InputError
            If the column is stored in a way that is not known.
        """
        return self._read(name)

    def to_pandas(self) -> pd.DataFrame:
        """Read everything; without an index, rows are numbered."""
        index = self.index()
        columns = {name: self._read(name) for name in self.columns}
        return pd.DataFrame(columns, index=index, columns=list(self.columns))

    def _read(self, name: str) -> Column:
        where = f"Column '{name}' of {self._where}"
        if self._is_compound:
            return self._coded(_values(self._node[name]), name)
        node = self._node[name]
        if hasattr(node, "keys"):
            return _grouped(node, where)
        categories = self._legacy_categories(node, name)
        values = _values(node[...], node)
        return values if categories is None else _categorical(values, categories, where=where)

    def _legacy_categories(self, node: Node, name: str) -> Column:
        if "__categories" in self._node and name in self._node["__categories"]:
            held = self._node["__categories"][name]
            return _values(held[...], held)
        return None

    def _coded(self, values: Column, name: str) -> Column:
        key = f"{name}_categories"
        if self._uns is None or key not in self._uns or values.dtype.kind not in "iu":
            return values
        held = self._uns[key]
        return _categorical(values, np.atleast_1d(_values(held[...], held)), where=self._where)


def _grouped(node: Node, where: str) -> Column:
    """Read a column that is a group: categories, or values with a mask.

    Raises
    ------
    InputError
        If it is neither.
    """
    parts = {
        name: _values(node[name][...], node[name]) for name in node if not _is_group(node[name])
    }
    if {"codes", "categories"} <= set(parts):
        ordered = bool(node.attrs.get("ordered", False))
        return _categorical(parts["codes"], parts["categories"], ordered=ordered, where=where)
    if {"codes", "levels"} <= set(parts):
        return _categorical(parts["codes"], parts["levels"], where=where)
    if {"values", "mask"} <= set(parts):
        return _masked(parts["values"], parts["mask"].astype(bool))
    if "categories" in node and _is_group(node["categories"]) and "codes" in parts:
        categories = _grouped(node["categories"], where)
        return _categorical(parts["codes"], np.asarray(categories, object), where=where)
    msg = f"{where} is stored in a way that is not known ({', '.join(node) or 'empty group'})."
    raise InputError(msg, hint="leave the column out, or write the file again with anndata.")


def _is_group(node: Node) -> bool:
    return hasattr(node, "keys")


def _masked(values: Column, mask: Column) -> Column:
    if values.dtype.kind == "b":
        return pd.arrays.BooleanArray(values, mask)
    if values.dtype.kind in "iu":
        return pd.arrays.IntegerArray(values, mask)
    if values.dtype.kind == "f":
        return pd.arrays.FloatingArray(values, mask)
    filled = values.astype(object)
    filled[mask] = None
    return filled


def _categorical(
    codes: Column,
    categories: Column,
    *,
    ordered: bool = False,
    where: str,
) -> Column:
    codes = np.asarray(codes)
    if codes.dtype.kind not in "iub" or (
        len(codes) and codes.astype(np.int64).max() >= len(categories)
    ):
        msg = f"{where} is damaged: its codes name more than its {len(categories)} categories."
        raise InputError(msg, hint="write the file again from the program that made it.")
    codes = np.where(codes.astype(np.int64) < 0, -1, codes.astype(np.int64))
    names: Column = pd.Index(categories)
    if names.is_unique and not names.hasnans:
        return pd.Categorical.from_codes(codes, names, ordered=ordered)
    named: Column = np.append(np.asarray(categories, object), np.array([None]))
    values = named[codes]
    return pd.Categorical(values, ordered=ordered)


def _values(raw: Column, node: Node = None) -> Column:
    """Give an array of numbers, booleans or `str` objects."""
    values = np.asarray(raw)
    if values.dtype.kind == "S":
        return np.char.decode(values, "utf-8", "replace").astype(object)
    if values.dtype.kind in "UT":
        return values.astype(object)
    if values.dtype.kind == "O":
        return np.array([_text(value) for value in values.ravel()], object).reshape(values.shape)
    is_boolean = node is not None and "boolean" in str(node.attrs.get("rhdf5-NA.OK", "")).lower()
    return values.astype(bool) if is_boolean else values


def values_of(node: Node) -> Column:
    """Read a dataset as numbers, booleans or `str` objects."""
    return _values(node[...], node)


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
