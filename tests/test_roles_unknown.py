"""Every cell that is "unknown" says why, in its column, and the reasons are counted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import celloquy as cq
from celloquy.io import write_h5ad
from celloquy.lm import EndpointOptions, ScriptedModel, load_endpoint
from celloquy.roles import PredictOptions
from celloquy.roles._unknown import as_column, counted, packed, unpacked
from labelled_cells import labelled_cells
from lm_server import chat, serving

LABELS = ["B", "NK", "T"]
UNLIKELY = "no label with a probability of 0.5"


@pytest.fixture
def adata():
    return labelled_cells(2, seed=2)


def ask(source, lm, **more):
    options = PredictOptions(n_top_genes=5, **more.pop("options", {}))
    return cq.predict(source, "cell_type", lm=lm, labels=LABELS, options=options, **more)


def test_a_cell_whose_labels_are_all_unlikely_says_so(adata):
    found = ask(adata, ScriptedModel(logp=lambda _, label: -1.2 if label == "B" else -1.3))
    assert set(found.labels) == {"unknown"}
    assert set(adata.obs["cell_type_celloquy_why"]) == {UNLIKELY}
    assert found.record["unknown_because"] == {UNLIKELY: 6}
    assert f"unknown as {UNLIKELY}: 6" in str(found)


def test_a_cell_with_a_label_has_no_reason(adata):
    found = ask(adata, ScriptedModel(answer=lambda _: "NK"))
    assert found.table["cell_type_celloquy_why"].isna().all()
    assert found.record["unknown_because"] == {}


def test_what_a_server_said_instead_stands_beside_its_cell_and_survives_a_file(adata, tmp_path):
    write_h5ad(adata, tmp_path / "cells.h5ad")
    said = iter(["T", "T", *["a T cell"] * 2, *[""] * 2, *['{"answer": "T'] * 2, "NK", "B"])

    def reply(_):
        return chat(next(said))

    with serving(reply) as server:
        lm = load_endpoint(
            f"tiny@{server.url}", options=EndpointOptions(scoring="schema", concurrency=1)
        )
        ask(tmp_path / "cells.h5ad", lm, out=tmp_path / "out.h5ad", options={"shard_size": 4})
    read = cq.read(tmp_path / "out.h5ad")
    assert read.obs["cell_type_celloquy"].tolist() == ["T", "T", *["unknown"] * 3, "NK"]
    why = read.obs["cell_type_celloquy_why"]
    assert why.isna().tolist() == [True, True, False, False, False, True]
    assert why.iloc[2:5].tolist() == [
        "not one of the 3 allowed answers: 'a T cell'",
        "an empty answer",
        """not the JSON that was asked for: '{"answer": "T'""",
    ]
    assert read.uns["cell_type_celloquy"]["unknown_because"] == {
        "an empty answer": 1,
        "not one of the 3 allowed answers": 1,
        "not the JSON that was asked for": 1,
    }


def test_a_cell_in_no_group_says_so(adata):
    adata.obs["donor"] = ["x", "x", "y", "y", None, None]
    found = cq.predict(
        adata, "multicell_tissue", lm=ScriptedModel(answer=lambda _: "blood"),
        labels=["blood", "lung"], options=PredictOptions(n_top_genes=5, group_by="donor"),
    )  # fmt: skip
    why = found.table["multicell_tissue_celloquy_why"]
    assert why.isna().tolist() == [True] * 4 + [False] * 2
    assert found.record["unknown_because"] == {"the cell is in no group": 2}


def test_texts_survive_the_bytes_of_a_part_and_go_to_their_cells():
    texts = ["", "ß: 'x'\n\x00", "b"]
    assert unpacked([packed(texts[:2]), packed([]), packed(texts[2:])]) == texts
    column = as_column(texts, np.array([1, -1, 0, 2]))
    assert column.codes.tolist()[2] == -1
    assert list(column[[0, 1, 3]]) == ["ß: 'x'\n\x00", "the cell is in no group", "b"]


def test_reasons_are_counted_by_kind_and_can_be_keys_of_a_file():
    column = pd.Series(["cut at 1/2: 'a'", "cut at 1/2: 'b'", None])
    assert counted(column) == {"cut at 1 or 2": 2}
