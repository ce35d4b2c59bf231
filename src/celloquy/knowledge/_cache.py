"""The user's own cache of tables: filled when asked, checked whenever it is read."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from celloquy._runtime import atomic_path, cache_folder, sha256_of
from celloquy.errors import DownloadError, InputError
from celloquy.knowledge._download import DownloadLimits, check_url, fetch
from celloquy.knowledge._layouts import parse_table
from celloquy.knowledge._sources import SOURCES, source_of

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class TableEntry:
    """What the cache knows of one table that it holds."""

    name: str
    """The table."""
    sha256: str
    """Hash of the file as it came: the table's version."""
    size: int
    """Bytes of the file as it came."""
    rows: int
    """Rows that can be used."""
    origin: str
    """Its address, or ``"file"`` if a user gave it."""
    file: str
    """The file's name as it came."""
    licence: str
    """Terms that the official source states; a user's own file may have others."""
    date: str
    """When it came, UTC, ISO 8601."""
    last_modified: str
    """What the server said of the file's age, ``""`` if nothing."""
    table_sha256: str
    """Hash of the table as it is kept (Parquet)."""
    schema_version: int = SCHEMA_VERSION
    """Version of this record and of the kept table."""


def data_add(name: str, file: str | os.PathLike[str], *, overwrite: bool = False) -> TableEntry:
    """Put a table's file that you have into the cache.

    Parameters
    ----------
    name
        The table: ``"hgnc"``, ``"orthologs"``, … (:func:`data_list`).
    file
        The file, plain or gzipped, in the layout of the official source or another known one.
    overwrite
        Whether a different version that is there already is replaced.

    Returns
    -------
    What the cache now knows of it.

    Raises
    ------
    InputError
        If there is no such table or file, the file is not that table, or another version is
        there and `overwrite` is false.
    """
    source_of(name)
    path = Path(file)
    if not path.is_file():
        msg = f"There is no file '{path}'."
        raise InputError(msg, hint="check the path; a folder or a web address is not a file.")
    there = _entry_or_none(name) if overwrite else _entry(name)
    sha256 = sha256_of(path)
    if there is not None and not overwrite:
        if there.sha256 == sha256 and _is_whole(there):
            return there
        msg = f"The cache holds a {name!r} already ({there.sha256[:12]}, {there.date[:10]})."
        raise InputError(msg, hint="pass `overwrite=True` (`--overwrite`) to replace it.")
    return _keep(name, path, file=path.name, origin="file", last_modified="")


def data_get(
    name: str,
    *,
    url: str | None = None,
    sha256: str | None = None,
    overwrite: bool = False,
    limits: DownloadLimits | None = None,
) -> TableEntry:
    """Fetch a table from its official source into the cache.

    This is the only function that opens a connection for a table. One that is there already
    is not fetched again.

    Parameters
    ----------
    name
        The table: ``"hgnc"``, ``"orthologs"``, … (:func:`data_list`).
    url
        Another address of the same table; https only.
    sha256
        The hash that the file must have; `None` for the one that its source is pinned to, or
        for any where the source changes with every release.
    overwrite
        Whether a table that is there already is fetched anew and replaced.
    limits
        What the download may take; `None` for the usual.

    Returns
    -------
    What the cache now knows of it, its licence included.

    Raises
    ------
    InputError
        If there is no such table, or the address is not https.
    DownloadError
        If the file cannot be fetched, or what came is not the table.
    """
    source = source_of(name)
    address = url or source.url
    check_url(address)
    there = _entry_or_none(name)
    if there is not None and not overwrite and _is_whole(there):
        return there
    expected = sha256 or (source.sha256 if url is None else None)
    file = address.partition("?")[0].rpartition("/")[2] or name
    with _partial(name, address) as part:
        fetched = fetch(address, part, limits=limits, sha256=expected)
        try:
            entry = _keep(
                name, part, file=file, origin=address, last_modified=fetched.last_modified
            )
        except InputError as error:
            msg = f"What '{address}' gave cannot be used. {error}"
            raise DownloadError(msg, hint=error.hint) from error
        finally:
            part.unlink(missing_ok=True)
    return entry


@contextmanager
def _partial(name: str, address: str) -> Iterator[Path]:
    """Claim what an earlier call left of a download, and leave again what is not finished.

    A process claims by renaming, so two that fetch the same table never write one file.
    """
    left = _made("partial") / f"{name}-{hashlib.sha256(address.encode()).hexdigest()[:12]}"
    mine = left.with_name(f"{left.name}.{os.getpid()}")
    endings = ("", ".json")
    for ending in endings:
        with suppress(FileNotFoundError):
            left.with_name(left.name + ending).replace(mine.with_name(mine.name + ending))
    try:
        yield mine
    finally:
        for ending in endings:
            with suppress(FileNotFoundError):
                mine.with_name(mine.name + ending).replace(left.with_name(left.name + ending))


def data_list(*, verify: bool = False) -> pd.DataFrame:
    """List every table: what it is, its source and licence, and what the cache holds of it.

    Parameters
    ----------
    verify
        Whether the kept files are hashed, which takes a moment.

    Returns
    -------
    One row a table, indexed by its name; `state` is ``"absent"``, ``"here"`` or
    ``"damaged"``; what is unknown of an absent table is ``""`` or 0.
    """
    rows = []
    for name, source in SOURCES.items():
        try:
            entry = _entry(name)
            damaged = entry is not None and verify and not _is_whole(entry)
        except InputError:
            entry, damaged = None, True
        rows.append({
            "state": "damaged" if damaged else "here" if entry else "absent",
            "description": source.description,
            "licence": source.licence,
            "source": source.url,
            "origin": entry.origin if entry else "",
            "date": entry.date if entry else "",
            "size": entry.size if entry else 0,
            "rows": entry.rows if entry else 0,
            "sha256": entry.sha256 if entry else "",
        })  # fmt: skip
    return pd.DataFrame(rows, index=pd.Index(SOURCES, name="name"))


def has_table(name: str) -> bool:
    """Say whether the cache holds a table; its hash is checked when it is read."""
    source_of(name)
    return _entry(name) is not None


def read_table(name: str) -> pd.DataFrame:
    """Read a table from the cache, after checking that its hash still fits.

    Returns
    -------
    The table with the columns that its source names, all text, missing values as ``""``. It
    is shared by all who read it in this process: copy it before changing it.

    Raises
    ------
    InputError
        If the cache does not hold it, or holds it damaged.
    """
    source_of(name)
    entry = _entry(name)
    if entry is None:
        msg = f"The table {name!r} is not in the cache."
        raise InputError(
            msg, hint=f"`celloquy data get {name}`, or `celloquy data add {name} FILE`."
        )
    return _read(_folder(entry) / "table.parquet", entry)


def table_version(name: str) -> str | None:
    """Give the version of a table in the cache (the start of its SHA-256), `None` if absent."""
    entry = _entry(name)
    return None if entry is None else entry.sha256[:12]


@lru_cache(maxsize=16)
def _read(path: Path, entry: TableEntry) -> pd.DataFrame:
    if not path.is_file() or sha256_of(path) != entry.table_sha256:
        raise _damaged(entry.name)
    return pd.read_parquet(path)


def _damaged(name: str) -> InputError:
    msg = f"The table {name!r} in the cache is damaged: its content no longer has its hash."
    hint = (
        f"`celloquy data get {name} --overwrite`, or `celloquy data add {name} FILE --overwrite`."
    )
    return InputError(msg, hint=hint)


def _made(name: str) -> Path:
    # Makes a folder of the cache where it is missing.
    folder = cache_folder() / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"The cache folder '{cache_folder()}' cannot be made: {error.strerror}."
        raise InputError(msg, hint="set `CELLOQUY_CACHE` to a folder of your own.") from error
    return folder


def _record(name: str) -> Path:
    return cache_folder() / "tables" / f"{name}.json"


def _folder(entry: TableEntry) -> Path:
    return cache_folder() / "tables" / f"{entry.name}-{entry.sha256[:12]}"


def _entry(name: str) -> TableEntry | None:
    # Reads the record of a table; None if the cache has none of it.
    try:
        record = json.loads(_record(name).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise _damaged(name) from error
    if not isinstance(record, dict) or set(record) != {field.name for field in fields(TableEntry)}:
        raise _damaged(name)
    entry = TableEntry(**record)
    if entry.schema_version != SCHEMA_VERSION:
        msg = f"The table {name!r} in the cache was written by another version of celloquy."
        raise InputError(msg, hint=f"`celloquy data get {name} --overwrite` writes it anew.")
    if entry.name != name or not re.fullmatch(r"[0-9a-f]{64}", str(entry.sha256)):
        raise _damaged(name)
    return entry


def _is_whole(entry: TableEntry) -> bool:
    """Say whether both kept files still have their hashes."""
    folder = _folder(entry)
    kept, table = folder / "original", folder / "table.parquet"
    return (
        kept.is_file()
        and table.is_file()
        and sha256_of(kept) == entry.sha256
        and sha256_of(table) == entry.table_sha256
    )


def _keep(name: str, path: Path, *, file: str, origin: str, last_modified: str) -> TableEntry:
    """Parse a file, put it and its table into a folder of their own, then point to that."""
    table = parse_table(name, path)
    before = _entry_or_none(name)
    tables = _made("tables")
    sha256 = sha256_of(path)
    with atomic_path(tables / f"{name}-{sha256[:12]}", overwrite=True) as folder:
        folder.mkdir()
        shutil.copyfile(path, folder / "original")
        table.to_parquet(folder / "table.parquet", index=False)
        table_sha256 = sha256_of(folder / "table.parquet")
    entry = TableEntry(
        name=name,
        sha256=sha256,
        size=path.stat().st_size,
        rows=len(table),
        origin=origin,
        file=file,
        licence=source_of(name).licence,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        last_modified=last_modified,
        table_sha256=table_sha256,
    )
    with atomic_path(_record(name), overwrite=True) as record:
        record.write_text(json.dumps(asdict(entry), indent=1) + "\n", encoding="utf-8")
    if before is not None and before.sha256 != sha256:
        shutil.rmtree(_folder(before), ignore_errors=True)
    return entry


def _entry_or_none(name: str) -> TableEntry | None:
    """Read the record of a table; a damaged one counts as none, since it is being replaced."""
    try:
        return _entry(name)
    except InputError:
        return None
