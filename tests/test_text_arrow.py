"""Sentences on disk: whole or absent, read back, and gone on with after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import anndata as ad
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp

from celloquy.errors import InputError
from celloquy.text import _write
from celloquy.text._arrow import read_sentences, stream_sentences, style_of
from celloquy.text._gene_choice import GeneOptions
from celloquy.text._sentences import sentences
from celloquy.text._write import WriteOptions, write_sentences

CHUNKED = WriteOptions(chunk_size=7, part_size=50)


@pytest.fixture
def cells() -> ad.AnnData:
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {
            "type": pd.Categorical(rng.choice(["T", "B", None], 120)),
            "n": pd.array(rng.integers(0, 9, 120), dtype="Int64"),
            "share": rng.random(120).astype("float32"),
            "ok": rng.random(120) > 0.5,
        },
        index=[f"c{i}" for i in range(120)],
    )
    x = sp.random(120, 40, 0.3, format="csr", random_state=0, dtype=np.float32)
    return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=[f"G{i}" for i in range(40)]))


def assert_same(one, other) -> None:
    assert one.text.to_dict() == other.text.to_dict()
    assert one.ranked.genes.tolist() == other.ranked.genes.tolist()
    assert one.n_cut.tolist() == other.n_cut.tolist()
    assert one.ranked.vocabulary.names == other.ranked.vocabulary.names


@pytest.mark.parametrize("files", [WriteOptions(), CHUNKED])
@pytest.mark.parametrize("name", ["out.parquet", "folder"])
def test_what_is_written_is_read_back(cells, tmp_path, files, name):
    written = write_sentences(
        cells, tmp_path / name, n_top_genes=5, style="cellama", obs_features=["type"], files=files
    )
    wanted = sentences(cells, n_top_genes=5, style="cellama", obs_features=["type"])
    found = read_sentences(tmp_path / name)
    assert_same(found, wanted)
    assert found.obs["n"].tolist() == cells.obs["n"].tolist()
    assert (found.obs["type"].isna() == cells.obs["type"].isna()).all()
    assert written.n_obs == 120
    assert written.n_genes_cut == wanted.n_cut.sum()
    assert sum(len(part) for part in stream_sentences(tmp_path / name)) == 120
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_in_memory_is_written_as_the_streamed_one(cells, tmp_path):
    sentences(cells).write(tmp_path / "a.parquet", values=True)
    write_sentences(cells, tmp_path / "b.parquet", files=WriteOptions(values=True))
    one, other = (pq.read_table(tmp_path / name) for name in ("a.parquet", "b.parquet"))
    assert one.equals(other)
    back = read_sentences(tmp_path / "a.parquet").ranked.values
    assert np.array_equal(back, sentences(cells).ranked.values)


def test_values_that_were_not_written_are_missing(cells, tmp_path):
    sentences(cells).write(tmp_path / "a.parquet")
    assert np.isnan(read_sentences(tmp_path / "a.parquet").ranked.values).all()


def test_the_files_text_is_the_text_that_reading_gives(cells, tmp_path):
    write_sentences(cells, tmp_path / "a.parquet", style="{obs:n}: {genes}", files=CHUNKED)
    stored = pq.read_table(tmp_path / "a.parquet")["text"].to_pylist()
    assert read_sentences(tmp_path / "a.parquet").text.tolist() == stored


def test_the_record_says_what_was_cut_and_where_it_comes_from(cells, tmp_path):
    write_sentences(
        cells, tmp_path / "a.parquet", n_top_genes=5, genes=GeneOptions(exclude=("G1",)),
        files=CHUNKED,
    )  # fmt: skip
    record = json.loads(pq.read_metadata(tmp_path / "a.parquet").metadata[b"celloquy"])
    cut = sentences(cells, n_top_genes=5, genes=GeneOptions(exclude=("G1",))).n_cut
    assert record["cut"]["n_genes_cut"] == cut.sum()
    assert record["cut"]["n_cells_cut"] == (cut > 0).sum()
    assert record["n_top_genes"] == 5
    assert record["genes"]["exclude"] == ["G1"]
    assert "G1" not in record["vocabulary"]["names"]
    assert record["source"]
    assert str(tmp_path) not in json.dumps(record)


@pytest.mark.slow
def test_datasets_opens_the_file_and_the_parts(cells, tmp_path, monkeypatch):
    import datasets

    datasets.disable_progress_bars()
    write_sentences(cells, tmp_path / "a.parquet", files=CHUNKED)
    write_sentences(cells, tmp_path / "parts", files=CHUNKED)
    for files in ("a.parquet", "parts/*.parquet"):
        opened = datasets.load_dataset(
            "parquet", data_files=str(tmp_path / files), cache_dir=str(tmp_path / "cache")
        )["train"]
        assert opened["text"][:] == sentences(cells).text.tolist()
        assert opened[0]["genes"] == sentences(cells).ranked.genes[: opened[0]["n_named"]].tolist()


def test_nothing_is_overwritten_unasked(cells, tmp_path):
    write_sentences(cells, tmp_path / "a.parquet")
    with pytest.raises(InputError, match="exists already"):
        write_sentences(cells, tmp_path / "a.parquet")
    write_sentences(cells[:5].copy(), tmp_path / "a.parquet", files=WriteOptions(overwrite=True))
    assert len(read_sentences(tmp_path / "a.parquet")) == 5


def test_parts_of_another_run_are_refused(cells, tmp_path):
    write_sentences(cells, tmp_path / "parts", files=CHUNKED)
    write_sentences(cells, tmp_path / "parts", files=CHUNKED)
    with pytest.raises(InputError, match=r"n_top_genes` was 200 and is 7"):
        write_sentences(cells, tmp_path / "parts", n_top_genes=7, files=CHUNKED)


def test_only_the_named_obs_columns_are_written_and_those_the_style_reads(cells, tmp_path):
    files = WriteOptions(obs_columns=("n",))
    write_sentences(cells, tmp_path / "a.parquet", obs_features=["ok"], files=files)
    assert read_sentences(tmp_path / "a.parquet").obs.columns.tolist() == ["n", "ok"]
    with pytest.raises(InputError, match="no column 'tipe'; the closest is 'type'"):
        write_sentences(cells, tmp_path / "b.parquet", files=WriteOptions(obs_columns=("tipe",)))


def test_an_obs_column_with_the_name_of_ours_is_refused(cells, tmp_path):
    cells.obs["text"] = "x"
    with pytest.raises(InputError, match="An obs column is named 'text'"):
        write_sentences(cells, tmp_path / "a.parquet")


def test_a_row_group_ends_where_its_bytes_are_enough(cells, tmp_path, monkeypatch):
    monkeypatch.setattr(_write, "GROUP_BYTES", 2_000)
    write_sentences(cells, tmp_path / "out.parquet", files=WriteOptions(chunk_size=10))
    metadata = pq.read_metadata(tmp_path / "out.parquet")
    rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    assert sum(rows) == 120
    assert max(rows) < 100
    assert_same(read_sentences(tmp_path / "out.parquet"), sentences(cells))


@pytest.mark.parametrize("name", ["chunk_size", "part_size"])
def test_sizes_below_one_are_refused(name):
    with pytest.raises(InputError, match=f"`{name}` must be at least 1, got 0"):
        WriteOptions(**{name: 0})


def test_what_holds_no_sentences_is_refused(tmp_path):
    with pytest.raises(InputError, match="There are no sentences at"):
        read_sentences(tmp_path / "nothing.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match="is not a whole Parquet file"):
        read_sentences(tmp_path / "broken.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(InputError, match="holds no sentences of celloquy"):
        read_sentences(tmp_path / "other.parquet")
    later = pa.table({"a": [1]}).replace_schema_metadata(
        {"celloquy": json.dumps({"kind": "sentences", "schema": 99})}
    )
    pq.write_table(later, tmp_path / "later.parquet")
    with pytest.raises(InputError, match="version 99; this celloquy reads"):
        read_sentences(tmp_path / "later.parquet")
    with pytest.raises(InputError, match="A style has no 'colour'"):
        style_of({"colour": "red"})


KILLED = """
import os, signal, sys
from celloquy.text import _write
done = _write._Writing.write
def write(self, shard, path):
    if shard.number == 2:
        path.write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    return done(self, shard, path)
_write._Writing.write = write
_write.write_sentences(sys.argv[1], sys.argv[2], files=_write.WriteOptions(part_size=50))
"""


@pytest.mark.slow
def test_a_killed_run_leaves_no_file_and_goes_on(cells, tmp_path):
    cells.write_h5ad(tmp_path / "cells.h5ad")
    out = tmp_path / "out.parquet"
    command = [sys.executable, "-c", KILLED, str(tmp_path / "cells.h5ad"), str(out)]
    run = subprocess.run(command, check=False, env={**os.environ})
    assert run.returncode == -signal.SIGKILL
    assert not out.exists()
    part = tmp_path / ".out.parquet.parts" / "part-00000.parquet"
    before = part.stat().st_ino
    kept = tmp_path / "kept"
    os.link(part, kept)
    write_sentences(tmp_path / "cells.h5ad", out, files=WriteOptions(part_size=50))
    assert kept.stat().st_ino == before
    assert kept.stat().st_nlink == 1
    assert_same(read_sentences(out), sentences(cells))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cells.h5ad", "kept", "out.parquet"]
