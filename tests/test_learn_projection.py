"""Projections of vectors: what is kept, what is shrunk, what is refused, what a folder holds."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from celloquy.errors import CheckpointError, InputError
from celloquy.learn import load_projection, project_labels, save_projection
from celloquy.learn._sealed import digest

INSIDE = np.array([[-1, -2], [1, -2], [-1, 2], [1, 2]])  # batch x below, batch y above
VECTORS = np.vstack([INSIDE, INSIDE + 4])
LABELS, BATCHES = list("AAAABBBB"), list("xxyyxxyy")


def drawn(seed=0, n=40, d=6, *, labels=("A", "B", "C"), batches=("x", "y")):
    """Draw cells whose labels and batches lie apart, along directions of their own."""
    rng = np.random.default_rng(seed)
    of_label, of_batch = rng.integers(len(labels), size=n), rng.integers(len(batches), size=n)
    vectors = rng.standard_normal((n, d))
    vectors += 4 * rng.standard_normal((len(labels), d))[of_label]
    vectors += 6 * rng.standard_normal((len(batches), d))[of_batch]
    return vectors, np.array(labels)[of_label], np.array(batches)[of_batch]


def test_a_projection_by_hand():
    fitted = project_labels(VECTORS, labels=LABELS, batches=BATCHES, shrinkage=0.5)
    # inside labels: variance 1 along the first, 4 along the second; shrunk half-way to 2.5 each
    spread = np.array([1.75, 3.25])
    apart = np.sqrt(16 / 1.75 + 16 / 3.25)  # of the means (0, 0) and (4, 4), in those units
    np.testing.assert_allclose(fitted.centre, [2, 2])
    np.testing.assert_allclose(fitted.components, [4 / spread / apart])
    np.testing.assert_allclose(fitted.separation, [(apart / 2) ** 2])
    np.testing.assert_allclose(fitted.transform([[0, 0], [4, 4]]), [[-apart / 2], [apart / 2]])
    assert str(fitted) == "2 dimensions to 1, from 8 cells of 2 labels in 2 batches"


def test_cells_of_a_label_in_a_batch_weigh_by_the_root_of_their_number():
    vectors = np.array([0, 0, 0, 0, 3, 10, 10, 10, 10, 13.0])[:, None]
    fitted = project_labels(vectors, labels=list("AAAAABBBBB"), batches=list("xxxxyxxxxy"))
    np.testing.assert_allclose(fitted.centre, [((2 * 0 + 1 * 3) / 3 + (2 * 10 + 1 * 13) / 3) / 2])


def test_without_batches_and_shrinkage_distances_are_those_of_scikit_learn():
    vectors, _, _ = drawn()
    labels = np.tile(list("ABCD"), 10)
    fitted = project_labels(vectors, labels=labels, shrinkage=1e-9)
    theirs = LinearDiscriminantAnalysis(solver="eigen").fit(vectors, labels)
    mine = pdist(fitted.transform(vectors))
    np.testing.assert_allclose(mine, pdist(theirs.transform(vectors)), rtol=1e-4)
    variances = np.square(fitted.transform(vectors)).mean(axis=0)
    np.testing.assert_allclose(variances, 1 + fitted.separation, rtol=1e-4)


def test_a_direction_along_which_batches_differ_is_shrunk():
    rng = np.random.default_rng(3)
    labels, batches = np.repeat(list("AB"), 40), np.tile(np.repeat(list("xy"), 20), 2)
    vectors = 0.3 * rng.standard_normal((80, 2))
    vectors += 2.0 * (labels == "B")[:, None]  # both numbers tell the labels
    vectors[:, 1] += 3.0 * (batches == "y")  # the second one tells the batches, too
    components = np.abs(project_labels(vectors, labels=labels, batches=batches).components[0])
    assert components[0] > 10 * components[1]


@settings(max_examples=5)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_cells_and_the_names_of_batches_do_not_matter(seed):
    vectors, labels, batches = drawn()
    order = np.random.default_rng(seed).permutation(len(vectors))
    renamed = np.where(batches == "x", "z", batches)
    one = project_labels(vectors, labels=labels, batches=batches)
    other = project_labels(vectors[order], labels=labels[order], batches=renamed[order])
    np.testing.assert_allclose(other.components, one.components, rtol=1e-6, atol=1e-9)
    assert one.labels == other.labels


def test_a_vector_alone_is_the_vector_among_others_to_the_bit():
    vectors, labels, batches = drawn()
    fitted = project_labels(vectors, labels=labels, batches=batches)
    together = fitted.transform(vectors.astype(np.float32))
    for row in (0, 7, 39):
        alone = fitted.transform(vectors[[row]].astype(np.float32))
        np.testing.assert_array_equal(alone, together[[row]])
    assert together.dtype == np.float32
    assert fitted.transform(vectors[:0]).shape == (0, 2)


def test_fewer_directions_are_the_first_ones():
    vectors, labels, _ = drawn()
    every = project_labels(vectors, labels=labels)
    one = project_labels(vectors, labels=labels, n_components=1)
    assert every.components.shape == (2, 6)
    np.testing.assert_allclose(one.components, every.components[:1], rtol=1e-6)
    assert every.separation[0] >= every.separation[1]


def test_labels_on_one_line_give_one_direction():
    vectors = np.vstack([INSIDE + shift for shift in np.array([[0, 0], [5, 0], [9, 0]])])
    fitted = project_labels(vectors, labels=list("AAAABBBBCCCC"))
    assert fitted.components.shape == (1, 2)


def test_cells_without_label_or_batch_are_left_out_and_counted():
    extra = np.vstack([VECTORS, [[50, 50], [60, 60], [70, 70]]])
    labels, batches = [*LABELS, None, "A", " "], [*BATCHES, "x", np.nan, "y"]
    fitted = project_labels(extra, labels=labels, batches=batches)
    whole = project_labels(VECTORS, labels=LABELS, batches=BATCHES)
    np.testing.assert_array_equal(fitted.components, whole.components)
    assert fitted.n_left_out == 3
    assert str(fitted).endswith("in 2 batches; 3 cells left out")


def test_a_label_of_one_cell_is_left_out_with_a_warning():
    extra = np.vstack([VECTORS, [[50, 50]]])
    with pytest.warns(UserWarning, match="1 of 3 labels have one cell and were left out: 'C'"):
        fitted = project_labels(extra, labels=[*LABELS, "C"], batches=[*BATCHES, "x"])
    assert fitted.labels == ("A", "B")
    assert fitted.n_left_out == 1


def test_one_batch_is_told():
    with pytest.warns(UserWarning, match="All cells are of one batch, 'x': nothing shows"):
        project_labels(VECTORS, labels=LABELS, batches=["x"] * 8)


def test_cells_past_fifty_thousand_are_drawn_by_the_seed(monkeypatch):
    monkeypatch.setattr("celloquy.learn._projection_fit.MAX_CELLS", 20)
    vectors, labels, _ = drawn()
    fits = [project_labels(vectors, labels=labels, seed=seed) for seed in (1, 1, 2)]
    assert [fit.n_cells for fit in fits] == [20, 20, 20]
    assert [fit.n_left_out for fit in fits] == [0, 0, 0]
    np.testing.assert_array_equal(fits[0].components, fits[1].components)
    assert fits[0].fingerprint != fits[2].fingerprint


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"labels": ["A"] * 8}, r"8 labelled cells have the label 'A' alone: there is nothing"),
        ({"labels": list("AAAAAAAB")}, r"the label 'A' alone, and 1 more of one cell each"),
        ({"labels": list("ABCDEFGH")}, r"have no label of two cells, and 8 more of one cell"),
        ({"labels": [None] * 8}, r"None of the 8 cells has a label and a batch"),
        ({"labels": [None] * 8, "batches": None}, r"None of the 8 cells has a label\."),
        ({"labels": ["A"] * 7}, r"There are 8 vectors and 7 `labels`"),
        ({"batches": ["x"] * 9}, r"There are 8 vectors and 9 `batches`"),
        ({"batches": LABELS}, r"Each of the 2 labels is in one of the 2 batches only, such as 'A'"),
        ({"n_components": 2}, r"`n_components` is 2; 2 labels lie in 1 directions"),
        ({"n_components": 0}, r"`n_components` is 0; 2 labels"),
        ({"shrinkage": 0.0}, r"`shrinkage` is above 0 and at most 1, got 0.0"),
        ({"vectors": VECTORS[:, 0]}, r"`vectors` has the shape \(8,\); one row a cell is needed"),
        ({"vectors": np.where(VECTORS == 6, np.nan, VECTORS)}, r"2 of 8 vectors hold .* is row 6"),
        ({"vectors": np.repeat([[0, 0], [4, 4]], 4, axis=0)}, r"vectors of each label are all the"),
        ({"vectors": np.vstack([INSIDE, INSIDE])}, r"The 2 labels have the same mean vector"),
    ],
)
def test_what_cannot_be_fitted_is_refused(change, told):
    whole = {"vectors": VECTORS, "labels": LABELS, "batches": BATCHES} | change
    with pytest.raises(InputError, match=told) as refusal:
        project_labels(whole.pop("vectors"), **whole)
    assert refusal.value.hint


def test_vectors_of_another_width_or_with_gaps_are_refused():
    fitted = project_labels(VECTORS, labels=LABELS)
    with pytest.raises(InputError, match=r"of 2 dimensions; these have 3"):
        fitted.transform(np.zeros((4, 3)))
    with pytest.raises(InputError, match=r"1 of 1 vectors hold infinite or missing values"):
        fitted.transform([[np.inf, 0]])


def test_vectors_of_another_encoder_are_refused():
    known = {"lm": "st:minilm", "n_top_genes": "30"}
    fitted = project_labels(VECTORS, labels=LABELS, of=known)
    fitted.require_same(known)
    with pytest.raises(InputError, match=r"with lm 'st:minilm'; these are with 'celloquy-mini'"):
        fitted.require_same({"lm": "celloquy-mini", "n_top_genes": "64"})
    with pytest.raises(InputError, match=r"with n_top_genes '30'; these are with None"):
        fitted.require_same({"lm": "st:minilm"})
    with pytest.raises(InputError, match=r"no record says who made them"):
        project_labels(VECTORS, labels=LABELS).require_same(known)


@pytest.fixture
def folder(tmp_path):
    vectors, labels, batches = drawn()
    fitted = project_labels(vectors, labels=labels, batches=batches, of={"lm": "st:minilm"})
    save_projection(fitted, tmp_path / "projection")
    return tmp_path / "projection"


def test_a_saved_projection_is_the_same_when_loaded(folder, tmp_path):
    fitted = load_projection(folder)
    save_projection(fitted, tmp_path / "again")
    for name in ("projection.json", "arrays.safetensors"):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert fitted.labels == ("A", "B", "C")
    assert fitted.batches == ("x", "y")
    assert fitted.of == {"lm": "st:minilm"}
    assert fitted.fingerprint == load_projection(tmp_path / "again").fingerprint


def test_nothing_is_overwritten_unasked_and_no_other_folder_ever(folder, tmp_path):
    fitted = load_projection(folder)
    with pytest.raises(InputError, match="exists already"):
        save_projection(fitted, folder)
    save_projection(fitted, folder, overwrite=True)
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine", "utf-8")
    with pytest.raises(InputError, match=r"holds 'notes.txt' and no projection.json"):
        save_projection(fitted, other, overwrite=True)


def resigned(folder, **change):
    """Change the record, and sign it again."""
    path = folder / "projection.json"
    record = json.loads(path.read_text("utf-8")) | change
    del record["sha256"]
    record["sha256"] = digest(record)
    path.write_text(json.dumps(record), "utf-8")


def test_a_folder_that_is_no_projection_of_this_version_is_refused(folder, tmp_path):
    with pytest.raises(CheckpointError, match=r"it has no projection.json"):
        load_projection(tmp_path)
    resigned(folder, schema=2)
    with pytest.raises(CheckpointError, match="written in schema 2; this version reads up to 1"):
        load_projection(folder)
    resigned(folder, format="other")
    with pytest.raises(CheckpointError, match=r"its projection.json is of another format"):
        load_projection(folder)


def test_a_damaged_projection_is_refused(folder):
    path = folder / "projection.json"
    whole = path.read_text("utf-8")
    path.write_text(whole.replace('"A"', '"Z"'), "utf-8")
    with pytest.raises(CheckpointError, match=r"'projection.json' was changed after saving"):
        load_projection(folder)
    path.write_text(whole[:50], "utf-8")
    with pytest.raises(CheckpointError, match=r"'projection.json' cannot be read"):
        load_projection(folder)
    path.write_text(whole, "utf-8")
    resigned(folder, labels=None)
    with pytest.raises(CheckpointError, match="its parts do not fit together"):
        load_projection(folder)
    with (folder / "arrays.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(CheckpointError, match=r"'arrays.safetensors' is not the one saved"):
        load_projection(folder)


def test_arrays_of_shapes_that_do_not_fit_are_refused(folder):
    from safetensors.numpy import load_file, save

    from celloquy._runtime import sha256_of

    path = folder / "arrays.safetensors"
    arrays = load_file(path)
    path.write_bytes(save(arrays | {"centre": arrays["centre"][:3]}))
    resigned(folder, files={"arrays.safetensors": sha256_of(path)})
    with pytest.raises(CheckpointError, match=r"components of \(2, 6\) for \(3,\) and \(2,\)"):
        load_projection(folder)
