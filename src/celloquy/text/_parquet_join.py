"""Parquet files of one schema put end to end: bytes are copied, only the footers are made one.

Reading row groups and writing them again takes about as long as making them did. They need
not change to move: a footer (Thrift's compact protocol) says at which byte each piece of a
column begins, and these places are all that differs.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    Struct: TypeAlias = dict[int, tuple[int, Any]]
    """Type and value of each field, by number."""

MAGIC = b"PAR1"
_TRUE, _FALSE, _BYTE, _I64, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 6, 7, 8, 9, 10, 12
"""Types of Thrift's compact protocol; those between a byte and 64 bits are integers, too."""
_ROWS, _GROUPS, _FACTS = 3, 4, 5
"""Fields of the footer: number of rows, row groups, keys and values."""
_GROUP_COLUMNS, _GROUP_PLACE, _GROUP_NUMBER = 1, 5, 7
_COLUMN_DETAILS, _COLUMN_PLACES, _DETAIL_PLACES = 3, (2, 4, 6), (9, 10, 11, 14)
"""Fields of a row group's column, and those of it that say a byte of the file."""
_COPIED = 8 * 2**20


def join_parquet(parts: Sequence[Path], out: Path, facts: Mapping[bytes, bytes]) -> None:
    """Write the row groups of some Parquet files as one file, in order.

    Parameters
    ----------
    parts
        Files with the same columns, from the same writer.
    out
        The file to write.
    facts
        Metadata that take the place of those of the first part, key by key.
    """
    with out.open("wb") as file:
        file.write(MAGIC)
        whole: Struct = {}
        for part in parts:
            footer, end = _read_footer(part)
            shift = file.tell() - len(MAGIC)
            with part.open("rb") as source:
                source.seek(len(MAGIC))
                shutil.copyfileobj(source, file, _COPIED)
            file.seek(shift + end)  # over the part's own footer
            file.truncate()
            groups = footer[_GROUPS][1][1]
            for group in groups:
                _move(group, shift)
            if not whole:
                whole = footer
                continue
            whole[_ROWS] = (_I64, whole[_ROWS][1] + footer[_ROWS][1])
            whole[_GROUPS][1][1].extend(groups)
        for number, group in enumerate(whole[_GROUPS][1][1]):
            if _GROUP_NUMBER in group:  # 16 bits, and a reader does without
                group[_GROUP_NUMBER] = (group[_GROUP_NUMBER][0], min(number, 2**15 - 1))
        for fact in whole[_FACTS][1][1]:
            fact[2] = (_BINARY, facts.get(fact[1][1], fact[2][1]))
        footer_bytes = _struct_bytes(whole)
        file.write(footer_bytes + len(footer_bytes).to_bytes(4, "little") + MAGIC)


def _read_footer(path: Path) -> tuple[Struct, int]:
    """Read a file's footer, and the byte where it begins."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(size - 8)
        length = int.from_bytes(file.read(4), "little")
        file.seek(size - 8 - length)
        return _Reader(file.read(length)).struct(), size - 8 - length


def _move(group: Struct, shift: int) -> None:
    """Add `shift` to every byte that a row group names; 0 and what is absent name none."""
    _add(group, (_GROUP_PLACE,), shift)
    for column in group[_GROUP_COLUMNS][1][1]:
        _add(column, _COLUMN_PLACES, shift)
        _add(column[_COLUMN_DETAILS][1], _DETAIL_PLACES, shift)


def _add(struct: Struct, fields: tuple[int, ...], shift: int) -> None:
    for field in fields:
        kind, place = struct.get(field, (_I64, 0))
        if place:
            struct[field] = (kind, place + shift)


class _Reader:
    """Values of Thrift's compact protocol, read one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def struct(self) -> Struct:
        fields: Struct = {}
        number = 0
        while head := self._byte():
            step, kind = head >> 4, head & 15
            number = number + step if step else self._signed()
            fields[number] = (kind, self._value(kind))
        return fields

    def _value(self, kind: int) -> Any:  # noqa: ANN401 (what the type says)
        if kind in (_TRUE, _FALSE):
            return None  # the type is the value
        if kind == _BYTE:
            return self._byte()
        if kind == _DOUBLE:
            return self._bytes(8)
        if kind == _BINARY:
            return self._bytes(self._number())
        if kind in (_LIST, _SET):
            return self._list()
        return self.struct() if kind == _STRUCT else self._signed()

    def _list(self) -> tuple[int, list[Any]]:
        head = self._byte()
        size, kind = head >> 4, head & 15
        size = self._number() if size == 15 else size
        flat = _BYTE if kind in (_TRUE, _FALSE) else kind  # in a list, truth takes a byte
        return kind, [self._value(flat) for _ in range(size)]

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _bytes(self, size: int) -> bytes:
        self._at += size
        return self._data[self._at - size : self._at]

    def _number(self) -> int:
        number = shift = 0
        while (byte := self._byte()) >= 128:
            number |= (byte & 127) << shift
            shift += 7
        return number | byte << shift

    def _signed(self) -> int:
        number = self._number()
        return (number >> 1) ^ -(number & 1)


def _struct_bytes(struct: Struct) -> bytes:
    parts, before = [], 0
    for number, (kind, value) in struct.items():
        step = number - before
        near = 0 < step < 16
        parts.append(bytes([step << 4 | kind]) if near else bytes([kind]) + _signed_bytes(number))
        parts.append(_value_bytes(kind, value))
        before = number
    return b"".join(parts) + b"\0"


def _value_bytes(kind: int, value: Any) -> bytes:  # noqa: ANN401 (what the type says)
    if kind in (_TRUE, _FALSE):
        return b""
    if kind == _BYTE:
        return bytes([value])
    if kind == _DOUBLE:
        return bytes(value)
    if kind == _BINARY:
        return _number_bytes(len(value)) + bytes(value)
    if kind in (_LIST, _SET):
        return _list_bytes(*value)
    return _struct_bytes(value) if kind == _STRUCT else _signed_bytes(int(value))


def _list_bytes(kind: int, values: list[Any]) -> bytes:
    size = len(values)
    head = bytes([size << 4 | kind]) if size < 15 else bytes([240 | kind]) + _number_bytes(size)
    flat = _BYTE if kind in (_TRUE, _FALSE) else kind
    return head + b"".join(_value_bytes(flat, value) for value in values)


def _number_bytes(number: int) -> bytes:
    found = bytearray()
    while number >= 128:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def _signed_bytes(number: int) -> bytes:
    return _number_bytes((number << 1) ^ (number >> 63))
