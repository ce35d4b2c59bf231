"""Text tables: cells by genes in ``.csv`` or ``.tsv``, packed with gzip or not.

The first line names the genes, the first column the cells. A table with genes in its lines
is read with ``transpose=True``; which of the two a table is, is never guessed here.
"""

from __future__ import annotations

import csv
import gzip
import warnings
import zlib
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from celloquy.errors import InputError
from celloquy.io._rows import RowBlock, dense_block
from celloquy.io._spool import Spool
from celloquy.io._stream import MatrixStream
from celloquy.io._tables import FrameTables, identity_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

BLOCK_VALUES = 8 * 2**20
"""About the values parsed at once."""
DELIMITERS = "\t,;"
INDEX_HEADERS = {"", "index", "cell", "cells", "cell_id", "cellid", "barcode", "barcodes", "gene"}


def stream_table(path: Path, *, transpose: bool) -> MatrixStream:
    """Stream a text table; it is parsed once, in bounded memory.

    Raises
    ------
    InputError
        If it is cut off, has lines of different length, or holds text among its values.
    """
    try:
        return _stream(path, transpose=transpose)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        msg = f"'{path.name}' is cut off or damaged: its gzip data end too early."
        raise InputError(msg, hint="copy the file again from where it came from.") from error
    except UnicodeDecodeError as error:
        msg = f"'{path.name}' is no UTF-8 text: {error.reason} at byte {error.start:,}."
        raise InputError(msg, hint="write the table again as UTF-8.") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        msg = f"'{path.name}' is no table: {error}"
        raise InputError(msg, hint="give every line one name and one value a column.") from error


def _stream(path: Path, *, transpose: bool) -> MatrixStream:
    columns, delimiter = _header(path)
    where = f"table '{path.name}'"
    names: list[NDArray[Any]] = []
    blocks = _blocks(path, columns, delimiter=delimiter, names=names)
    n_lines = _n_lines(path) - 1 if transpose else 0
    n_vars = n_lines if transpose else len(columns)
    spool = Spool(n_vars=n_vars, dtype=np.dtype(np.float64), where=where, narrow=True)
    if transpose:
        n_entries = n_lines * len(columns) // 5
        entries = _entries_by_gene(blocks)
        spool.append_entries(entries, n_obs=len(columns), n_entries=n_entries)
    else:
        for block in blocks:
            spool.append(block)
    lines = np.concatenate([*names, np.empty(0, object)])
    cells, genes = (columns, lines) if transpose else (lines, columns)
    return MatrixStream(
        spool.finish(),
        FrameTables(pd.DataFrame(index=pd.Index(cells)), pd.DataFrame(index=pd.Index(genes))),
        source=path.name,
        format="table",
        identity=identity_of(path),
    )


def _open_text(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _n_lines(path: Path) -> int:
    with _open_text(path) as file:
        return sum(1 for line in file if line.strip())


def _header(path: Path) -> tuple[list[str], str]:
    """Read the names of the columns, and find what separates them.

    Raises
    ------
    InputError
        If the first line is no header.
    """
    with _open_text(path) as file:
        first, second = file.readline(), file.readline()
    delimiter = max(DELIMITERS, key=first.count)
    if not first.count(delimiter):
        msg = f"'{path.name}' is no table: its first line {first[:60]!r} has one column."
        raise InputError(msg, hint="separate columns by tabs or commas.")
    header = next(csv.reader([first], delimiter=delimiter))
    width = len(next(csv.reader([second], delimiter=delimiter), header))
    if width == len(header) + 1:  # as R writes it: no name over the column of names
        return header, delimiter
    if header[0].strip().lower() not in INDEX_HEADERS:
        msg = f"The first column of '{path.name}', {header[0]!r}, is taken for names, not values."
        warnings.warn(msg, stacklevel=2)
    return header[1:], delimiter


def _blocks(
    path: Path, columns: list[str], *, delimiter: str, names: list[NDArray[Any]]
) -> Iterator[RowBlock]:
    """Parse the lines below the header; their names are appended to `names`."""
    with _open_text(path) as file:
        frames = pd.read_csv(
            file,
            sep=delimiter,
            header=None,
            names=range(len(columns) + 1),
            skiprows=1,
            converters={0: str},
            chunksize=max(1, BLOCK_VALUES // max(1, len(columns))),
            low_memory=False,
            index_col=False,
        )
        try:
            for frame in frames:
                _refuse_text(frame, columns, path.name)
                names.append(frame[0].to_numpy(object))
                yield dense_block(frame.iloc[:, 1:].to_numpy(np.float64))
        except pd.errors.EmptyDataError:  # a header alone: no cells
            return


def _refuse_text(frame: pd.DataFrame, columns: list[str], source: str) -> None:
    for number, dtype in enumerate(frame.dtypes):
        if number and dtype.kind not in "iufb":
            values = pd.to_numeric(frame[number], errors="coerce")
            text = frame[number][values.isna() & frame[number].notna()]
            shown = repr(text.iloc[0]) if len(text) else str(dtype)
            msg = f"Column {columns[number - 1]!r} of '{source}' holds text, such as {shown}."
            raise InputError(msg, hint="leave out what is no expression; keep labels elsewhere.")


def _entries_by_gene(
    blocks: Iterator[RowBlock],
) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """Turn lines of genes into entries (cell, gene, value)."""
    done = 0
    for indptr, cells, values in blocks:
        genes = np.repeat(np.arange(done, done + len(indptr) - 1), np.diff(indptr))
        yield cells, genes, values
        done += len(indptr) - 1
