"""How a model wants its cells: written beside its weights, read back, refused where damaged."""

from __future__ import annotations

import json

import pytest

from celloquy.errors import CheckpointError
from celloquy.lm import CellReading, read_reading

GENES = "symbol\tmedian\tensembl\nCD3E\t2\tENSG00000198851\nLYZ\t3\t\n"
TOLD = {
    "n_top_genes": 100,
    "n_genes": (50, 100),
    "rank_by": "specificity",
    "genes": "mine.tsv",
    "organisms": ("human", "mouse"),
    "labels": {"cell_type": ("B cell", "T cell")},
    "templates": {"cell_type": 0, "pseudo_cell": 2},
    "embedding": {"layer": 3},
    "drawing": {"pseudo_cell": {"temperature": 0.8, "guidance_scale": 2.0}},
    "about": {"card": "README.md"},
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine.tsv").write_text(GENES)
    (tmp_path / "model").mkdir()
    CellReading(**TOLD, folder=tmp_path).write(tmp_path / "model")
    return tmp_path / "model"


def test_what_is_written_is_read_back_with_its_genes(folder):
    found = read_reading([folder])
    told = {name: getattr(found, name) for name in TOLD}
    assert told == TOLD | {"genes": "genes.tsv"}
    assert found.known.median_of == {"CD3E": 2.0, "LYZ": 3.0}
    assert found.record()["genes"]["n_genes"] == 2


def test_the_first_folder_that_says_it_is_believed_and_none_says_nothing(folder, tmp_path):
    (tmp_path / "adapter").mkdir()
    assert read_reading([tmp_path / "adapter", folder]).n_top_genes == 100
    assert read_reading([tmp_path / "adapter"]) is None


def test_a_model_of_any_genes_ranks_by_value():
    plain = CellReading()
    assert (plain.known, plain.record()) == (None, {"rank_by": "value"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, r"is of version 2; this celloquy reads up to 1"),
        ({"kind": "corpus"}, r"does not say how cells are read"),
        ({"rank_by": "mean"}, r"is damaged: n_top_genes is 100 and rank_by is 'mean'"),
        ({"n_top_genes": 0}, r"is damaged: n_top_genes is 0"),
        ({"labels": None}, r"is damaged"),
        ({"drawing": {"pseudo_cell": {"temperature": "warm"}}}, r"says temperature is 'warm'; it"),
        ({"drawing": {"pseudo_cell": {"top_p": 0.5}}}, r"`drawing` says top_p is 0.5; it takes"),
        (
            {"drawing": {"pseudo_cell": {"temperature": -1}}},
            r"damaged: `drawing` says temperature is -1",
        ),
        (
            {"drawing": {"pseudo_cell": {"guidance_scale": float("nan")}}},
            r"is damaged: `drawing` says guidance_scale is nan",
        ),
        ({"genes": "../genes.tsv"}, r"is damaged: genes is '../genes.tsv', no file beside it"),
        ({"genes": "other.tsv"}, r"names the genes 'other.tsv', which are not beside it"),
    ],
)
def test_a_damaged_file_is_refused(folder, changes, message):
    said = json.loads((folder / "reading.json").read_text())
    (folder / "reading.json").write_text(json.dumps(said | changes))
    with pytest.raises(CheckpointError, match=message):
        read_reading([folder])


def test_a_file_that_was_cut_short_is_refused(folder):
    (folder / "reading.json").write_text('{"schema": 1,')
    with pytest.raises(CheckpointError, match=r"'.*reading\.json' is damaged"):
        read_reading([folder])
