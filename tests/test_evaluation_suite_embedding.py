"""The embedding suite: labels kept and batches mixed, beside random vectors."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score

from celloquy.errors import InputError
from celloquy.evaluation import load_suite, make_report
from celloquy.evaluation._suite_embedding import EmbeddingJob
from celloquy.evaluation._suite_lms import SuiteModels
from suite_cells import write_cells, write_suite

SUITE = """
name = "vectors"
title = "Vectors"
summary = "Donors as batches."
measures = "embedding"
n_cells = 20
methods = ["default-log-pca", "bag-svd", "tfidf-svd", "random"]

[[sets]]
name = "three donors"
study = "first"
file = "one.h5ad"
batch = "donor"
origin = "nowhere"

[[sets]]
name = "two parts"
study = "second"
file = "two.h5ad"
label = ""
batch = "part"
origin = "nowhere"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("data")
    write_cells(made)
    return made


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    return load_suite(write_suite(tmp_path_factory.mktemp("suite") / "s.toml", SUITE))


def job_of(suite, folder, lms=()):
    return EmbeddingJob(suite, folder, SuiteModels(lms, n_top_genes=30))


def test_sets_without_labels_stand_apart(suite, folder):
    cases = job_of(suite, folder).cases()
    assert [(c.query, c.kind, c.unit) for c in cases] == [
        ("three donors", "cells with labels", "first"),
        ("two parts", "cells without labels", "second"),
    ]
    assert cases[0].name == "three donors, seed 0"


def test_as_many_cells_are_drawn_of_each_batch(suite, folder):
    job = job_of(suite, folder)
    cells = job.cells.draw("three donors", seed=0, of_each="batch")
    names, counts = np.unique(cells.batches.astype(str), return_counts=True)
    assert (names.tolist(), counts.tolist()) == (["a", "b", "c"], [20, 20, 20])
    assert set(job.cells.draw("two parts", seed=0, of_each="batch").labels) == {""}


def test_a_language_model_comes_with_its_controls(suite, folder):
    made = suite.model_copy(update={"lm_methods": ("embedding", "shuffled", "renamed")})
    methods = job_of(made, folder, ["st:minilm"]).methods()
    assert [(m.name, m.role) for m in methods[4:]] == [
        ("st:minilm embedding", "language model"),
        ("st:minilm shuffled", "control"),
        ("st:minilm renamed", "control"),
    ]
    assert methods[0].role == "default"
    assert methods[3].role == "control"


def test_methods_of_labels_are_refused(tmp_path):
    text = SUITE.replace('"bag-svd"', '"logistic"')
    with pytest.raises(InputError, match="there is no method 'logistic'"):
        load_suite(write_suite(tmp_path / "s.toml", text))


def test_a_column_of_batches_that_is_missing_is_refused(tmp_path, folder):
    text = SUITE.replace('batch = "donor"', 'batch = "donors"')
    job = job_of(load_suite(write_suite(tmp_path / "s.toml", text)), folder)
    with pytest.raises(InputError, match="have no column 'donors'; the closest is 'donor'"):
        job.cells.cells("three donors")


def test_a_set_without_batches_is_refused(tmp_path):
    text = SUITE.replace('batch = "donor"\n', "")
    with pytest.raises(InputError, match="the set 'three donors' has no `batch`"):
        load_suite(write_suite(tmp_path / "s.toml", text))


@pytest.fixture
def quick_jax():
    """Compile quickly: on a few cells that is most of the time."""
    import jax

    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def measured(job, case, *names):
    return [job.measure(case, m).metrics for name in names for m in job.methods() if m.name == name]


@pytest.mark.slow
def test_numbers_are_those_of_scikit_learn_and_random_vectors_keep_no_labels(
    suite, folder, quick_jax
):
    job = job_of(suite, folder)
    pca, random = measured(job, job.cases()[0], "default-log-pca", "random")
    cells = job.cells.draw("three donors", seed=0, of_each="batch")
    values = np.asarray(cells.block.log_values.todense(), dtype=np.float64)
    vectors = PCA(50, svd_solver="full").fit_transform(values)
    expected = (silhouette_score(vectors, cells.labels.astype(str)) + 1) / 2
    assert pca["silhouette_label"] == pytest.approx(expected, abs=1e-3)
    assert pca["transfer_macro_f1"] > 0.95
    assert random["transfer_macro_f1"] < 0.6
    assert random["bio_conservation"] < pca["bio_conservation"] - 0.2


@pytest.mark.slow
def test_without_labels_the_mixing_of_batches_alone_is_told(suite, folder, quick_jax):
    job = job_of(suite, folder)
    pca, random = measured(job, job.cases()[1], "default-log-pca", "random")
    assert set(pca) == set(random) == {"ilisi", "kbet"}
    assert random["ilisi"] > 0.8  # two parts drawn by chance are one cloud


def result(method, case, metrics, *, role="baseline", lm=""):
    name, kind = case
    return {
        "method": {"name": method, "title": method, "role": role, "lm": lm},
        "case": {"name": name, "reference": "", "query": name, "kind": kind, "unit": name,
                 "seed": 0},
        "metrics": metrics, "seconds": 1.0, "n_obs": 40, "made_of": {"precision": "fp32"},
    }  # fmt: skip


def test_cells_without_labels_have_a_headline_of_their_own_and_give_no_answer(suite):
    known, unknown = ("one", "cells with labels"), ("two", "cells without labels")
    lm = {"role": "language model", "lm": "X"}
    records = [
        result("pca", known, {"bio_conservation": 0.6, "batch_correction": 0.4}, role="default"),
        result("pca", unknown, {"ilisi": 0.2, "kbet": None}, role="default"),
        result("X embedding", known, {"bio_conservation": 0.5, "batch_correction": 0.6}, **lm),
        result("X embedding", unknown, {"ilisi": 0.9, "kbet": None}, **lm),
    ]
    report = make_report(suite, records, sets=[], command="c")
    assert report.results.headline("cells with labels").name == "bio_conservation"
    assert report.results.headline("cells without labels").name == "ilisi"
    assert [answer.kind for answer in report.answers] == ["cells with labels"]
    assert report.details == {"cells with labels": [], "cells without labels": []}
    assert "| one | 0.600 | 0.500 |" in str(report)
