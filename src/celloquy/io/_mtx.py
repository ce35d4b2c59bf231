"""10x folders: ``matrix.mtx`` with its barcodes and genes, of Cell Ranger 2 and 3."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv

from celloquy.errors import InputError
from celloquy.io._features import kept_features
from celloquy.io._rows import ColumnRows, RowReader
from celloquy.io._spool import Spool
from celloquy.io._stream import MatrixStream
from celloquy.io._tables import FrameTables, identity_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

BLOCK_BYTES = 16 * 2**20
"""Text parsed at once."""
ANY_COPY = "copy the file again from where it came from."


def matrix_file(folder: Path) -> Path | None:
    """Find the one matrix of a 10x folder, with or without a prefix; None if there is none.

    Raises
    ------
    InputError
        If there are several.
    """
    found = sorted([*folder.glob("*matrix.mtx"), *folder.glob("*matrix.mtx.gz")])
    if len(found) > 1:
        names = ", ".join(path.name for path in found[:4])
        msg = f"The folder '{folder.name}' holds {len(found)} matrices: {names}."
        raise InputError(msg, hint="pass the path of one of them, such as its matrix.mtx.gz.")
    return found[0] if found else None


def stream_mtx(path: Path) -> MatrixStream:
    """Stream the matrix file of a 10x folder; its names lie beside it.

    Raises
    ------
    InputError
        If a file is missing, cut off or damaged, or the sizes do not fit.
    """
    barcodes = _names(path, ("barcodes.tsv",), "cells")
    features = _names(path, ("features.tsv", "genes.tsv"), "genes")
    where = f"'{path.name}'"
    with _open_text(path) as file:
        try:
            rows = _rows(file, where, n_obs=len(barcodes), n_vars=len(features))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            msg = f"{where} is cut off or damaged: its gzip data end too early."
            raise InputError(msg, hint=ANY_COPY) from error
    obs = pd.DataFrame(index=pd.Index(barcodes[0].to_numpy(object)))
    var, kept, notes = kept_features(_var(features), source=path.name)
    stream = MatrixStream(
        rows if kept.all() else ColumnRows(rows, kept),
        FrameTables(obs, var),
        source=path.parent.name or path.name,
        format="10x mtx",
        identity=identity_of(path),
    )
    stream.notes = notes
    return stream


def _names(path: Path, endings: tuple[str, ...], things: str) -> pd.DataFrame:
    """Read the table beside a matrix that names its cells or genes.

    Raises
    ------
    InputError
        If it is missing.
    """
    prefix = path.name.partition("matrix.mtx")[0]
    wanted = [prefix + ending + packed for ending in endings for packed in (".gz", "")]
    found = next((path.with_name(name) for name in wanted if path.with_name(name).is_file()), None)
    if found is None:
        msg = f"'{path.parent.name}' has '{path.name}' but none of {', '.join(wanted)}."
        raise InputError(msg, hint=f"put the file that names the {things} beside the matrix.")
    return pd.read_csv(
        found, sep="\t", header=None, dtype=str, keep_default_na=False, quoting=3, encoding="utf-8"
    )


def _var(features: pd.DataFrame) -> pd.DataFrame:
    """Name genes by symbol where there is one, as Cell Ranger's columns say."""
    if features.shape[1] == 1:
        return pd.DataFrame(index=pd.Index(features[0].to_numpy(object)))
    columns = {"gene_ids": features[0].to_numpy(object)}
    if features.shape[1] > 2:
        columns["feature_types"] = features[2].to_numpy(object)
    return pd.DataFrame(columns, index=pd.Index(features[1].to_numpy(object)))


def _open_text(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _rows(file: IO[bytes], where: str, *, n_obs: int, n_vars: int) -> RowReader:
    """Parse the text once into rows, sorted by cell or not.

    Raises
    ------
    InputError
        If its sides are not the numbers of cells and genes.
    """
    kind, first, second, n_entries = _header(file, where)
    is_by_gene = (first, second) == (n_vars, n_obs)
    if not is_by_gene and (first, second) != (n_obs, n_vars):
        msg = (
            f"{where} is {first:,} by {second:,}, but beside it {n_vars:,} genes and "
            f"{n_obs:,} cells are named."
        )
        raise InputError(msg, hint="put barcodes, genes and matrix of the same run together.")
    spool = Spool(n_vars=n_vars, dtype=np.dtype(np.float64), where=where, narrow=True)
    entries = _entries(file, where, n_entries=n_entries, is_pattern=kind == "pattern")
    placed = ((b, a, v) if is_by_gene else (a, b, v) for a, b, v in entries)
    spool.append_entries(placed, n_obs=n_obs, n_entries=n_entries)
    return spool.finish()


def _header(file: IO[bytes], where: str) -> tuple[str, int, int, int]:
    """Read kind of values, both sides and the number of entries.

    Raises
    ------
    InputError
        If these lines are not those of a sparse matrix.
    """
    banner = file.readline().decode("utf-8", "replace").lower().split()
    is_known = (
        len(banner) == 5
        and banner[:3] == ["%%matrixmarket", "matrix", "coordinate"]
        and banner[3] in {"integer", "real", "pattern"}
        and banner[4] == "general"
    )
    if not is_known:
        msg = f"{where} is no sparse Matrix Market file: it begins with {' '.join(banner)[:60]!r}."
        raise InputError(msg, hint="pass the folder that Cell Ranger or STARsolo wrote.")
    line = file.readline()
    while line.startswith(b"%") or line == b"\n":
        line = file.readline()
    parts = line.split()
    if len(parts) != 3 or not all(part.isdigit() for part in parts):
        msg = f"{where} is cut off or damaged: the line of its size is {line[:60]!r}."
        raise InputError(msg, hint=ANY_COPY)
    first, second, n_entries = (int(part) for part in parts)
    return banner[3], first, second, n_entries


def _entries(
    file: IO[bytes], where: str, *, n_entries: int, is_pattern: bool
) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """Give entries block by block, counted from 0.

    Raises
    ------
    InputError
        If there are fewer or more than the header says.
    """
    names = ["first", "second"] if is_pattern else ["first", "second", "value"]
    done = 0
    for text in text_blocks(file):
        table = _parsed(text, names, where, done)
        first, second = (table[name] - 1 for name in names[:2])
        yield first, second, np.ones(len(first)) if is_pattern else table["value"]
        done += len(first)
    if done != n_entries:
        msg = f"{where} is cut off or damaged: it names {n_entries:,} entries and holds {done:,}."
        raise InputError(msg, hint=ANY_COPY)


def text_blocks(file: IO[bytes]) -> Iterator[bytes]:
    """Cut the rest of a text into blocks of whole lines."""
    rest = b""
    while read := file.read(BLOCK_BYTES):
        head, newline, tail = read.rpartition(b"\n")
        if newline:
            yield rest + head + newline
            rest = tail
        else:
            rest += tail
    if rest.strip():
        yield rest


def _parsed(text: bytes, names: list[str], where: str, done: int) -> dict[str, NDArray[Any]]:
    types = {name: pa.float64() if name == "value" else pa.int64() for name in names}
    try:
        table = pa_csv.read_csv(
            io.BytesIO(text),
            read_options=pa_csv.ReadOptions(column_names=names),
            parse_options=pa_csv.ParseOptions(delimiter=" "),
            convert_options=pa_csv.ConvertOptions(column_types=types),
        )
        return {name: table[name].to_numpy() for name in names}
    except pa.ArrowInvalid:  # other white space, or no numbers: the patient parser tells
        return _patiently_parsed(text, names, where, done)


def _patiently_parsed(
    text: bytes, names: list[str], where: str, done: int
) -> dict[str, NDArray[Any]]:
    dtypes = {name: np.float64 if name == "value" else np.int64 for name in names}
    try:
        frame = pd.read_csv(io.BytesIO(text), sep=r"\s+", header=None, names=names, dtype=dtypes)
    except (ValueError, pd.errors.ParserError) as error:
        msg = f"{where} holds a line that is no entry, after {done:,} entries: {error}"
        raise InputError(msg, hint=ANY_COPY) from error
    return {name: frame[name].to_numpy() for name in names}
