"""Several cells in one answer: each of real genes and none twice, whatever model writes them."""

from __future__ import annotations

import numpy as np
import pytest

from celloquy.errors import InputError
from celloquy.lm import EndpointOptions, ScriptedModel, load_endpoint, load_lm
from celloquy.roles import GenerateOptions, generate, plan_generation
from celloquy.text import RankCurve
from decoder_models import CHAT, GENES, write_decoder
from lm_server import chat, serving

LINE = RankCurve("linear_log_rank", "log1p", slope=-1.0, intercept=3.0)
TYPES = ["B cell", "CD4 T cell, naive", "monocyte"]


@pytest.fixture(scope="module", params=[pytest.param("plain", marks=pytest.mark.slow), "chat"])
def lm(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lm")
    if request.param == "chat":
        return load_lm(f"hf:{write_decoder(folder, tokenizer='llama3', chat=CHAT)}")
    return load_lm(f"hf:{write_decoder(folder)}")


def made(lm, task, fields, *, n=2, seed=0, **more):
    given = {"genes": GENES, "n_top_genes": 4, "rank_curve": LINE, **more}
    return generate(task, fields, n=n, lm=lm, seed=seed, options=GenerateOptions(**given))


def test_every_cell_of_a_sample_names_real_genes_once(lm):
    cells = made(lm, "tissue_sample", {"tissue": "blood", "n_cells": "3"})
    assert cells.n_obs == 6
    assert set(cells.obs["n_genes_named"]) == {4}
    assert cells.obs["n_unknown"].sum() == cells.obs["n_repeated"].sum() == 0
    assert cells.obs["sample"].value_counts().to_dict() == {"generated-0": 3, "generated-1": 3}
    assert np.array_equal(np.diff(cells.X.indptr), [4] * 6)
    text = cells.obs["answer"].iloc[0]
    assert [line.rstrip(":") for line in text.split("\n")[::2]] == ["Cell 1", "Cell 2", "Cell 3"]
    assert cells.uns["celloquy_generate"]["is_constrained"]


def test_a_sample_by_types_has_one_cell_of_each_in_order(lm):
    cells = made(lm, "cell_type_sample", {"cell_types": TYPES}, n=1)
    assert list(cells.obs["asked_for"]) == TYPES
    again = made(lm, "cell_type_sample", {"cell_types": "; ".join(TYPES)}, n=1)
    assert list(again.obs["answer"]) == list(cells.obs["answer"])
    assert set(cells.obs["cell_types"]) == {"B cell; CD4 T cell, naive; monocyte"}


def test_a_sample_depends_on_seed_and_number_alone(lm):
    fields = {"tissue": "blood", "n_cells": "2"}
    many = made(lm, "tissue_sample", fields, n=3, seed=4)
    few = made(lm, "tissue_sample", fields, n=2, seed=4, shard_size=1)
    assert list(few.obs["answer"]) == list(many.obs["answer"])[:4]
    assert many.obs["answer"].nunique() == 3


def test_answers_may_differ_in_their_number_of_cells(lm):
    cells = made(lm, "tissue_sample", {"tissue": "blood", "n_cells": ["1", "3"]})
    assert list(cells.obs["sample"]) == ["generated-0", *["generated-1"] * 3]


def test_a_later_cell_is_written_after_the_earlier_ones():
    lm = ScriptedModel(answer=lambda prompt: "CD4" if "CD3D." in prompt else "CD3D")
    cells = made(
        lm, "tissue_sample", {"tissue": "blood", "n_cells": "2"}, n=1, n_top_genes=1,
    )  # fmt: skip
    assert cells.obs["answer"].iloc[0] == "Cell 1:\nCD3D.\nCell 2:\nCD4."
    assert lm.asked[1].endswith("Cell 1:\nCD3D.\nCell 2:\n")


def test_the_genes_of_an_answer_give_its_probability(lm):
    cells = made(lm, "tissue_sample", {"tissue": "blood", "n_cells": "2"}, n=1)
    (one,) = set(cells.obs["logp"])
    assert np.isfinite(one)
    assert one < 0


def test_a_server_writes_the_sample_at_once_with_room_for_every_cell():
    answer = "Cell 1:\nCD3E CD4.\nCell 2:\nLYZ XX."
    with serving(lambda _: chat(answer)) as server:
        lm = load_endpoint(f"tiny@{server.url}", options=EndpointOptions(concurrency=1))
        cells = made(lm, "tissue_sample", {"tissue": "blood", "n_cells": "2"}, n=1)
        (asked,) = server.asked
    assert asked.body["max_tokens"] == 2 * (12 * 4 + 4)
    assert list(cells.obs["n_genes_named"]) == [2, 1]
    assert not cells.uns["celloquy_generate"]["is_constrained"]


def test_an_answer_that_cannot_be_read_says_why():
    lm = ScriptedModel(answer=lambda _: "no cells at all")
    cells = made(lm, "tissue_sample", {"tissue": "blood"}, n=1, is_constrained=False)
    assert list(cells.obs["why"]) == ["the cells are not numbered 'Cell 1:', 'Cell 2:' and so on"]
    assert cells.obs["n_genes_named"].sum() == 0
    good = made(lm, "random_cell", {}, n=1)
    assert good.obs["why"].isna().all()
    cut = made(lm, "random_cell", {}, n=1, max_new_tokens=2)
    assert list(cut.obs["why"]) == ["the answer was cut at its limit"]


def test_the_plan_counts_the_tokens_of_all_cells(lm):
    said = plan_generation(
        "tissue_sample", {"tissue": "blood", "n_cells": "3"}, lm=lm,
        options=GenerateOptions(genes=GENES, n_top_genes=4, is_constrained=False),
    )  # fmt: skip
    assert said.startswith("1 answer of at most 156 tokens")


def test_a_task_answered_with_labels_of_several_cells_is_told_by_predict():
    from celloquy.roles import PredictOptions, predict
    from labelled_cells import labelled_cells

    lm = ScriptedModel(answer=lambda _: "x")
    with pytest.raises(InputError, match=r"a label for each of several cells at once"):
        predict(
            labelled_cells(2), "assign_labels", lm=lm, labels=TYPES,
            options=PredictOptions(group_by="cell_type"),
        )  # fmt: skip
