"""Cells and genes as vectors: where they go, what they rest on, what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import celloquy as cq
from celloquy.errors import InputError
from celloquy.io import write_h5ad
from celloquy.lm import load_lm
from celloquy.roles import EncodeOptions, ReadOptions, TextSource, encode_together
from decoder_models import write_decoder
from labelled_cells import labelled_cells, log1p_of
from lm_models import write_encoder


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    """Load a tiny model with random weights whose words are g0 to g59."""
    return load_lm(f"st:{write_encoder(tmp_path_factory.mktemp('tiny'))}", device="cpu")


@pytest.fixture(scope="module")
def options(lm):
    return EncodeOptions(text=TextSource(lm=lm, n_top_genes=20))


@pytest.fixture
def adata():
    adata = labelled_cells(8, n_genes=60, seed=1)
    adata.var_names = [f"g{i}" for i in range(60)]
    return adata


def test_minilm_gives_every_cell_a_vector_of_length_one_in_place():
    adata = labelled_cells(2)
    before = adata.X.copy()
    encoding = cq.encode(adata, options=EncodeOptions(text=TextSource(lm="st:minilm")))
    assert adata.obsm["X_celloquy"].shape == (6, 384)
    assert adata.obsm["X_celloquy"].dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(adata.obsm["X_celloquy"], axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(encoding.vectors, adata.obsm["X_celloquy"])
    assert (before != adata.X).nnz == 0
    record = adata.uns["X_celloquy"]
    assert record["lm"] == "st:minilm"
    assert len(record["revision"]) == 64
    assert record["kind"] == "counts"
    assert str(encoding) == "6 cells in obsm['X_celloquy'] by st:minilm"


@pytest.mark.slow
def test_without_a_model_celloquy_mini_reads_genes_and_minilm_reads_words():
    cells = labelled_cells(2)
    cells.var_names = load_lm("celloquy-mini").vocabulary.names[: cells.n_vars]
    cells.obs["tissue"] = "blood"
    read = {
        "genes": TextSource(),
        "style": TextSource(style="cell2sentence"),
        "features": TextSource(obs_features=("tissue",)),
        "text": TextSource(text_column="tissue"),
    }
    found = {
        name: cq.encode(cells, key_added=name, options=EncodeOptions(text=text)).record["lm"]
        for name, text in read.items()
    }
    found["by genes"] = cq.encode(cells, options=EncodeOptions(by="genes")).record["lm"]
    assert found.pop("genes") == "celloquy-mini"
    assert set(found.values()) == {"st:minilm"}


def test_the_record_survives_a_file(adata, options, tmp_path):
    cq.encode(adata, options=options)
    write_h5ad(adata, tmp_path / "cells.h5ad")
    again = cq.read(tmp_path / "cells.h5ad")
    assert again.uns["X_celloquy"]["verb"] == "encode"
    assert again.uns["X_celloquy"]["n_top_genes"] == 20
    np.testing.assert_array_equal(again.obsm["X_celloquy"], adata.obsm["X_celloquy"])


def test_a_cell_alone_is_the_cell_among_others(adata, options):
    together = cq.encode(adata, options=options).vectors
    for i in range(0, 24, 5):
        alone = cq.encode(adata[[i]].copy(), overwrite=True, options=options).vectors
        np.testing.assert_allclose(alone, together[[i]], atol=1e-5)


@pytest.mark.parametrize("by", ["sentence", "genes"])
@settings(
    deadline=None, max_examples=8,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(data=st.data())
def test_order_of_genes_and_cells_and_the_kind_of_matrix_do_not_matter(adata, options, by, data):
    adata = adata.copy()
    chosen = replace(options, by=by)
    expected = cq.encode(adata.copy(), options=chosen).vectors
    genes = data.draw(st.permutations(range(adata.n_vars)))
    cells = data.draw(st.permutations(range(adata.n_obs)))
    shuffled = adata[cells, genes].copy()
    kind = data.draw(st.sampled_from([sp.csr_matrix, sp.csc_matrix, np.asarray]))
    number = data.draw(st.sampled_from([np.float32, np.float64, np.int32]))
    shuffled.X = kind(shuffled.X.toarray().astype(number))
    found = cq.encode(shuffled, options=chosen).vectors
    np.testing.assert_allclose(found, expected[cells], atol=2e-5)


def test_log_values_of_counts_give_the_vectors_of_the_counts(adata, options):
    for by in ("sentence", "genes"):
        chosen = replace(options, by=by)
        found = cq.encode(log1p_of(adata), options=chosen).vectors
        np.testing.assert_allclose(
            found, cq.encode(adata.copy(), options=chosen).vectors, atol=1e-5
        )


def without_genes(adata, *cells):
    """Give the same cells, of which some express nothing."""
    made = adata.copy()
    made.X = sp.csr_matrix(made.X.multiply(~np.isin(np.arange(24), cells)[:, None]))
    return made


@pytest.mark.parametrize("by", ["sentence", "genes"])
def test_a_cell_that_names_no_gene_has_zeros_is_counted_and_changes_no_other(adata, options, by):
    chosen = replace(options, by=by)
    expected = cq.encode(adata.copy(), options=chosen)
    assert expected.record["n_cells_without_genes"] == 0
    made = without_genes(adata, 3, 7)
    said = f"2 of 24 cells name no gene that is read, such as '{adata.obs_names[3]}'"
    with pytest.warns(UserWarning, match=said) as told:
        found = cq.encode(made, options=chosen)
    assert len(told) == 1
    np.testing.assert_array_equal(found.vectors[[3, 7]], 0)
    others = np.delete(np.arange(24), [3, 7])
    np.testing.assert_allclose(found.vectors[others], expected.vectors[others], atol=1e-5)
    assert made.uns["X_celloquy"]["n_cells_without_genes"] == 2


def test_a_cell_without_genes_is_told_where_a_file_is_written(adata, options, tmp_path):
    made = without_genes(adata, 3)
    write_h5ad(made, tmp_path / "cells.h5ad")
    with pytest.warns(UserWarning, match="1 of 24 cells names no gene that is read"):
        cq.encode(tmp_path / "cells.h5ad", out=tmp_path / "out.h5ad", options=options)
    written = cq.read(tmp_path / "out.h5ad")
    np.testing.assert_array_equal(written.obsm["X_celloquy"][3], 0)
    assert written.uns["X_celloquy"]["n_cells_without_genes"] == 1


def test_cells_without_genes_are_told_once_of_all_data_sets(options):
    full, bare = (labelled_cells(8, n_genes=60, seed=seed) for seed in (1, 2))
    full.var_names = bare.var_names = [f"g{i}" for i in range(60)]
    with pytest.warns(UserWarning, match="1 of 48 cells names no gene") as told:
        together = encode_together({"a": full, "b": without_genes(bare, 5)}, options=options)
    assert len(told) == 1
    assert not together.obsm["X_celloquy"][24 + 5].any()
    assert together.uns["X_celloquy"]["n_cells_without_genes"] == 1


@pytest.mark.slow
def test_a_cell_without_genes_is_no_error_of_a_decoder(adata, tmp_path):
    lm = load_lm(f"hf:{write_decoder(tmp_path, family='gpt2')}", device="cpu")
    asked = TextSource(lm=lm, n_top_genes=5, pooling="mean")
    told = replace(asked, obs_features=("cell_type",), pooling="genes")
    for key, text in (("X_mean", asked), ("X_genes", told)):
        with pytest.warns(UserWarning, match="names no gene that is read"):
            found = cq.encode(without_genes(adata, 3), key_added=key, options=EncodeOptions(text))
        assert found.vectors.any(axis=1).tolist() == [row != 3 for row in range(24)]


def test_ensembl_ids_that_a_model_would_read_as_words_are_told(adata, options):
    adata.var["feature_name"] = adata.var_names
    adata.var_names = [f"ENSG{i:011d}" for i in range(60)]
    for by in ("sentence", "genes"):
        chosen = replace(options, by=by)
        with pytest.warns(
            UserWarning, match=r"Ensembl ids, .*`--gene-column feature_name`"
        ) as told:
            cq.encode(adata, key_added=by, options=chosen)
        assert len(told) == 1
        cq.encode(
            adata, key_added=f"X_{by}",
            options=replace(chosen, read=ReadOptions(gene_column="feature_name")),
        )  # fmt: skip
    said = {"ENSG00000000000": "a gene", "ENSG00000000001": "another"}
    with pytest.warns(UserWarning, match="no gene that is read") as told:
        cq.encode(adata, options=replace(options, by="genes", gene_texts=said))
    assert len(told) == 1


def test_genes_that_do_not_fit_into_the_model_are_cut_and_counted(adata, tmp_path):
    # 16 tokens hold [CLS], 14 names and [SEP]
    lm = load_lm(f"st:{write_encoder(tmp_path, max_tokens=16)}", device="cpu")
    asked = EncodeOptions(text=TextSource(lm=lm, n_top_genes=30, style="cell2sentence"))
    encoding = cq.encode(adata, options=asked)
    expressed = np.minimum((adata.X > 0).sum(axis=1).A1, 30)
    np.testing.assert_array_equal(encoding.n_cut, np.maximum(expressed - 14, 0))
    assert encoding.record["n_genes_cut"] == encoding.n_cut.sum()
    assert f"of {(encoding.n_cut > 0).sum()} cells some named genes did not fit" in str(encoding)
    fewer = EncodeOptions(text=TextSource(lm=lm, n_top_genes=14, style="cell2sentence"))
    np.testing.assert_allclose(
        encoding.vectors, cq.encode(adata, key_added="X_14", options=fewer).vectors, atol=1e-5
    )


def test_obs_features_stand_in_the_sentence(adata, lm):
    adata.obs["tissue"] = ["g1"] * 12 + ["g2"] * 12
    told = EncodeOptions(text=TextSource(lm=lm, n_top_genes=5, obs_features=("tissue",)))
    with_tissue = cq.encode(adata, options=told).vectors
    same = ad.AnnData(adata.X[[0, 0]], var=adata.var)
    same.obs["tissue"] = ["g1", "g2"]
    one, two = cq.encode(same, options=told).vectors
    np.testing.assert_allclose(one, with_tissue[0], atol=1e-5)
    assert np.abs(one - two).max() > 1e-3
    with pytest.raises(InputError, match="no column 'tissu'; the closest is 'tissue'"):
        cq.encode(
            adata, key_added="X",
            options=EncodeOptions(text=TextSource(lm=lm, obs_features=("tissu",))),
        )  # fmt: skip


def log_values(adata):
    counts = adata.X.toarray().astype(np.float64)
    return np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)


def test_by_genes_is_the_mean_of_gene_vectors_weighted_by_expression(adata, options):
    vectors = cq.encode_genes(list(adata.var_names), text=options.text).to_numpy()
    weights = log_values(adata)
    by_hand = weights @ vectors / weights.sum(axis=1, keepdims=True)
    found = cq.encode(adata, options=replace(options, by="genes"))
    np.testing.assert_allclose(found.vectors, by_hand, atol=1e-5)
    assert found.record["by"] == "genes"
    assert found.record["normalise_by"] == "weights"
    assert found.record["gene_texts"] == "Gene <name>"


def test_by_genes_and_normalised_by_genes_divides_by_their_number(adata, options):
    vectors = cq.encode_genes(list(adata.var_names), text=options.text).to_numpy()
    by_hand = log_values(adata) @ vectors / 60
    found = cq.encode(adata, options=replace(options, by="genes", normalise_by="genes")).vectors
    np.testing.assert_allclose(found, by_hand, atol=1e-4)


def test_genes_without_a_text_take_no_part(adata, options):
    said = {"g0": "g5 g6", "g1": "a cell"}
    chosen = replace(options, by="genes", gene_texts=said)
    vectors = cq.encode_genes(["g0", "g1"], gene_texts=said, text=options.text).to_numpy()
    weights = log_values(adata)[:, :2]
    total = weights.sum(axis=1, keepdims=True)
    by_hand = np.divide(weights @ vectors, total, out=np.zeros((24, 64)), where=total > 0)
    with pytest.warns(UserWarning, match=f"{int((total == 0).sum())} of 24 cells"):
        found = cq.encode(adata, options=chosen)
    np.testing.assert_allclose(found.vectors, by_hand, atol=1e-5)
    assert found.record["gene_texts"].startswith("blake2b ")


def test_genes_are_rows_in_the_order_given_and_unsaid_ones_are_nan(options):
    told = cq.encode_genes(["g3", "g1", "g2"], gene_texts={"g1": "a", "g3": " "}, text=options.text)
    assert told.index.tolist() == ["g3", "g1", "g2"]
    assert told.isna().all(axis=1).tolist() == [True, False, True]
    alone = cq.encode_genes(["g1"], gene_texts={"g1": "a"}, text=options.text)
    np.testing.assert_allclose(told.loc["g1"], alone.loc["g1"], atol=1e-6)


def test_genes_of_which_none_has_a_text_are_refused(options):
    with pytest.raises(InputError, match="None of the 2 genes has a text") as refusal:
        cq.encode_genes(["g1", "g2"], gene_texts={"CD3E": "a"}, text=options.text)
    assert "gene_texts" in refusal.value.hint
    with pytest.raises(InputError, match="`genes` is the text 'CD3E', and a list") as refusal:
        cq.encode_genes("CD3E", text=options.text)
    assert "['CD3E']" in refusal.value.hint


def test_a_name_that_is_taken_is_refused_before_anything_is_computed(adata, options, tmp_path):
    adata.obsm["X_celloquy"] = np.zeros((24, 3))
    with pytest.raises(InputError, match="`obsm` has 'X_celloquy' already"):
        cq.encode(adata, options=options)
    np.testing.assert_array_equal(adata.obsm["X_celloquy"], 0)
    write_h5ad(adata, tmp_path / "cells.h5ad")
    with pytest.raises(InputError, match="`obsm` has 'X_celloquy' already"):
        cq.encode(tmp_path / "cells.h5ad", out=tmp_path / "out.h5ad", options=options)
    assert [path.name for path in tmp_path.iterdir()] == ["cells.h5ad"]
    cq.encode(adata, options=options, overwrite=True)
    assert adata.obsm["X_celloquy"].shape == (24, 64)
    del adata.obsm["X_celloquy"]
    with pytest.raises(InputError, match="`uns` has 'X_celloquy' already"):
        cq.encode(adata, options=options)


def test_words_that_are_no_option_are_refused(options, adata):
    with pytest.raises(InputError, match="`by` is 'sentence' or 'genes', got 'gene'"):
        EncodeOptions(by="gene")
    with pytest.raises(InputError, match="`normalise_by` is 'weights' or 'genes', got 'sum'"):
        EncodeOptions(by="genes", normalise_by="sum")
    with pytest.raises(InputError, match="no style 'celltosentence'"):
        cq.encode(adata, options=EncodeOptions(text=replace(options.text, style="celltosentence")))


def test_cells_that_have_no_rank_are_refused_with_the_slot_that_has(adata, options):
    adata.raw = log1p_of(adata)
    adata.X = np.asarray(adata.X.toarray() - adata.X.toarray().mean(axis=0))
    with pytest.raises(InputError, match="holds scaled values") as refusal:
        cq.encode(adata, options=options)
    assert "use_raw=True" in refusal.value.hint
    found = cq.encode(adata, options=replace(options, read=ReadOptions(use_raw=True)))
    assert found.record["slot"] == "raw.X"


def test_a_name_that_ends_in_no_format_is_refused_before_anything_is_computed(
    options, adata, tmp_path
):
    write_h5ad(adata, tmp_path / "cells.h5ad")
    with pytest.raises(InputError, match=r"'out.csv' ends in '.csv'") as refusal:
        cq.encode(tmp_path / "cells.h5ad", out=tmp_path / "out.csv", options=options)
    assert refusal.value.hint == "name it 'out.h5ad'."
    assert [path.name for path in tmp_path.iterdir()] == ["cells.h5ad"]


def test_a_backed_object_gets_its_results_too(options, adata, tmp_path):
    write_h5ad(adata, tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    found, expected = (cq.encode(cells, options=options) for cells in (backed, adata))
    np.testing.assert_allclose(backed.obsm["X_celloquy"], expected.vectors, atol=1e-5)
    np.testing.assert_array_equal(backed.obsm["X_celloquy"], found.vectors)
    backed.file.close()


def test_a_view_is_refused_with_the_way_out(adata, options):
    with pytest.raises(InputError, match="into a view of an AnnData") as refusal:
        cq.encode(adata[:3], options=options)
    assert "copy()" in refusal.value.hint


def test_an_adata_has_no_copy_to_write(adata, options, tmp_path):
    with pytest.raises(InputError, match="`out` writes a copy of a file, and an AnnData"):
        cq.encode(adata, out=tmp_path / "out.h5ad", options=options)


@pytest.mark.parametrize("by", ["sentence", "genes"])
def test_a_file_gives_a_file_and_stays_as_it_is(adata, options, tmp_path, by):
    path = tmp_path / "zellen_ä.h5ad"
    write_h5ad(adata, path)
    before = path.read_bytes()
    chosen = replace(options, by=by)
    encoding = cq.encode(path, out=tmp_path / "out_ö.h5ad", options=chosen)
    assert encoding.vectors is None
    assert path.read_bytes() == before
    written = ad.read_h5ad(tmp_path / "out_ö.h5ad")
    expected = cq.encode(adata, options=chosen).vectors
    np.testing.assert_allclose(written.obsm["X_celloquy"], expected, atol=1e-6)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out_ö.h5ad", "zellen_ä.h5ad"]
    np.testing.assert_allclose(cq.encode(path, options=chosen).vectors, expected, atol=1e-6)


def test_a_column_of_var_may_hold_the_names(adata, options):
    expected = cq.encode(adata.copy(), options=options).vectors
    adata.var["symbol"] = adata.var_names
    adata.var_names = ["same"] * adata.n_vars
    found = cq.encode(adata, options=replace(options, read=ReadOptions(gene_column="symbol")))
    np.testing.assert_allclose(found.vectors, expected, atol=1e-6)


def test_data_sets_are_encoded_together_over_the_genes_that_all_measure(options):
    one, two = labelled_cells(4, n_genes=60, seed=1), labelled_cells(3, n_genes=60, seed=2)
    one.var_names = [f"g{i}" for i in range(60)]
    two.var_names = [*(f"g{i}" for i in range(55)), *(f"mine{i}" for i in range(5))]
    two = two[:, ::-1].copy()
    together = cq.encode_together({"a": one, "b": two}, options=options)
    assert together.uns["X_celloquy"]["n_shared_genes"] == 55
    assert together.obs["dataset"].tolist() == ["a"] * 12 + ["b"] * 9
    assert together.obs_names[0] == "a-cell1-0"
    shared = [f"g{i}" for i in range(55)]
    expected = [cq.encode(adata[:, shared].copy(), options=options).vectors for adata in (one, two)]
    np.testing.assert_allclose(together.obsm["X_celloquy"], np.vstack(expected), atol=1e-5)
    assert "X_celloquy" not in one.obsm


def test_data_sets_that_share_too_few_genes_are_not_encoded_together(adata, options):
    other = adata.copy()
    other.var_names = [f"ENSG{i:011d}" for i in range(60)]
    with pytest.raises(InputError, match="The 2 data sets share 0 genes") as refusal:
        cq.encode_together({"a": adata, "b": other}, options=options)
    assert "Ensembl ids" in refusal.value.hint
    with pytest.raises(InputError, match="There is no data set to encode"):
        cq.encode_together({}, options=options)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs limits on the size of files")
def test_a_full_disk_is_told_and_leaves_no_half_file(adata, tmp_path):
    write_h5ad(adata, tmp_path / "cells.h5ad")
    write_encoder(tmp_path / "lm")
    script = """
        import resource, signal, sys
        from celloquy.errors import InputError
        from celloquy.roles import EncodeOptions, TextSource, encode
        from celloquy.lm import load_lm
        folder, limit = sys.argv[1], int(sys.argv[2])
        lm = load_lm(f"st:{folder}/lm", device="cpu")
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            encode(f"{folder}/cells.h5ad", out=f"{folder}/out.h5ad",
                   options=EncodeOptions(text=TextSource(lm=lm)))
        except InputError as error:
            print(error, error.hint)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path), "3000"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert "The disk or quota is full" in done.stdout, done.stderr
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert not [name for name in left if name.startswith(("out.h5ad", "part-", ".out"))]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_killed_run_leaves_no_half_file_and_goes_on_from_its_parts(adata, tmp_path):
    many = ad.concat([adata] * 1050, index_unique="-")  # 25,200 cells: three parts
    many.var_names = adata.var_names
    write_h5ad(many, tmp_path / "cells.h5ad")
    folder = write_encoder(tmp_path / "lm")
    script = """
        import os, signal, sys, threading, time
        from celloquy.roles import EncodeOptions, TextSource, encode
        folder, kill = sys.argv[1], sys.argv[2] == "kill"
        def watch():
            while not os.path.exists(f"{folder}/out.h5ad.parts/part-00000.json"):
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGKILL)
        if kill:
            threading.Thread(target=watch, daemon=True).start()
        encode(f"{folder}/cells.h5ad", out=f"{folder}/out.h5ad", options=EncodeOptions(
            by="genes", text=TextSource(lm=f"st:{folder}/lm", device="cpu")))
    """

    def run(how):
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), str(tmp_path), how],
            check=False, capture_output=True, text=True,
        )  # fmt: skip

    assert run("kill").returncode == -signal.SIGKILL
    assert not (tmp_path / "out.h5ad").exists()
    done = run("finish")
    assert done.returncode == 0, done.stderr
    n_done = int(done.stderr.split(" cells in ")[0].splitlines()[-1].replace(",", ""))
    assert n_done in {15_200, 5_200}  # the parts that were whole were not made again
    assert not (tmp_path / "out.h5ad.parts").exists()
    written = ad.read_h5ad(tmp_path / "out.h5ad")
    lm = load_lm(f"st:{folder}", device="cpu")
    expected = cq.encode(
        adata, options=EncodeOptions(by="genes", text=TextSource(lm=lm, device="cpu"))
    ).vectors
    np.testing.assert_allclose(written.obsm["X_celloquy"], np.tile(expected, (1050, 1)), atol=1e-5)


def test_parts_of_another_run_are_not_used(adata, options, tmp_path):
    write_h5ad(adata, tmp_path / "cells.h5ad")
    parts = tmp_path / "out.h5ad.parts"
    parts.mkdir()
    (parts / "plan.json").write_text(json.dumps({"schema": 1, "config": {"lm": "another"}}))
    (parts / "part-00000.json").write_text("{}")
    with pytest.raises(InputError, match="holds the parts of another run"):
        cq.encode(tmp_path / "cells.h5ad", out=tmp_path / "out.h5ad", options=options)
    cq.encode(tmp_path / "cells.h5ad", out=tmp_path / "out.h5ad", options=options, overwrite=True)
    assert not parts.exists()
    assert ad.read_h5ad(tmp_path / "out.h5ad").obsm["X_celloquy"].shape == (24, 64)
