"""Verbs ask as the model was taught: its genes, their number and order, its labels."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

import celloquy as cq
from celloquy.errors import InputError
from celloquy.roles import (
    EncodeOptions,
    GenerateOptions,
    PredictOptions,
    ReadOptions,
    TextSource,
    plan_prediction,
)
from celloquy.roles._taught import closest_label
from celloquy.text import RankCurve, Vocabulary, rank_cells
from labelled_cells import TYPES, labelled_cells
from mini_folder import GENES, N_TOP, medians, write_mini

pytestmark = pytest.mark.slow  # each takes less than a second, but the model is made first


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return cq.load_lm(str(write_mini(tmp_path_factory.mktemp("models") / "mini")))


@pytest.fixture(scope="module")
def cells():
    return labelled_cells(4)


def by_hand(adata, cell=0):
    """Rank the genes of a cell by value over median."""
    row = adata.X.toarray()[cell] / np.array(medians())
    order = sorted(np.flatnonzero(row), key=lambda gene: -row[gene])
    return " ".join(GENES[gene] for gene in order[:N_TOP])


def test_a_prompt_names_the_genes_most_above_their_medians_as_many_as_were_taught(lm, cells):
    plan = plan_prediction(cells, "cell_type", lm=lm)
    assert f"Genes of one cell, most expressed first: {by_hand(cells)} Question" in " ".join(
        plan.first_prompt.split()
    )
    assert plan.labels == TYPES


def test_a_mouse_cell_in_logarithms_is_read_as_the_same_cell(lm, cells):
    mouse = cells.copy()
    mouse.X = mouse.X.copy()
    mouse.X.data = np.log1p(mouse.X.data)
    mouse.var_names = [name.capitalize() for name in cells.var_names]
    asked = [plan_prediction(one, "cell_type", lm=lm).first_prompt for one in (cells, mouse)]
    assert asked[0] == asked[1]
    assert "human" in asked[1]  # its genes are told in human symbols, and it was taught no mouse


def test_labels_are_those_that_the_model_was_taught_and_the_record_says_how_it_read(lm, cells):
    found = cq.predict(cells[:2].copy(), "cell_type", lm=lm)
    assert tuple(found.record["labels"]) == TYPES
    assert found.record["n_top_genes"] == N_TOP
    assert found.record["reading"]["rank_by"] == "specificity"
    assert (found.record["n_genes_known"], found.record["n_genes_left_out"]) == (200, 0)


@pytest.mark.parametrize("ask", [
    lambda cells, lm, read: cq.encode(
        cells, options=EncodeOptions(text=TextSource(lm=lm), read=read)
    ),
    lambda cells, lm, read: cq.predict(
        cells, "cell_type", lm=lm, options=PredictOptions(read=read)
    ),
])  # fmt: skip
def test_two_columns_of_one_gene_name_are_refused_unless_a_policy_says_what_to_do(lm, cells, ask):
    twice = cells.copy()
    twice.var["symbol"] = [*cells.var_names[:3], "GENE2", *cells.var_names[4:]]
    with pytest.raises(InputError, match="1 gene name stands for several columns each: 'GENE2'"):
        ask(twice.copy(), lm, ReadOptions(gene_column="symbol"))
    found = ask(twice.copy(), lm, ReadOptions(gene_column="symbol", collisions="sum"))
    assert found.record["n_columns_summed"] == 1
    assert (found.record["n_genes_known"], found.record["n_genes_left_out"]) == (199, 0)
    found = ask(twice.copy(), lm, ReadOptions(gene_column="symbol", collisions="keep"))
    assert (found.record["n_columns_summed"], found.record["n_genes_left_out"]) == (0, 1)


def test_labels_that_were_never_taught_are_told(lm, cells):
    with pytest.warns(UserWarning, match=r"never taught 1 of the 2 labels of 'cell_type': 'Treg'"):
        plan_prediction(cells, "cell_type", lm=lm, labels=["B", "Treg"])


def test_the_users_own_number_of_genes_wins_with_a_word(lm, cells):
    with pytest.warns(UserWarning, match=r"`n_top_genes=5` and not 20") as told:
        plan = plan_prediction(cells, "cell_type", lm=lm, options=PredictOptions(n_top_genes=5))
    assert len(told) == 1
    assert plan.first_prompt.count("GENE") == 5


def test_a_task_that_was_never_taught_is_told(lm, cells):
    with pytest.warns(UserWarning, match="the task 'tissue', which it was never taught"):
        plan_prediction(cells, "tissue", lm=lm, labels=["blood", "lung"])


def test_groups_are_read_as_single_cells_are(lm, cells):
    adata = cells.copy()
    adata.obs["sample"] = ["a", *["b"] * (adata.n_obs - 1)]
    with pytest.warns(UserWarning, match="never taught"):
        plan = plan_prediction(
            adata, "multicell_tissue", lm=lm, labels=["blood", "lung"],
            options=PredictOptions(group_by="sample"),
        )  # fmt: skip
    assert by_hand(adata) in plan.first_prompt


def test_labels_are_compared_without_the_word_that_most_share_and_by_first_letters():
    taught = ("KG1 cell", "natural killer cell", "B cell", "CD14 monocyte")
    assert closest_label("NK cell", taught) == "; the closest is 'natural killer cell'"
    assert closest_label("NKT cell", taught) == ""
    assert closest_label("bcells", taught) == "; the closest is 'B cell'"
    assert closest_label("CD14+ monocytes", taught) == "; the closest is 'CD14 monocyte'"


@pytest.mark.parametrize("candidates", [1, 2])
def test_cells_of_a_type_that_was_never_taught_are_told_with_the_closest(lm, candidates):
    options = GenerateOptions(rank_curve=CURVE, n_candidates=candidates)
    near = r"never taught 1 of the \d labels of 'cell_type': 'NKT'; the closest is 'NK'"
    with pytest.warns(UserWarning, match=near) as told:
        cq.generate("pseudo_cell", {"cell_type": ["NKT"]}, lm=lm, options=options)
    assert len(told) == 1


CURVE = RankCurve.fit(rank_cells(labelled_cells(4).X, Vocabulary(GENES)), unit="counts")


def test_new_cells_name_known_genes_once_and_carry_their_ids(lm):
    options = GenerateOptions(rank_curve=CURVE)
    made = cq.generate("pseudo_cell", {"cell_type": "B"}, n=2, lm=lm, options=options)
    assert made.var_names.tolist() == list(GENES)
    assert made.var["ensembl_id"].iloc[3] == "ENSG00000000003"
    assert made.obs["n_genes_named"].tolist() == [N_TOP, N_TOP]
    assert made.uns["celloquy_generate"]["n_top_genes"] == N_TOP
    for answer in made.obs["answer"]:
        assert len(set(answer.split())) == N_TOP


def test_another_number_of_new_genes_wins_with_a_word(lm):
    options = GenerateOptions(n_top_genes=5, rank_curve=CURVE)
    with pytest.warns(UserWarning, match="taught otherwise: it is asked with `n_top_genes=5`"):
        made = cq.generate("pseudo_cell", {"cell_type": "B"}, lm=lm, options=options)
    assert made.obs["n_genes_named"].tolist() == [5]


def test_vectors_are_means_over_the_tokens_of_the_genes_that_the_model_would_be_asked_with(
    lm, cells
):
    found = cq.encode(cells.copy(), options=EncodeOptions(text=TextSource(lm=lm)))
    assert found.record["n_top_genes"] == N_TOP
    assert (found.record["pooling"], found.record["style"]) == ("genes", "celloquy")
    mouse = cells.copy()
    mouse.var_names = [name.capitalize() for name in cells.var_names]
    again = cq.encode(mouse, options=EncodeOptions(text=TextSource(lm=lm)))
    np.testing.assert_array_equal(found.vectors, again.vectors)
    strange = cells.copy()
    counts = strange.X.toarray()
    counts[2] = 8 * (np.arange(200) == 9)
    strange.X = sp.csr_matrix(counts)
    strange.var_names = [*cells.var_names[:9], "no-gene-of-its", *cells.var_names[10:]]
    with pytest.warns(UserWarning, match="1 of 12 cells names no gene that is read, such as"):
        vectors = cq.encode(strange, options=EncodeOptions(text=TextSource(lm=lm))).vectors
    assert vectors.any(axis=1).tolist() == [row != 2 for row in range(12)]
    with pytest.warns(UserWarning, match="taught otherwise: it is asked with `n_top_genes=5`"):
        cq.encode(cells.copy(), options=EncodeOptions(text=TextSource(lm=lm, n_top_genes=5)))


def test_a_cell_of_which_no_gene_is_read_is_unknown_whatever_the_model_says(lm, cells):
    two = cells[:2].copy()
    two.X = two.X.copy()
    two.X.data[: two.X.indptr[1]] = 0
    options = PredictOptions(min_score=0.0)
    found = cq.predict(two, "cell_type", lm=lm, labels=list(TYPES[:2]), options=options)
    assert found.labels.iloc[0] == "unknown"
    assert found.labels.iloc[1] in TYPES
    assert found.record["unknown_because"] == {"no gene of the cell is read": 1}
