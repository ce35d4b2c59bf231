"""A labelled reference: fitted once, saved, loaded, and only applied afterwards."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from celloquy._runtime import sha256_of
from celloquy.errors import CheckpointError, InputError
from celloquy.learn import CellBlock, Recipe, fit_reference, load_reference, save_reference
from celloquy.learn._sealed import digest
from celloquy.text import Vocabulary

N_GENES = 60
GENES = Vocabulary(tuple(f"GENE{i}" for i in range(N_GENES)), tuple(f"E{i}" for i in range(60)))
RECIPES = [
    {},
    {"representation": "log"},
    {"representation": "bag"},
    {"representation": "tfidf-svd", "head": "knn"},
    {"representation": "pca", "head": "trees"},
    {"representation": "bag-svd", "head": "mlp"},
    {"representation": "fusion", "head": "logistic"},
    {"representation": "text", "head": "knn", "n_neighbours": 1},
]


def cells(n=90, *, seed=0):
    """Make three types of cells, each with ten genes of its own at ten times the level."""
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % 3
    level = np.full((n, N_GENES), 0.6)
    for code in range(3):
        level[codes == code, 10 * code : 10 * code + 10] = 6.0
    counts = rng.poisson(level).astype(np.float32)
    text = (np.eye(3)[codes] + 0.1 * rng.standard_normal((n, 3))).astype(np.float32)
    return CellBlock(sp.csr_matrix(counts), "counts", GENES, text=text), np.array(
        ["B", "NK", "T"], dtype=object
    )[codes]


@pytest.fixture
def reference():
    return fit_reference(*cells())


@pytest.mark.parametrize("settings", RECIPES)
def test_cells_like_the_reference_get_its_labels(settings):
    told = fit_reference(*cells(), recipe=Recipe(**settings)).annotate(cells(60, seed=1)[0])
    known = ~told.is_unknown
    assert known.mean() > 0.8
    assert (told.names == cells(60, seed=1)[1])[known].mean() > 0.95


@pytest.mark.parametrize("settings", RECIPES)
def test_a_saved_reference_tells_what_the_fitted_one_told(tmp_path, settings):
    calibrate = settings.get("head") != "mlp"
    fitted = fit_reference(*cells(), recipe=Recipe(**settings, calibrate=calibrate))
    save_reference(fitted, tmp_path / "ref")
    loaded = load_reference(tmp_path / "ref")
    query, _ = cells(20, seed=1)
    one, two = fitted.annotate(query), loaded.annotate(query)
    np.testing.assert_allclose(two.probabilities, one.probabilities, atol=1e-6)
    np.testing.assert_allclose(two.distance, one.distance, atol=1e-6)
    assert two.thresholds == one.thresholds
    assert two.calibrated == calibrate


def test_what_is_known_of_a_reference_is_saved_with_it(tmp_path):
    block, labels = cells()
    names = [f"cell{i}" for i in range(90)]
    fitted = fit_reference(
        block, labels, cell_names=names, n_seen=1_000, provenance={"label_key": "cell_type"}
    )
    save_reference(fitted, tmp_path / "ref")
    loaded = load_reference(tmp_path / "ref")
    assert loaded.labels == ("B", "NK", "T")
    assert loaded.counts == {"B": 30, "NK": 30, "T": 30}
    assert loaded.cell_names == tuple(names)
    assert loaded.n_seen == 1_000
    assert loaded.provenance == {"label_key": "cell_type"}
    assert loaded.recipe == fitted.recipe
    assert loaded.vocabulary.ids == GENES.ids
    np.testing.assert_array_equal(loaded.cells.expression.toarray(), block.expression.toarray())


def test_a_cell_alone_is_told_what_it_is_told_among_others(reference):
    query, _ = cells(30, seed=2)
    together = reference.annotate(query)
    for i in (0, 7, 29):
        alone = reference.annotate(query.rows(np.array([i])))
        np.testing.assert_allclose(alone.probabilities[0], together.probabilities[i], atol=1e-6)
        np.testing.assert_allclose(alone.distance[0], together.distance[i], atol=1e-5)


def test_the_order_of_genes_does_not_matter(reference):
    order = np.random.default_rng(0).permutation(N_GENES)
    block, labels = cells()
    turned = fit_reference(block.genes(order), labels)
    query, _ = cells(30, seed=2)
    np.testing.assert_allclose(
        turned.annotate(query.genes(order)).probabilities,
        reference.annotate(query).probabilities,
        atol=5e-3,
    )


def test_the_order_of_reference_cells_does_not_matter(reference):
    block, labels = cells()
    order = np.random.default_rng(0).permutation(90)
    turned = fit_reference(block.rows(order), labels[order])
    query, _ = cells(30, seed=2)
    np.testing.assert_allclose(
        turned.annotate(query).probabilities, reference.annotate(query).probabilities, atol=5e-3
    )


def test_about_one_reference_cell_in_a_hundred_lies_beyond_the_distance_threshold():
    block, labels = cells(300)
    fitted = fit_reference(block, labels)
    distances = fitted.index.leave_one_out(k=15).distances.mean(axis=1)
    assert np.mean(distances > fitted.thresholds.max_distance) == pytest.approx(0.01, abs=0.002)


def test_a_cell_of_another_kind_is_far_and_so_unknown(reference):
    counts = np.zeros((1, N_GENES), dtype=np.float32)
    counts[0, 40:45] = 80
    told = reference.annotate(CellBlock(sp.csr_matrix(counts), "counts", GENES))
    assert told.is_far.tolist() == [True]
    assert told.names.tolist() == ["unknown"]


def test_a_cell_without_expression_is_told_something_finite(reference):
    told = reference.annotate(CellBlock(sp.csr_matrix((1, N_GENES)), "counts", GENES))
    assert np.isfinite(told.probabilities).all()
    assert np.isfinite(told.distance).all()


def test_a_cell_of_which_the_model_read_no_gene_has_no_label():
    block, labels = cells()
    fitted = fit_reference(block, labels, recipe=Recipe("text"))
    text = block.text[:3].copy()
    text[1] = 0  # it expresses genes, and none that the language model knows
    told = fitted.annotate(replace(block.rows(np.arange(3)), text=text))
    assert told.is_empty.tolist() == [False, True, False]
    fused = fit_reference(block, labels, recipe=Recipe("fusion"))
    assert not fused.annotate(replace(block.rows(np.arange(3)), text=text)).is_empty.any()


@pytest.mark.parametrize("settings", [{}, {"representation": "log"}, {"representation": "bag"}])
@pytest.mark.parametrize("n_each", [(30, 30), (50, 10), (60, 0)])
def test_a_cell_that_shares_no_gene_with_the_references_cells_has_no_label(settings, n_each):
    block, labels = cells(180)
    rows = np.concatenate(
        [np.flatnonzero(labels == name)[:n] for name, n in zip("BT", n_each, strict=True)]
    )
    counts = block.expression[rows].tolil()
    counts[:, 59] = 0  # GENE59: known by name, and not expressed in the reference
    inside = CellBlock(counts.tocsr(), "counts", GENES)
    fitted = fit_reference(inside, labels[rows], recipe=Recipe(**settings))
    asked = np.zeros((3, N_GENES), dtype=np.float32)
    asked[1, 59] = 7
    asked[2, :10] = 6  # the genes of B
    told = fitted.annotate(CellBlock(sp.csr_matrix(asked), "counts", GENES))
    assert told.is_empty.tolist() == [True, True, False]
    assert told.names[:2].tolist() == ["unknown", "unknown"]


def test_log_values_of_a_query_are_read_as_its_counts_are(reference):
    query, _ = cells(20, seed=3)
    logs = CellBlock(query.log_values, "log1p", GENES)
    np.testing.assert_allclose(
        reference.annotate(logs).probabilities, reference.annotate(query).probabilities, atol=1e-4
    )


def test_neighbours_point_at_reference_cells(reference):
    query, labels = cells(9, seed=1)
    found = reference.neighbours(query)
    assert found.rows.shape == (9, 15)
    votes = np.array(reference.labels)[reference.codes[found.rows]]
    assert (votes == labels[:, None]).mean() > 0.9


def test_a_query_with_all_genes_keeps_the_stored_fit(reference):
    ready, overlap = reference.on_genes(np.ones(N_GENES, dtype=bool))
    assert ready is reference
    assert (overlap.n_shared, overlap.refitted) == (60, False)
    assert overlap.share_of_expression == pytest.approx(1)


def test_a_query_that_lacks_much_of_the_expression_gets_a_fit_on_the_shared_genes(reference):
    measured = np.ones(N_GENES, dtype=bool)
    measured[20:30] = False
    ready, overlap = reference.on_genes(measured)
    assert overlap.refitted
    assert ready.vocabulary.names == tuple(np.array(GENES.names)[measured])
    block, labels = cells()
    anew = fit_reference(block.genes(np.flatnonzero(measured)), labels)
    query = cells(20, seed=1)[0].genes(np.flatnonzero(measured))
    np.testing.assert_array_equal(
        ready.annotate(query).probabilities, anew.annotate(query).probabilities
    )
    assert ready.cell_names == reference.cell_names
    stored, overlap = reference.on_genes(measured, policy="stored")
    assert stored is reference
    assert not overlap.refitted


def test_a_query_that_lacks_little_keeps_the_stored_fit_unless_asked(reference):
    measured = np.ones(N_GENES, dtype=bool)
    measured[40] = False
    assert not reference.on_genes(measured)[1].refitted
    assert reference.on_genes(measured, policy="refit")[1].refitted


def test_too_few_shared_genes_are_refused(reference):
    measured = np.arange(N_GENES) < 29
    with pytest.raises(InputError, match="measures 29 of the reference's 60 genes") as refusal:
        reference.on_genes(measured)
    assert "symbols, or Ensembl ids" in refusal.value.hint


def test_an_unknown_policy_and_genes_of_another_vocabulary_are_refused(reference):
    with pytest.raises(InputError, match="'auto', 'stored' or 'refit', got 'zero'"):
        reference.on_genes(np.ones(N_GENES, dtype=bool), policy="zero")
    with pytest.raises(InputError, match="over 3 genes, and the reference over 60 others"):
        reference.annotate(cells(3)[0].genes(np.arange(3)))


def test_a_larger_reference_is_cut_evenly_over_labels_and_says_so():
    block, labels = cells(300)
    labels[:150] = "B"
    fitted = fit_reference(block, labels, recipe=Recipe(max_cells=90))
    assert fitted.counts == {"B": 30, "NK": 30, "T": 30}
    assert fitted.n_seen == 300
    assert labels[int(fitted.cell_names[0])] == fitted.labels[fitted.codes[0]]


@pytest.mark.parametrize("settings", RECIPES)
def test_one_label_and_one_cell_are_enough(tmp_path, settings):
    block, _ = cells(1)
    fitted = fit_reference(block, ["B"], recipe=Recipe(**settings, calibrate=True))
    save_reference(fitted, tmp_path / "ref")
    told = load_reference(tmp_path / "ref").annotate(block)
    assert told.names.tolist() == ["B"]
    assert told.score.tolist() == [1.0]


def test_missing_labels_and_other_lengths_are_refused():
    block, labels = cells()
    labels[:31] = None
    with pytest.raises(InputError, match="31 of 90 reference cells have no label"):
        fit_reference(block, labels)
    with pytest.raises(InputError, match="90 reference cells and 3 labels"):
        fit_reference(block, ["B"] * 3)


def test_the_same_seed_fits_the_same_and_global_randomness_is_untouched():
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    query, _ = cells(20, seed=1)
    one, two = (fit_reference(*cells()).annotate(query) for _ in range(2))
    np.testing.assert_array_equal(one.probabilities, two.probabilities)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize(
    ("settings", "message", "hint"),
    [
        ({"representation": "loog"}, "no representation 'loog'; the closest is 'log'", "bag-svd"),
        ({"head": "forest"}, "no head 'forest'", "trees"),
        ({"representation": "bag", "head": "mlp"}, "takes compressed vectors", "'bag-svd'"),
    ],
)
def test_recipes_that_cannot_be_followed_are_refused(settings, message, hint):
    with pytest.raises(InputError, match=message) as refusal:
        Recipe(**settings)
    assert hint in refusal.value.hint


@pytest.fixture
def folder(tmp_path, reference):
    save_reference(reference, tmp_path / "ref")
    return tmp_path / "ref"


@pytest.mark.parametrize("name", ["arrays.safetensors", "genes.parquet", "cells.parquet"])
def test_a_truncated_or_missing_file_is_told(folder, name):
    path = folder / name
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(CheckpointError, match=f"'{name}' is not the one saved") as refusal:
        load_reference(folder)
    assert "copy it again" in refusal.value.hint
    path.unlink()
    with pytest.raises(CheckpointError, match=f"'{name}' is missing"):
        load_reference(folder)


def change(folder, *, sign, **changes):
    path = folder / "reference.json"
    record = {**json.loads(path.read_text()), **changes}
    if sign:
        record.pop("sha256")
        record["sha256"] = digest(record)
    path.write_text(json.dumps(record))


def test_a_changed_record_is_told(folder):
    change(folder, sign=False, n_seen=5)
    with pytest.raises(CheckpointError, match="was changed after saving"):
        load_reference(folder)


def test_a_record_that_is_no_json_is_told(folder):
    (folder / "reference.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"'reference\.json' cannot be read"):
        load_reference(folder)


def test_a_newer_schema_asks_for_a_newer_celloquy(folder):
    change(folder, sign=True, schema=2)
    with pytest.raises(CheckpointError, match="schema 2; this version reads up to 1") as refusal:
        load_reference(folder)
    assert "upgrade" in refusal.value.hint


def test_a_folder_that_is_no_reference_is_told(folder, tmp_path):
    with pytest.raises(CheckpointError, match=r"no saved reference: it has no reference\.json"):
        load_reference(tmp_path)
    change(folder, sign=True, format="something else")
    with pytest.raises(CheckpointError, match="of another format"):
        load_reference(folder)


def test_parts_that_do_not_fit_together_are_told(folder):
    change(folder, sign=True, labels=["B"])
    with pytest.raises(CheckpointError, match="do not fit together"):
        load_reference(folder)


def test_every_file_of_a_reference_can_be_read_by_the_same_people(folder):
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1


def test_an_existing_folder_is_kept_unless_overwritten(folder, reference):
    before = sha256_of(folder / "reference.json")
    with pytest.raises(InputError, match="exists already"):
        save_reference(reference, folder)
    assert sha256_of(folder / "reference.json") == before
    save_reference(reference, folder, overwrite=True)
    assert load_reference(folder).labels == ("B", "NK", "T")
    (folder / "reference.json").unlink()
    with pytest.raises(InputError, match=r"and no reference.json: it is of another kind"):
        save_reference(reference, folder, overwrite=True)


def test_a_reference_of_the_first_schema_is_read_for_ever():
    loaded = load_reference(Path(__file__).parent / "data" / "reference_v1")
    assert loaded.counts == {"B cell": 6, "NK cell": 6, "T cell": 6}
    counts = np.array([[9, 7, 0, 0, 0, 0], [0, 0, 8, 8, 1, 0], [0, 0, 0, 0, 6, 9]])
    query = CellBlock(sp.csr_matrix(counts.astype(np.float32)), "counts", loaded.vocabulary)
    told = loaded.annotate(query)
    assert [loaded.labels[code] for code in told.codes] == ["T cell", "B cell", "NK cell"]


@pytest.mark.parametrize("representation", ["specific-bag", "log", "bag"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_cells_that_are_all_alike_give_every_label_the_same_probability(representation, value):
    block = CellBlock(sp.csr_matrix(np.full((6, N_GENES), value)), "counts", GENES)
    told = fit_reference(block, list("aabbcc"), recipe=Recipe(representation)).annotate(block)
    np.testing.assert_allclose(told.probabilities, 1 / 3, atol=1e-6)
