"""The organism of a prompt is the one that was said, else the one that gene names tell."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest

import celloquy as cq
from celloquy.lm import ScriptedModel
from celloquy.roles import (
    ClusterOptions,
    GenerateOptions,
    PredictOptions,
    calibrate,
    plan_generation,
    plan_prediction,
)
from celloquy.tasks import load_task

MOUSE = ["Cd3e", "Ms4a1", "Nkg7", "Lyz2", "Il7r", "Cd79a"]
OTHER = ["1", "2", "3", "4", "5", "6"]


def cells(names):
    counts = np.tile([[9, 5, 0, 3, 0, 1], [0, 1, 7, 0, 4, 2]], (4, 1)).astype(np.float32)
    made = ad.AnnData(counts)
    made.var_names, made.obs_names = names, [f"cell-{i}" for i in range(8)]
    made.obs["cluster"] = ["x", "y"] * 4
    made.obs["species"] = "rat"
    return made


def asked(names=MOUSE, **options):
    lm = ScriptedModel(answer=lambda _: "B cell")
    cq.predict(
        cells(names), "cell_type", lm=lm, labels=["B cell", "T cell"],
        options=PredictOptions(**options),
    )  # fmt: skip
    return lm.asked[0]


def test_mouse_genes_make_a_prompt_about_a_mouse():
    assert asked().startswith('Organism: "mouse"\n')
    assert asked([name.upper() for name in MOUSE]).startswith('Organism: "human"\n')


def test_what_the_user_says_counts_more_than_gene_names():
    assert asked(fields={"organism": "rat"}).startswith('Organism: "rat"\n')
    assert asked(obs_fields={"organism": "species"}).startswith('Organism: "rat"\n')


def test_where_gene_names_tell_nothing_the_default_stays_and_is_told():
    with pytest.warns(UserWarning, match=r"do not tell the organism, so the prompts say 'human'"):
        assert asked(OTHER).startswith('Organism: "human"\n')


def test_the_record_and_the_plan_say_which_organism_was_named():
    lm = ScriptedModel(answer=lambda _: "B cell")
    labels = ["B cell", "T cell"]
    found = cq.predict(cells(MOUSE), "cell_type", lm=lm, labels=labels)
    assert found.record["fields"] == {"organism": "mouse"}
    plan = plan_prediction(cells(MOUSE), "cell_type", lm=lm, labels=labels)
    assert plan.first_prompt == lm.asked[0]


def test_a_calibration_asks_about_the_same_organism():
    lm = ScriptedModel(
        logp=lambda prompt, label: -1.0 if ("Nkg7" in prompt) == (label == "y") else -2
    )
    calibrate(cells(MOUSE), "cell_type", lm=lm, labels=["x", "y"], label_key="cluster")
    assert {prompt.split("\n")[0] for prompt in lm.asked} == {'Organism: "mouse"'}


def test_a_task_that_names_no_organism_gets_none():
    lm = ScriptedModel(answer=lambda _: "resistant")
    found = cq.predict(
        cells(OTHER), "drug_sensitivity", lm=lm, options=PredictOptions(fields={"drug": "imatinib"})
    )
    assert found.record["fields"] == {"drug": "imatinib"}
    assert "organism" not in {one.name for one in load_task("drug_sensitivity").asked_for}


def test_new_cells_are_of_the_organism_of_the_genes_or_of_the_control_cells():
    lm = ScriptedModel(answer=lambda _: "Cd3e")
    said = plan_generation(
        "pseudo_cell", {"cell_type": "B cell"}, lm=lm, options=GenerateOptions(genes=MOUSE)
    )
    assert 'Organism: "mouse"' in said


def test_clusters_are_named_with_the_organism_of_their_markers():
    lm = ScriptedModel(answer=lambda _: "B cell")
    named = cq.name_clusters(
        cells(MOUSE), clusters="cluster", lm=lm, labels=["B cell", "T cell"],
        options=ClusterOptions(fields={"tissue": "spleen"}),
    )  # fmt: skip
    assert all('"mouse"' in prompt for prompt in lm.asked)
    assert named.record["fields"] == {"tissue": "spleen", "organism": "mouse"}
