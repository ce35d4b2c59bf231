"""Labels from labelled cells: right, reproducible, and withheld where the evidence is weak."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import celloquy as cq
from celloquy.errors import InputError
from celloquy.io import write_h5ad
from celloquy.learn import Recipe, save_reference
from celloquy.roles import AnnotateOptions, ReadOptions, load_or_fit, read_block
from labelled_cells import TYPES, labelled_cells, log1p_of


@pytest.fixture(scope="module")
def known():
    return labelled_cells(seed=1)


@pytest.fixture(scope="module")
def reference(known):
    return load_or_fit(known, label_key="cell_type")


@pytest.fixture
def adata():
    return labelled_cells(10, seed=2)


def labels_of(annotation):
    return annotation.labels.astype(str).tolist()


def test_cells_get_the_right_labels_in_place(known, adata):
    truth = adata.obs["cell_type"].astype(str)
    before = adata.X.copy()
    annotation = cq.annotate(adata, reference=known, label_key="cell_type")
    told = adata.obs["cell_type_celloquy"]
    assert isinstance(told.dtype, pd.CategoricalDtype)
    assert told.cat.categories.tolist() == [*TYPES, "unknown"]
    named = told.astype(str) != "unknown"
    assert named.mean() > 0.8
    assert (told.astype(str) == truth)[named].all()
    assert adata.obs["cell_type_celloquy_score"].between(0, 1).all()
    assert (adata.obs["cell_type_celloquy_distance"] >= 0).all()
    assert (before != adata.X).nnz == 0
    assert adata.obs.columns.tolist() == ["cell_type", *annotation.table.columns]
    assert annotation.coverage == named.mean()
    assert annotation.score.equals(adata.obs["cell_type_celloquy_score"])


def test_the_record_says_what_was_done_and_survives_a_file(known, adata, tmp_path):
    cq.annotate(adata, reference=known, label_key="cell_type")
    for name in ("cells.h5ad", "cells.zarr"):
        write_h5ad(adata, tmp_path / name)
        record = cq.read(tmp_path / name).uns["cell_type_celloquy"]
        assert record["verb"] == "annotate"
        assert record["kind"] == "counts"
        assert record["thresholds"]["min_score"] == 0.5
        assert not record["calibrated"]
        assert list(record["reference"]["labels"]) == list(TYPES)
        assert list(record["reference"]["cells_of_label"]) == [40, 40, 40]
        assert record["overlap"]["n_shared"] == 200
        assert 0 <= record["coverage"] <= 1


def test_labels_with_a_slash_survive_a_file(known, adata, tmp_path):
    named = known.copy()
    named.obs["cell_type"] = named.obs["cell_type"].astype(str).replace("T", "CD8+/CD45RA+ Naive")
    cq.annotate(adata, reference=named, label_key="cell_type")
    write_h5ad(adata, tmp_path / "cells.h5ad")
    again = cq.read(tmp_path / "cells.h5ad")
    assert "CD8+/CD45RA+ Naive" in again.obs["cell_type_celloquy"].cat.categories
    assert "CD8+/CD45RA+ Naive" in list(again.uns["cell_type_celloquy"]["reference"]["labels"])


@pytest.mark.parametrize(
    ("slot", "key"),
    [
        ("obs", "cell_type_celloquy"),
        ("obs", "cell_type_celloquy_score"),
        ("obs", "cell_type_celloquy_distance"),
        ("obs", "cell_type_celloquy_majority"),
        ("obs", "cell_type_celloquy_majority_share"),
        ("uns", "cell_type_celloquy"),
    ],
)
def test_what_exists_is_refused_unless_it_may_be_replaced(reference, adata, slot, key, tmp_path):
    options = AnnotateOptions(clusters="cluster" if "majority" in key else None)
    adata.obs["cluster"] = "1"
    getattr(adata, slot)[key] = ["mine"] * 30 if slot == "obs" else {"a": 1}
    with pytest.raises(InputError, match=f"`{slot}` has '{key}' already") as refusal:
        cq.annotate(adata, reference=reference, options=options)
    assert "overwrite=True" in refusal.value.hint
    write_h5ad(adata, tmp_path / "cells.h5ad")
    with pytest.raises(InputError, match=f"`{slot}` has '{key}' already"):
        cq.annotate(
            tmp_path / "cells.h5ad", reference=reference, out=tmp_path / "o.h5ad", options=options
        )
    assert not (tmp_path / "o.h5ad").exists()
    cq.annotate(adata, reference=reference, overwrite=True, options=options)
    assert adata.uns["cell_type_celloquy"]["verb"] == "annotate"


def test_another_name_may_be_given(reference, adata):
    annotation = cq.annotate(adata, reference=reference, key_added="mine")
    assert annotation.table.columns.tolist() == ["mine", "mine_score", "mine_distance"]
    assert adata.obs["mine"].tolist() == annotation.labels.tolist()


def test_a_cell_alone_is_the_cell_among_others(reference, adata):
    together = cq.annotate(adata, reference=reference)
    for i in range(0, 30, 4):
        alone = cq.annotate(adata[[i]].copy(), reference=reference, overwrite=True)
        assert labels_of(alone) == labels_of(together)[i : i + 1]
        np.testing.assert_allclose(alone.score, together.score.iloc[[i]], atol=1e-5)


@settings(
    deadline=None, max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(data=st.data())
def test_order_of_genes_and_cells_and_the_kind_of_matrix_do_not_matter(reference, adata, data):
    expected = cq.annotate(adata.copy(), reference=reference)
    genes = np.random.default_rng(data.draw(st.integers(0, 99))).permutation(adata.n_vars)
    cells = data.draw(st.permutations(range(adata.n_obs)))
    shuffled = adata[cells, genes].copy()
    kind = data.draw(st.sampled_from([sp.csr_matrix, sp.csc_matrix, np.asarray]))
    number = data.draw(st.sampled_from([np.float32, np.float64, np.int64]))
    shuffled.X = kind(shuffled.X.toarray().astype(number))
    found = cq.annotate(shuffled, reference=reference)
    assert labels_of(found) == [labels_of(expected)[i] for i in cells]
    np.testing.assert_allclose(found.score, expected.score.iloc[cells], atol=1e-4)


def test_log_values_of_counts_get_the_labels_of_the_counts(reference, adata):
    expected = cq.annotate(adata.copy(), reference=reference)
    found = cq.annotate(log1p_of(adata), reference=reference)
    assert found.record["kind"] == "log1p"
    assert labels_of(found) == labels_of(expected)
    np.testing.assert_allclose(found.score, expected.score, atol=1e-4)


def test_more_cells_than_a_chunk_are_labelled_as_few_are(reference, adata, tmp_path):
    expected = cq.annotate(adata.copy(), reference=reference)
    many = ad.concat([adata] * 150, index_unique="-")  # 4,500 cells: chunks of 1,000, buffers again
    write_h5ad(many, tmp_path / "cells.h5ad")
    found = cq.annotate(tmp_path / "cells.h5ad", reference=reference)
    assert labels_of(found) == labels_of(expected) * 150
    np.testing.assert_allclose(found.score, np.tile(expected.score, 150), atol=1e-5)
    block, obs = read_block(tmp_path / "cells.h5ad")
    assert (block.expression != many.X).nnz == 0
    assert obs.index.tolist() == many.obs_names.tolist()


def test_cells_of_a_type_that_the_reference_lacks_are_unknown(reference):
    strange = labelled_cells(20, seed=5, types=("strange",))
    annotation = cq.annotate(strange, reference=reference)
    assert (annotation.labels == "unknown").mean() > 0.9


def test_a_cell_that_expresses_nothing_is_no_error(reference, adata):
    adata.X = sp.csr_matrix(adata.X.multiply(np.arange(30)[:, None] != 3))
    annotation = cq.annotate(adata, reference=reference)
    assert np.isfinite(annotation.table.iloc[:, 1:].to_numpy()).all()
    assert labels_of(annotation)[3] == "unknown"


def test_a_reference_may_be_cells_a_file_a_saved_folder_or_fitted(
    known, reference, adata, tmp_path
):
    write_h5ad(known, tmp_path / "known.h5ad")
    save_reference(reference, tmp_path / "saved")
    expected = cq.annotate(adata.copy(), reference=reference)
    for given_as in (known, tmp_path / "known.h5ad", str(tmp_path / "known.h5ad")):
        found = cq.annotate(adata.copy(), reference=given_as, label_key="cell_type")
        assert found.table.equals(expected.table)
    for given_as in (tmp_path / "saved", str(tmp_path / "saved")):
        found = cq.annotate(adata.copy(), reference=given_as)
        assert found.key == "cell_type_celloquy"
        assert labels_of(found) == labels_of(expected)
        np.testing.assert_allclose(found.score, expected.score, atol=1e-6)
    assert found.record["reference"] == expected.record["reference"]


def test_a_column_of_labels_that_is_missing_is_told_with_the_closest(known, adata):
    with pytest.raises(InputError, match="no column 'celltype'; the closest is 'cell_type'"):
        cq.annotate(adata, reference=known, label_key="celltype")
    with pytest.raises(InputError, match="`label_key` is None") as refusal:
        cq.annotate(adata, reference=known)
    assert "--label-key" in refusal.value.hint
    assert adata.obs.columns.tolist() == ["cell_type"]


def test_cells_without_a_label_are_left_out_of_the_reference(known, adata):
    partly = known.copy()
    labels = partly.obs["cell_type"].astype(object)
    labels.iloc[::4] = np.nan
    labels.iloc[1::40] = " "
    partly.obs["cell_type"] = labels
    kept = labels.notna() & (labels != " ")
    fitted = load_or_fit(partly, label_key="cell_type")
    assert fitted.labels == TYPES
    assert list(fitted.cell_names) == partly.obs_names[kept].tolist()
    assert fitted.n_seen == kept.sum()
    found = cq.annotate(adata.copy(), reference=partly, label_key="cell_type")
    same = cq.annotate(adata, reference=partly[kept.to_numpy()].copy(), label_key="cell_type")
    assert found.table.equals(same.table)


def test_a_view_may_be_the_reference_and_few_cells_too(known, adata):
    expected = cq.annotate(adata.copy(), reference=known[::2].copy(), label_key="cell_type")
    found = cq.annotate(adata.copy(), reference=known[::2], label_key="cell_type")
    assert found.table.equals(expected.table)
    for rows in ([0], [0, 50]):
        told = cq.annotate(adata.copy(), reference=known[rows], label_key="cell_type")
        assert set(labels_of(told)) <= {*known.obs["cell_type"].iloc[rows], "unknown"}


def test_labels_that_are_numbers_become_names_and_unknown_is_no_label(known, adata):
    numbered = known.copy()
    numbered.obs["cluster"] = [1] * 40 + [2] * 80
    told = cq.annotate(adata.copy(), reference=numbered, label_key="cluster")
    assert told.labels.cat.categories.tolist() == ["1", "2", "unknown"]
    partly = known.copy()
    partly.obs["cell_type"] = partly.obs["cell_type"].astype(str).replace("T", "unknown")
    fitted = load_or_fit(partly, label_key="cell_type")
    assert fitted.labels == ("B", "NK")
    assert fitted.n_seen == 80


def test_a_source_without_cells_is_refused(known, adata):
    with pytest.raises(InputError, match="has no cells"):
        cq.annotate(adata[[]].copy(), reference=known, label_key="cell_type")
    with pytest.raises(InputError, match="has no cells"):
        cq.annotate(adata, reference=known[[]].copy(), label_key="cell_type")


def test_columns_that_carry_one_gene_are_refused_or_summed(known, adata):
    expected = cq.annotate(adata.copy(), reference=known, label_key="cell_type")
    counts = adata.X.toarray()
    half = counts[:, [5]] // 2
    counts[:, [5]] -= half
    adata = ad.AnnData(
        sp.csr_matrix(np.hstack([counts, half])),
        var=pd.DataFrame({"symbol": [*adata.var_names, "GENE5"]}, index=map(str, range(201))),
    )
    read = ReadOptions(gene_column="symbol")
    with pytest.raises(InputError, match="stands for several columns each: 'GENE5'") as refusal:
        cq.annotate(
            adata, reference=known, label_key="cell_type", options=AnnotateOptions(read=read)
        )
    assert 'collisions="sum"' in refusal.value.hint
    options = AnnotateOptions(read=replace(read, collisions="sum"))
    found = cq.annotate(adata, reference=known, label_key="cell_type", options=options)
    assert labels_of(found) == labels_of(expected)
    np.testing.assert_allclose(found.score, expected.score, atol=1e-5)


def test_a_reference_without_any_label_is_refused(known, adata):
    bare = known.copy()
    bare.obs["cell_type"] = np.nan
    with pytest.raises(InputError, match="has a label in 'cell_type'") as refusal:
        cq.annotate(adata, reference=bare, label_key="cell_type")
    assert "name the column" in refusal.value.hint


def test_a_reference_with_too_many_cells_is_sampled_evenly_and_that_is_told(known, adata):
    options = AnnotateOptions(recipe=Recipe(max_cells=60))
    annotation = cq.annotate(adata, reference=known, label_key="cell_type", options=options)
    held = annotation.record["reference"]
    assert (held["n_cells"], held["n_seen"]) == (60, 120)
    assert list(held["cells_of_label"]) == [20, 20, 20]
    assert "60 of the reference's 120 labelled cells" in str(annotation)


def test_a_query_with_fewer_genes_is_labelled_from_the_shared_ones(known, adata):
    expected = cq.annotate(
        adata[:, :120].copy(), reference=known[:, :120].copy(), label_key="cell_type"
    )
    fewer = adata[:, :120].copy()
    fewer.obs["cell_type"] = "?"
    annotation = cq.annotate(fewer, reference=known, label_key="cell_type")
    assert (annotation.overlap.n_shared, annotation.overlap.n_genes) == (120, 200)
    assert annotation.overlap.refitted
    assert labels_of(annotation) == labels_of(expected)
    assert "120 of the reference's 200 genes are measured" in str(annotation)


def test_genes_that_the_reference_lacks_change_nothing(known, adata):
    expected = cq.annotate(adata.copy(), reference=known[:, :150].copy(), label_key="cell_type")
    same = adata[:, :150].copy()
    found = cq.annotate(same, reference=known[:, :150].copy(), label_key="cell_type")
    assert found.table.equals(expected.table)


def test_too_few_shared_genes_are_refused(known, adata):
    adata.var_names = [*adata.var_names[:49], *(f"ENSG{i:011d}" for i in range(151))]
    with pytest.raises(InputError, match="49") as refusal:
        cq.annotate(adata, reference=known, label_key="cell_type")
    assert "symbols, or Ensembl ids" in refusal.value.hint
    fitted = load_or_fit(known, label_key="cell_type")
    with pytest.raises(InputError, match="measures 49 of the reference's 200 genes"):
        cq.annotate(adata, reference=fitted)


def test_every_cluster_also_gets_the_label_of_most_of_its_cells(reference, adata):
    adata.obs["cluster"] = adata.obs["cell_type"].map({"B": "0", "NK": "1", "T": "2"})
    options = AnnotateOptions(clusters="cluster")
    annotation = cq.annotate(adata, reference=reference, options=options)
    voted = adata.obs["cell_type_celloquy_majority"]
    assert (voted.astype(str) == adata.obs["cell_type"].astype(str)).all()
    for cluster in "012":
        inside = adata.obs["cluster"] == cluster
        label = voted[inside].iloc[0]
        share = (annotation.labels[inside] == label).mean()
        shown = adata.obs.loc[inside, "cell_type_celloquy_majority_share"]
        np.testing.assert_allclose(shown, share, atol=1e-6)


def test_a_column_of_clusters_that_is_missing_is_told_before_anything_is_read(adata, tmp_path):
    options = AnnotateOptions(clusters="clustr")
    adata.obs["cluster"] = "0"
    with pytest.raises(InputError, match="no column 'clustr'; the closest is 'cluster'"):
        cq.annotate(
            adata, reference=tmp_path / "missing.h5ad", label_key="cell_type", options=options
        )


def test_the_global_random_state_is_left_alone(known, adata):
    np.random.seed(3)  # noqa: NPY002 (the state that other programs share)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    cq.annotate(adata, reference=known, label_key="cell_type")
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_a_name_that_ends_in_no_format_is_refused_before_anything_is_computed(
    reference, adata, tmp_path
):
    write_h5ad(adata, tmp_path / "cells.h5ad")
    with pytest.raises(InputError, match=r"'out.csv' ends in '.csv'") as refusal:
        cq.annotate(tmp_path / "cells.h5ad", out=tmp_path / "out.csv", reference=reference)
    assert refusal.value.hint == "name it 'out.h5ad'."
    assert [path.name for path in tmp_path.iterdir()] == ["cells.h5ad"]


def test_a_backed_object_gets_its_results_too(reference, adata, tmp_path):
    write_h5ad(adata, tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    found, expected = (cq.annotate(cells, reference=reference) for cells in (backed, adata))
    assert labels_of(found) == labels_of(expected)
    assert backed.obs["cell_type_celloquy"].astype(str).tolist() == labels_of(expected)
    backed.file.close()


def test_a_view_is_refused_with_the_way_out(reference, adata):
    with pytest.raises(InputError, match="into a view of an AnnData") as refusal:
        cq.annotate(adata[:3], reference=reference)
    assert "copy()" in refusal.value.hint


def test_an_adata_has_no_copy_to_write(reference, adata, tmp_path):
    with pytest.raises(InputError, match="`out` writes a copy of a file, and an AnnData"):
        cq.annotate(adata, reference=reference, out=tmp_path / "out.h5ad")


@pytest.mark.parametrize("ending", ["h5ad", "zarr"])
def test_a_file_gives_a_file_and_stays_as_it_is(reference, adata, tmp_path, ending):
    folder = tmp_path / "Größe 細胞"
    folder.mkdir()
    path = folder / f"zellen.{ending}"
    write_h5ad(adata, path)
    before = path.read_bytes() if path.is_file() else None
    annotation = cq.annotate(path, reference=reference, out=folder / "out.h5ad")
    assert before is None or path.read_bytes() == before
    written = ad.read_h5ad(folder / "out.h5ad")
    expected = cq.annotate(adata, reference=reference)
    assert labels_of(annotation) == labels_of(expected)
    assert written.obs["cell_type_celloquy"].astype(str).tolist() == labels_of(expected)
    assert written.uns["cell_type_celloquy"]["verb"] == "annotate"
    np.testing.assert_array_equal(written.X.toarray(), adata.X.toarray())
    assert sorted(p.name for p in folder.iterdir()) == sorted(["out.h5ad", path.name])
    with pytest.raises(InputError, match="exists already"):
        cq.annotate(path, reference=reference, out=folder / "out.h5ad")


def test_a_file_without_out_is_only_looked_at(reference, adata, tmp_path):
    write_h5ad(adata, tmp_path / "cells.h5ad")
    before = (tmp_path / "cells.h5ad").read_bytes()
    annotation = cq.annotate(tmp_path / "cells.h5ad", reference=reference)
    assert annotation.table.index.tolist() == adata.obs_names.tolist()
    assert (tmp_path / "cells.h5ad").read_bytes() == before


def test_values_that_the_spread_sample_did_not_meet_are_refused_where_they_are(
    reference, adata, tmp_path
):
    many = ad.concat([adata] * 150, index_unique="-")
    for bad, told in ((-1.0, "-1"), (np.nan, "nan"), (np.inf, "inf")):
        path = tmp_path / f"{told}.h5ad"
        wrong = many.copy()
        wrong.X.data[-1] = bad
        write_h5ad(wrong, path)
        with pytest.raises(InputError, match=rf"the value {told}|holds .* values") as refusal:
            cq.annotate(path, reference=reference)
        assert refusal.value.hint


def test_scaled_values_are_refused_with_the_slot_that_can_be_used(reference, adata):
    adata.raw = log1p_of(adata)
    adata.X = adata.X.toarray() - adata.X.toarray().mean(axis=0)
    with pytest.raises(InputError, match="holds scaled values") as refusal:
        cq.annotate(adata, reference=reference)
    assert "use_raw=True" in refusal.value.hint
    options = AnnotateOptions(read=ReadOptions(use_raw=True))
    found = cq.annotate(adata, reference=reference, options=options)
    assert found.record["slot"] == "raw.X"


def test_a_wrong_slot_of_the_reference_is_refused_with_the_option_of_the_reference(adata):
    labelled = adata.copy()
    labelled.raw = log1p_of(labelled)
    labelled.X = labelled.X.toarray() - labelled.X.toarray().mean(axis=0)
    with pytest.raises(InputError, match=r"^Of the reference: X .*scaled values") as refusal:
        cq.annotate(adata, reference=labelled, label_key="cell_type")
    assert "read_reference=ReadOptions(use_raw=True)" in refusal.value.hint
    assert "--reference-raw" in refusal.value.hint


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe("pca", "knn"),
        Recipe("bag", "logistic"),
        pytest.param(Recipe("tfidf-svd", "trees"), marks=pytest.mark.slow),
        pytest.param(Recipe("bag-svd", "mlp"), marks=pytest.mark.slow),
    ],
    ids=lambda recipe: f"{recipe.representation}-{recipe.head}",
)
def test_other_representations_and_heads_label_cells_too(known, adata, recipe):
    annotation = cq.annotate(
        adata, reference=known, label_key="cell_type", options=AnnotateOptions(recipe=recipe)
    )
    named = annotation.labels != "unknown"
    truth = adata.obs["cell_type"].astype(str)
    assert named.mean() > 0.6
    assert (annotation.labels.astype(str) == truth)[named].mean() > 0.9
    assert annotation.record["recipe"]["head"] == recipe.head


def test_scores_are_called_calibrated_only_where_they_are(known, adata):
    options = AnnotateOptions(recipe=Recipe(calibrate=True))
    annotation = cq.annotate(adata, reference=known, label_key="cell_type", options=options)
    assert annotation.record["calibrated"]


@pytest.mark.slow
def test_the_sentences_of_cells_label_them_too(known, adata):
    few = known[::4].copy()
    options = AnnotateOptions(recipe=Recipe("fusion", "logistic"))
    annotation = cq.annotate(adata, reference=few, label_key="cell_type", options=options)
    named = annotation.labels != "unknown"
    assert (annotation.labels.astype(str) == adata.obs["cell_type"].astype(str))[named].mean() > 0.9
    assert annotation.record["text"]["lm"] == "st:minilm"
    assert len(annotation.record["text"]["revision"]) == 64


def run(script, *arguments):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="needs limits on the size of files")
def test_a_full_disk_is_told_and_leaves_no_half_file(reference, adata, tmp_path):
    write_h5ad(adata, tmp_path / "cells.h5ad")
    save_reference(reference, tmp_path / "saved")
    script = """
        import resource, signal, sys
        from celloquy.errors import InputError
        from celloquy.learn import load_reference, save_reference
        from celloquy.roles import annotate
        folder, limit = sys.argv[1], int(sys.argv[2])
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            annotate(f"{folder}/cells.h5ad", reference=f"{folder}/saved", out=f"{folder}/out.h5ad")
        except InputError as error:
            print("cells:", error, error.hint)
        try:
            save_reference(load_reference(f"{folder}/saved"), f"{folder}/again")
        except InputError as error:
            print("reference:", error, error.hint)
    """
    done = run(script, tmp_path, (tmp_path / "cells.h5ad").stat().st_size - 1_000)
    assert "cells: The disk or quota is full" in done.stdout, done.stderr
    assert "reference: The disk or quota is full" in done.stdout, done.stderr
    assert not (tmp_path / "again").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(("out.h5ad.h", ".out"))]
    assert not (tmp_path / "out.h5ad").exists()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_killed_run_leaves_no_half_file_and_goes_on_from_its_parts(reference, adata, tmp_path):
    many = ad.concat([adata] * 840, index_unique="-")  # 25,200 cells: three parts
    write_h5ad(many, tmp_path / "cells.h5ad")
    save_reference(reference, tmp_path / "saved")
    script = """
        import os, signal, sys, threading, time
        from celloquy.roles import annotate
        folder, kill = sys.argv[1], sys.argv[2] == "kill"
        def watch():
            while not os.path.exists(f"{folder}/out.h5ad.parts/part-00000.json"):
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGKILL)
        if kill:
            threading.Thread(target=watch, daemon=True).start()
        annotate(f"{folder}/cells.h5ad", reference=f"{folder}/saved", out=f"{folder}/out.h5ad")
    """
    assert run(script, tmp_path, "kill").returncode == -signal.SIGKILL
    assert not (tmp_path / "out.h5ad").exists()
    done = run(script, tmp_path, "finish")
    assert done.returncode == 0, done.stderr
    n_done = int(done.stderr.split(" cells in ")[0].splitlines()[-1].replace(",", ""))
    assert n_done in {15_200, 5_200}  # the parts that were whole were not made again
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cells.h5ad", "out.h5ad", "saved"]
    written = ad.read_h5ad(tmp_path / "out.h5ad").obs["cell_type_celloquy"].astype(str)
    assert written.tolist() == labels_of(cq.annotate(adata, reference=reference)) * 840


def test_parts_of_another_run_are_used_only_where_it_was_the_same(reference, adata, tmp_path):
    write_h5ad(adata, tmp_path / "cells.h5ad")
    parts = tmp_path / "out.h5ad.parts"
    parts.mkdir()
    (parts / "plan.json").write_text('{"schema": 1, "config": {"panel": "refit"}}')
    chosen = replace(AnnotateOptions(), panel="stored")
    ask = {"reference": reference, "out": tmp_path / "out.h5ad", "options": chosen}
    with pytest.raises(InputError, match="holds the parts of another run"):
        cq.annotate(tmp_path / "cells.h5ad", **ask)
    cq.annotate(tmp_path / "cells.h5ad", **ask, overwrite=True)
    assert not parts.exists()


def test_a_fitted_reference_is_not_asked_for_labels_that_it_did_not_learn(reference, adata):
    with pytest.raises(InputError, match="learned the labels of 'cell_type', and 'tissue'"):
        cq.annotate(adata, reference=reference, label_key="tissue")
