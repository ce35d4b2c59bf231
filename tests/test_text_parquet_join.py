"""Parquet files put end to end; pyarrow says what they hold."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from celloquy.text._parquet_join import join_parquet


def write_part(path, seed, n_rows, **options):
    """Write rows of several types, some missing, in row groups of 7."""
    rng = np.random.default_rng(seed)
    words = [None if i % 5 == 0 else f"cell {rng.integers(40)} ä" for i in range(n_rows)]
    lists = [rng.integers(0, 60_000, rng.integers(0, 9)).tolist() for _ in range(n_rows)]
    table = pa.table(
        {
            "word": pa.array(words, pa.string()),
            "genes": pa.array(lists, pa.list_(pa.uint16())),
            "share": pa.array(rng.random(n_rows)),
            "is_doublet": pa.array(rng.random(n_rows) > 0.5),
        }
    )
    with pq.ParquetWriter(path, table.schema, **options) as writer:
        if n_rows:
            writer.write_table(table, 7)
        writer.add_key_value_metadata({"record": f"part {seed}", "other": "stays"})
    return table


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zstd", "use_dictionary": ["word"], "store_schema": True},
        {"compression": "none", "use_dictionary": True, "write_statistics": False},
        {"compression": "snappy", "write_page_index": True, "data_page_version": "2.0"},
    ],
    ids=["zstd", "plain", "page index"],
)
def test_joined_files_hold_the_rows_of_all_in_order(tmp_path, options):
    parts = [tmp_path / f"{i}.parquet" for i in range(4)]
    sizes = (130, 0, 7, 25)
    tables = [write_part(parts[i], i, n, **options) for i, n in enumerate(sizes)]
    join_parquet(parts, tmp_path / "all.parquet", {})
    assert pq.read_table(tmp_path / "all.parquet") == pa.concat_tables(tables)
    metadata = pq.read_metadata(tmp_path / "all.parquet")
    assert metadata.num_rows == 162
    assert metadata.num_row_groups == 19 + 0 + 1 + 4


def test_each_row_group_of_a_joined_file_is_read_alone(tmp_path):
    parts = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    tables = [write_part(part, i, 20) for i, part in enumerate(parts)]
    join_parquet(parts, tmp_path / "all.parquet", {})
    with pq.ParquetFile(tmp_path / "all.parquet") as opened:
        assert opened.read_row_group(3) == tables[1].slice(0, 7)
        assert opened.metadata.row_group(4).column(2).statistics.min == pytest.approx(
            min(tables[1]["share"].to_pylist()[7:14])
        )


def test_given_facts_replace_those_of_the_first_part(tmp_path):
    parts = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    for i, part in enumerate(parts):
        write_part(part, i, 3)
    long = b"x" * 1_000
    join_parquet(parts, tmp_path / "all.parquet", {b"record": long})
    facts = pq.read_metadata(tmp_path / "all.parquet").metadata
    assert facts[b"record"] == long
    assert facts[b"other"] == b"stays"


def test_one_file_joined_alone_is_the_same_table(tmp_path):
    table = write_part(tmp_path / "0.parquet", 0, 33)
    join_parquet([tmp_path / "0.parquet"], tmp_path / "all.parquet", {})
    assert pq.read_table(tmp_path / "all.parquet") == table
