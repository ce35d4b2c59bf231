"""Sentences as Arrow tables and Parquet files, with the record of where they come from."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from celloquy._runtime import atomic_path, closest
from celloquy.errors import InputError
from celloquy.text._obs_columns import ObsColumns, column_type
from celloquy.text._ranked import RankedCells
from celloquy.text._sentences import CellSentences, part_of
from celloquy.text._styles import FeatureForm, Style
from celloquy.text._vocabulary import Vocabulary

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

SCHEMA = 1
"""Version of the record and of the columns."""
KEY = b"celloquy"
"""Key of the record in the metadata of the schema."""
ROW_GROUP = 10_000
"""Cells a row group holds."""
COLUMNS = ("obs_name", "text", "genes", "n_named", "n_cut", "values")
"""Columns of ours; obs columns may not take their names."""


def record_of(sentences: CellSentences) -> dict[str, Any]:
    """Give all that is needed to read the sentences back, as JSON has it."""
    vocabulary = sentences.ranked.vocabulary
    return {
        **sentences.record,
        "schema": SCHEMA,
        "kind": "sentences",
        "style": asdict(sentences.style),
        "obs_features": list(sentences.obs_features),
        "vocabulary": {
            "names": vocabulary.names,
            "ids": vocabulary.ids,
            "fingerprint": vocabulary.fingerprint,
        },
    }


def cut_of(ranked: RankedCells) -> dict[str, int]:
    """Count what the sentences do not name."""
    return {
        "n_obs": ranked.n_obs,
        "n_genes_named": int(ranked.offsets[-1]),
        "n_genes_cut": int(ranked.cut.sum(dtype=np.int64)),
        "n_cells_cut": int((ranked.cut > 0).sum()),
    }


def refuse_reserved(columns: list[str]) -> None:
    """Refuse obs columns that have the name of one of ours.

    Raises
    ------
    InputError
        If there is one.
    """
    taken = [column for column in columns if column in COLUMNS]
    if taken:
        msg = f"An obs column is named {taken[0]!r}, as a column of the sentences is."
        raise InputError(msg, hint=f"rename it; taken are: {', '.join(COLUMNS)}.")


def schema_of(obs: pd.DataFrame, vocabulary: Vocabulary, *, values: bool) -> pa.Schema:
    """Give the columns' types, the same for every part of one source.

    Raises
    ------
    InputError
        If an obs column has the name of one of ours.
    """
    names = [str(column) for column in obs.columns]
    refuse_reserved(names)
    position = pa.uint16() if len(vocabulary) <= 2**16 else pa.int32()
    fields = [
        pa.field("obs_name", pa.string()),
        pa.field("text", pa.large_string()),
        pa.field("genes", pa.list_(position)),
        pa.field("n_named", pa.int32()),
        pa.field("n_cut", pa.int32()),
    ]
    if values:
        fields.append(pa.field("values", pa.list_(pa.float32())))
    fields += [pa.field(str(name), column_type(obs[name])) for name in obs.columns]
    return pa.schema(fields)


def rows_of(
    sentences: CellSentences, schema: pa.Schema, beside: dict[str, pa.Array]
) -> pa.RecordBatch:
    """Give sentences as rows of the schema, with the cells' names and obs columns `beside`.

    The rows share no memory with the ranked cells.
    """
    ranked = sentences.ranked
    offsets = pa.array(ranked.offsets.astype(np.int32))
    position = schema.field("genes").type.value_type
    columns: dict[str, Any] = {
        "text": sentences.to_text(),
        "genes": _lists(offsets, ranked.genes.astype(position.to_pandas_dtype())),
        "n_named": pa.array(ranked.lengths.astype(np.int32)),
        "n_cut": pa.array(ranked.cut.astype(np.int32)),
        "values": _lists(offsets, np.array(ranked.values)) if "values" in schema.names else None,
        **beside,
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def _lists(offsets: pa.Array, flat: NDArray[Any]) -> pa.ListArray:
    return pa.ListArray.from_arrays(offsets, pa.array(flat))


def to_table(sentences: CellSentences, *, values: bool) -> pa.Table:
    """Give sentences as a table whose schema carries the record."""
    schema = schema_of(sentences.obs, sentences.ranked.vocabulary, values=values)
    beside = ObsColumns.of(sentences.obs, schema).rows(0, len(sentences))
    table = pa.Table.from_batches([rows_of(sentences, schema, beside)])
    record = {**record_of(sentences), "cut": cut_of(sentences.ranked)}
    return table.replace_schema_metadata({KEY: json.dumps(record)})


@contextmanager
def parquet_writer(path: Path, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """Open a Parquet file for sentences: texts plain, genes and obs as dictionaries, zstd."""
    words = [name for name in schema.names if name not in COLUMNS]
    with pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=["genes.list.element", *words],
        write_statistics=["n_named", "n_cut"],
        store_schema=True,
    ) as writer:
        yield writer


def write_whole(
    sentences: CellSentences, path: str | os.PathLike[str], *, values: bool, overwrite: bool
) -> None:
    """Write sentences that are in memory as one Parquet file.

    Raises
    ------
    InputError
        If `path` exists and `overwrite` is false, or cannot be written.
    """
    schema = schema_of(sentences.obs, sentences.ranked.vocabulary, values=values)
    record = {**record_of(sentences), "cut": cut_of(sentences.ranked)}
    obs = ObsColumns.of(sentences.obs, schema)
    with (
        atomic_path(path, overwrite=overwrite) as temporary,
        parquet_writer(temporary, schema) as writer,
    ):
        for start in range(0, len(sentences), ROW_GROUP):
            stop = min(start + ROW_GROUP, len(sentences))
            part = part_of(sentences, start, stop)
            writer.write_batch(rows_of(part, schema, obs.rows(start, stop)))
        writer.add_key_value_metadata({KEY: json.dumps(record)})


def read_sentences(path: str | os.PathLike[str]) -> CellSentences:
    """Read sentences that :func:`write_sentences` or `CellSentences.write` wrote.

    Parameters
    ----------
    path
        A Parquet file, or a folder of parts.

    Returns
    -------
    The sentences; `values` of the ranked cells are NaN where they were not written.

    Raises
    ------
    InputError
        If there is no such file, or it does not hold sentences of celloquy.
    """
    parts = list(stream_sentences(path))
    if len(parts) == 1:
        return parts[0]
    ranked = RankedCells.concatenate([part.ranked for part in parts])
    obs = pd.concat([part.obs for part in parts])
    first = parts[0]
    return CellSentences(ranked, obs, first.style, first.obs_features, first.record)


def stream_sentences(path: str | os.PathLike[str]) -> Iterator[CellSentences]:
    """Read sentences row group by row group, in memory bounded by a row group.

    Parameters
    ----------
    path
        A Parquet file, or a folder of parts.

    Yields
    ------
    The sentences of one row group; at least one, of no cells where there are none.

    Raises
    ------
    InputError
        If there is no such file, or it does not hold sentences of celloquy.
    """
    path = Path(path)
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files or not files[0].exists():
        msg = f"There are no sentences at '{path}'."
        raise InputError(msg, hint="give the Parquet file, or the folder of its parts.")
    vocabulary = None
    for file in files:
        record = read_record(file)
        named = record["vocabulary"]
        if vocabulary is None or named["fingerprint"] != vocabulary.fingerprint:
            ids = None if named["ids"] is None else tuple(named["ids"])
            vocabulary = Vocabulary(tuple(named["names"]), ids)
        with pq.ParquetFile(file) as opened:
            for group in range(opened.num_row_groups):
                yield _from_table(opened.read_row_group(group), record, vocabulary)
            if not opened.num_row_groups:
                yield _from_table(opened.schema_arrow.empty_table(), record, vocabulary)


def read_record(path: Path) -> dict[str, Any]:
    """Read the record of a Parquet file of sentences.

    Raises
    ------
    InputError
        If the file is no Parquet file, or has no record, or one of a later version.
    """
    try:
        metadata: Mapping[bytes, bytes] = pq.read_metadata(path).metadata or {}
    except pa.ArrowInvalid as error:
        msg = f"'{path}' is not a whole Parquet file: {error}"
        raise InputError(msg, hint="write the sentences again.") from error
    if KEY not in metadata:
        msg = f"'{path}' is a Parquet file, but holds no sentences of celloquy."
        raise InputError(msg, hint="`celloquy sentences` writes such files.")
    record: dict[str, Any] = json.loads(metadata[KEY])
    if record.get("kind") != "sentences" or record.get("schema", 0) > SCHEMA:
        what = f"{record.get('kind')!r}, version {record.get('schema')}"
        msg = f"'{path}' holds {what}; this celloquy reads sentences up to version {SCHEMA}."
        raise InputError(msg, hint="install a newer celloquy.")
    return record


def _from_table(table: pa.Table, record: dict[str, Any], vocabulary: Vocabulary) -> CellSentences:
    table = table.combine_chunks()
    lengths = table["n_named"].to_numpy().astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    genes = _flat(table, "genes").astype(np.int32)
    if "values" in table.column_names:
        values = _flat(table, "values")
    else:
        values = np.full(len(genes), np.nan, dtype=np.float32)
    cut = table["n_cut"].to_numpy().astype(np.int32)
    obs = table.select([name for name in table.column_names if name not in COLUMNS]).to_pandas()
    obs.index = pd.Index(table["obs_name"].to_pylist(), dtype=object)
    ranked = RankedCells(genes, offsets, values, cut, vocabulary)
    style = style_of(record["style"])
    return CellSentences(ranked, obs, style, tuple(record["obs_features"]), record)


def _flat(table: pa.Table, name: str) -> NDArray[Any]:
    flat: NDArray[Any] = table[name].combine_chunks().flatten().to_numpy()
    return flat


def style_of(held: dict[str, Any]) -> Style:
    """Make the style that a record holds.

    Raises
    ------
    InputError
        If the record holds what no style has.
    """
    known = Style.__dataclass_fields__
    for name in held:
        if name not in known:
            msg = f"A style has no {name!r}{closest(name, known)}."
            raise InputError(msg, hint="install a newer celloquy.")
    features = held.get("features")
    ready = {**held, "lead": tuple(held["lead"]), "tail": tuple(held["tail"])}
    return Style(**{**ready, "features": None if features is None else FeatureForm(**features)})
