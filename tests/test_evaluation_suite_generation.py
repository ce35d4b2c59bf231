"""The suite of generated cells: which cells are compared, by whom they are made, what is told."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from celloquy.errors import InputError
from celloquy.evaluation import load_suite, make_report, run_suite, set_records
from celloquy.evaluation._generated_baselines import bootstrapped_by_gene, relabelled
from celloquy.evaluation._generated_cells import LabelledCells
from celloquy.evaluation._suite_cells import SuiteCells
from celloquy.evaluation._suite_generation import GenerationJob
from celloquy.evaluation._suite_generation_cells import generation_cases, sides_of
from celloquy.evaluation._suite_job import NotApplicable
from celloquy.evaluation._suite_lms import SuiteModels
from celloquy.knowledge import KnownGenes
from celloquy.learn import CellBlock
from celloquy.lm import ScriptedModel
from celloquy.text import Vocabulary
from labelled_cells import log1p_of

GENERATION = """
name = "made"
title = "New cells"
summary = "Two studies and one of four donors."
measures = "generation"
n_cells = 90
n_top_genes = 4
methods = ["real", "resampled", "nb", "bootstrap", "relabelled"]
lm_methods = ["written"]

[[sets]]
name = "one"
study = "first"
file = "one.h5ad"
origin = "nowhere"

[[sets]]
name = "two"
study = "second"
file = "two.h5ad"
origin = "elsewhere"

[[sets]]
name = "donors"
study = "second"
file = "two.h5ad"
group = "donor"
shares_cells_with = ["two"]
origin = "elsewhere"
"""
GENES = [f"GENE{i}" for i in range(10)]
INDEPENDENT = "independent studies"


def two_types(n_b, n_t, *, seed=0, more=()):
    """Make cells of B, which express the first five genes alone, and of T, the other five."""
    labels = np.array(["B"] * n_b + ["T"] * n_t + list(more))
    counts = np.random.default_rng(seed).integers(1, 9, (len(labels), 10)).astype(np.float32)
    counts[labels == "B", 5:] = 0
    counts[labels == "T", :5] = 0
    adata = ad.AnnData(sp.csr_matrix(counts))
    adata.var_names = GENES
    adata.obs_names = [f"cell{seed}-{i}" for i in range(adata.n_obs)]
    adata.obs["cell_type"] = pd.Categorical(labels)
    adata.obs["donor"] = pd.Categorical([f"d{i % 4}" for i in range(adata.n_obs)])
    return adata


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("data")
    (made / "cells").mkdir()
    two_types(24, 60, seed=1, more=["platelet"] * 3).write_h5ad(made / "cells" / "one.h5ad")
    two_types(30, 60, seed=2).write_h5ad(made / "cells" / "two.h5ad")
    return made


@pytest.fixture
def suite(tmp_path):
    path = tmp_path / "made.toml"
    path.write_text(GENERATION, encoding="utf-8")
    return load_suite(path)


def job_of(suite, folder, lms=()):
    return GenerationJob(suite, folder, SuiteModels(lms, n_top_genes=suite.n_top_genes))


def case_of(suite, kind=INDEPENDENT, query=""):
    return next(
        one for one in generation_cases(suite) if one.kind == kind and one.query.startswith(query)
    )


def method_of(job, name):
    return next(one for one in job.methods() if one.name == name)


def test_studies_are_paired_both_ways_and_every_set_is_halved(suite):
    assert [(one.name, one.kind, one.unit) for one in generation_cases(suite)] == [
        ("one to two, seed 0", INDEPENDENT, "first to second"),
        ("two to one, seed 0", INDEPENDENT, "second to first"),
        ("one, one half to one, other half, seed 0", "inside one study, halves by cell", ""),
        ("two, one half to two, other half, seed 0", "inside one study, halves by cell", ""),
        ("donors, one half to donors, other half, seed 0", "inside one study, halves by donor", ""),
    ]


def test_every_side_is_of_the_right_study_and_types_with_too_few_cells_are_told(suite, folder):
    sides = sides_of(SuiteCells(suite, folder), case_of(suite, query="one"))
    # two gives all of its 90 cells; one gives 87: a third aside, and twice 29
    assert Counter(sides.train.labels) == {"B": 30, "T": 60}
    assert sides.aside.n_obs <= 29
    assert {*sides.truth.labels, *sides.held_out.labels} == {"B", "T"}
    platelets = sum(sides.left_out.values())
    assert sides.truth.n_obs + sides.held_out.n_obs == 58 - platelets
    assert set(sides.left_out) <= {"platelet"}


def test_no_donor_stands_on_two_sides(suite, folder):
    cells = SuiteCells(suite, folder)
    case = case_of(suite, "inside one study, halves by donor")
    sides = sides_of(cells, case)
    known = cells.cells("donors")
    values = known.block.expression.toarray()
    rows = {row.tobytes(): donor for row, donor in zip(values, known.groups, strict=True)}
    donors = [
        {rows[row.tobytes()] for row in side.block.expression.toarray()}
        for side in (sides.train, sides.truth, sides.held_out)
    ]
    assert sorted(map(len, donors)) == [1, 1, 2]
    assert len(set.union(*donors)) == 4


def test_a_set_of_three_donors_is_not_halved_by_donor(tmp_path, suite):
    adata = two_types(30, 30)
    adata.obs["donor"] = pd.Categorical([f"d{i % 3}" for i in range(60)])
    (tmp_path / "cells").mkdir()
    for name in ("one", "two"):
        adata.write_h5ad(tmp_path / "cells" / f"{name}.h5ad")
    cells = SuiteCells(suite, tmp_path)
    with pytest.raises(InputError, match="The cells of 'donors' are of 3 donors; halves of halves"):
        sides_of(cells, case_of(suite, "inside one study, halves by donor"))


def test_one_shared_type_is_refused(tmp_path, suite):
    (tmp_path / "cells").mkdir()
    two_types(60, 2).write_h5ad(tmp_path / "cells" / "one.h5ad")
    two_types(60, 60).write_h5ad(tmp_path / "cells" / "two.h5ad")
    with pytest.raises(InputError, match="1 types have 3 cells on every side of 'one to two"):
        sides_of(SuiteCells(suite, tmp_path), case_of(suite))


def test_genes_drawn_each_by_itself_have_the_values_of_the_type_and_lose_what_holds_together():
    # in B both genes are on or off together; drawn apart, half of the cells have one of the two
    values = np.array([[1, 2], [0, 0]] * 50 + [[7, 7]] * 10, dtype=np.float64)
    labels = np.array(["B"] * 100 + ["T"] * 10, dtype=object)
    block = CellBlock(sp.csr_matrix(values), "counts", Vocabulary(("g0", "g1")))
    wanted = np.array(["T"] * 5 + ["B"] * 400, dtype=object)
    made = bootstrapped_by_gene(LabelledCells(block, labels), wanted, seed=0)
    drawn = made.block.expression.toarray()
    assert made.labels.tolist() == wanted.tolist()
    assert (drawn[:5] == 7).all()
    assert set(drawn[5:, 0]) == {0, 1}
    assert set(drawn[5:, 1]) == {0, 2}
    alone = ((drawn[5:] > 0).sum(axis=1) == 1).mean()
    assert abs(alone - 0.5) < 0.1
    again = bootstrapped_by_gene(LabelledCells(block, labels), wanted, seed=0)
    assert (again.block.expression != made.block.expression).nnz == 0


def test_shuffled_labels_leave_cells_and_numbers_as_they_are():
    block = CellBlock(sp.csr_matrix(np.eye(40)), "counts", Vocabulary(tuple(map(str, range(40)))))
    cells = LabelledCells(block, np.array(["B"] * 10 + ["T"] * 30, dtype=object))
    made = relabelled(cells, seed=0)
    assert made.block is cells.block
    assert Counter(made.labels) == {"B": 10, "T": 30}
    assert made.labels.tolist() != cells.labels.tolist()


@pytest.mark.slow
def test_recognised_is_a_mean_of_types_and_falls_with_the_labels(suite, folder):
    job = job_of(suite, folder)
    case = case_of(suite, query="two")
    sides, _ = job._parted(case)
    for name in ("real", "resampled"):  # the two types share no gene
        found = job.measure(case, method_of(job, name))
        assert found.metrics["recognised"] == found.metrics["knn_quality_5"] == 1
        assert found.n_obs == sides.held_out.n_obs
    assert found.metrics["copied"] == 1
    told = job.measure(case, method_of(job, "relabelled"))
    right = relabelled(sides.held_out, seed=0).labels == sides.held_out.labels
    shares = pd.Series(right).groupby(relabelled(sides.held_out, seed=0).labels).mean()
    assert told.metrics["recognised"] == pytest.approx(shares.mean())
    assert told.metrics["knn_quality_5"] == pytest.approx(right.mean())
    assert told.metrics["recognised"] != pytest.approx(right.mean())


@pytest.mark.slow
def test_a_language_model_that_knows_one_type_is_recognised_in_one_of_two(suite, folder):
    asked = []

    def answer(prompt):
        asked.append(prompt)
        return "GENE0 GENE1 GENE2 GENE3"

    job = job_of(suite, folder, [ScriptedModel(answer=answer)])
    case = case_of(suite, query="two")
    method = next(one for one in job.methods() if one.lm)
    found = job.measure(case, method)
    labels = job._parted(case)[0].held_out.labels
    assert method.role == "language model"
    assert found.metrics["recognised"] == 0.5
    assert found.metrics["knn_quality_5"] == pytest.approx((labels == "B").mean())
    assert found.metrics["distinct_cells"] == 0  # all sentences are one
    assert (found.metrics["validity"], found.metrics["uniqueness"]) == (1, 1)
    assert Counter('Cell type: "B"' in prompt for prompt in asked)[True] == (labels == "B").sum()


def test_a_language_model_is_asked_for_coarse_types_in_words(suite, folder):
    prompts = []
    lm = ScriptedModel(answer=lambda prompt: prompts.append(prompt) or "GENE0 GENE1 GENE2 GENE3")
    sides = sides_of(SuiteCells(suite, folder), case_of(suite))
    job = job_of(suite.model_copy(update={"labels": "coarse blood types"}), folder, [lm])
    job._made(job.methods()[-1], sides, case_of(suite))
    assert any('Cell type: "B cell"' in prompt for prompt in prompts)


class _Knowing(ScriptedModel):
    """Says which genes it knows and how it reads, as a checkpoint of one token a gene does."""

    vocabulary: Vocabulary | None = None
    reading: SimpleNamespace | None = None


def test_a_language_model_writes_only_genes_that_it_knows(suite, folder):
    lm = _Knowing(answer=lambda _: "GENE9 GENE8 GENE7")
    lm.vocabulary = Vocabulary(("GENE7", "GENE8", "GENE9", "OTHER"))
    job = job_of(suite, folder, [lm])
    sides = sides_of(SuiteCells(suite, folder), case_of(suite))
    made, _ = job._made(job.methods()[-1], sides, case_of(suite))
    assert [GENES[i] for i in made.sentences[0]] == ["GENE9", "GENE8", "GENE7"]
    lm.vocabulary = Vocabulary(("ENSG01",))
    with pytest.raises(InputError, match="knows none of the 10 genes of 'one to two, seed 0'"):
        job._made(job.methods()[-1], sides, case_of(suite))


@pytest.mark.slow
def test_a_model_that_ranks_by_specificity_is_compared_with_cells_ranked_as_it_does(suite, folder):
    lm = _Knowing(answer=lambda _: "GENE9 GENE8 GENE7")
    medians = {f"GENE{i}": 10.0**i for i in range(10)}  # so GENE0 is the most specific
    table = KnownGenes(tuple(medians), tuple(medians.values()), ("",) * 10, ("",) * 10)
    lm.reading = SimpleNamespace(rank_by="specificity", known=table)
    other = ScriptedModel(answer=lambda _: "GENE0", name="other")
    job = job_of(suite, folder, [other, lm])
    case = job.cases()[5]
    assert len(job.cases()) == 10
    assert case.kind == f"{INDEPENDENT}; genes by specificity, as {lm.name} has them"
    assert len({one.name for one in job.cases()}) == 10
    by_name = {method.lm: method for method in job.methods() if method.lm}
    otherwise = NotApplicable("genes of this case are not ranked as it ranks them")
    assert job.measure(case_of(suite), by_name[lm.name]) == otherwise
    assert job.measure(case, by_name["other"]) == otherwise
    sides = sides_of(job.cells, case).as_sentences(4, median_of=job._median_of(lm.name))
    for label, first in (("B", "GENE0"), ("T", "GENE5")):
        genes = sides.truth.rows(np.flatnonzero(sides.truth.labels == label)).sentences
        assert all(GENES[one[0]] == first for one in genes)
    _, judge = job._parted(case)
    assert [one.tolist() for one in judge.real.sentences] == [
        one.tolist() for one in sides.truth.sentences
    ]


def test_negative_binomials_take_counts_and_have_no_result_without(suite, tmp_path):
    (tmp_path / "cells").mkdir()
    for name in ("one", "two"):
        adata = log1p_of(two_types(30, 60))
        adata.write_h5ad(tmp_path / "cells" / f"{name}.h5ad")
    job = job_of(suite, tmp_path)
    told = job.measure(case_of(suite), method_of(job, "nb"))
    assert told == NotApplicable("the training study has no counts")


@pytest.mark.slow
def test_a_decoder_of_a_folder_writes_beside_the_baselines_and_a_run_goes_on(
    suite, folder, tmp_path
):
    from decoder_models import write_decoder

    out, lm = tmp_path / "results", f"hf:{write_decoder(tmp_path / 'decoder')}"
    first = run_suite(suite, folder, out=out)
    assert len(first) == 25
    records = run_suite(suite, folder, out=out, lms=[lm])
    written = [one for one in records if one["method"]["lm"]]
    assert len(records) == 30
    assert len(written) == 5
    assert all(one["metrics"]["validity"] == 1 for one in written)
    assert all(one["metrics"]["uniqueness"] == 1 for one in written)
    assert all(one["n_obs"] > 0 for one in written)
    assert [one for one in records if not one["method"]["lm"]] == first  # nothing is measured twice
    report = make_report(suite, records, sets=set_records(suite, folder), command="made")
    assert "written by decoder" in str(report)


@pytest.mark.slow
@pytest.mark.data
def test_held_out_blood_cells_are_recognised_and_shuffled_labels_are_not(data_folder, tmp_path):
    suite = load_suite("generation").smaller()
    records = run_suite(suite, data_folder, out=tmp_path)
    table = pd.DataFrame(
        [{"method": one["method"]["name"], "kind": one["case"]["kind"], **one["metrics"]}
         for one in records if "metrics" in one]
    )  # fmt: skip
    apart = table[table["kind"] == INDEPENDENT].groupby("method").mean(numeric_only=True)
    assert apart["recognised"].idxmax() == "real"
    assert apart["recognised"].idxmin() == "relabelled"
    assert apart["real_or_new"].drop("relabelled").idxmin() == "real"
    assert apart.loc["resampled", "copied"] == 1
    assert apart.loc["bootstrap", "copied"] == 0
