"""`check` says what is in a source, what is wrong with it and how to mend it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from celloquy.checks import check
from celloquy.errors import InputError
from celloquy.knowledge import data_add

GENES = ["CD3E", "MS4A1", "IL7R", "LYZ", "NKG7", "MT-CO1"]


def counts(n_obs=30, n_vars=6, seed=0):
    return np.random.default_rng(seed).poisson(3, (n_obs, n_vars)).astype(np.float32) + np.eye(
        n_obs, n_vars, dtype=np.float32
    )


@pytest.fixture
def adata():
    cells = pd.DataFrame(index=[f"cell_{i}" for i in range(30)])
    return ad.AnnData(sp.csr_matrix(counts()), obs=cells, var=pd.DataFrame(index=GENES))


def codes(report):
    return {problem.code for problem in report.problems}


def problem(report, code):
    return next(problem for problem in report.problems if problem.code == code)


def test_sound_counts_are_ok(adata):
    report = check(adata)
    assert report.ok
    assert (report.n_obs, report.n_vars, report.n_seen, report.slot) == (30, 6, 30, "X")
    assert report.kind.kind == "counts"
    assert report.organism == "human"


def test_medians_are_those_of_the_matrix():
    # Genes a cell: 1, 2, 3; molecules a cell: 4, 6, 9.
    matrix = np.array([[4, 0, 0], [5, 1, 0], [1, 3, 5]], dtype=np.float32)
    report = check(ad.AnnData(matrix, var=pd.DataFrame(index=["CD3E", "LYZ", "NKG7"])))
    assert report.facts == {"genes_per_cell": 2.0, "total_per_cell": 6.0}


def test_mitochondrial_share_is_taken_from_molecules_and_not_from_logarithms():
    genes = ["MT-CO1"] + [f"GENE{i}" for i in range(5_999)]
    molecules = np.random.default_rng(0).poisson(0.1, (3, 6_000)).astype(float)
    molecules[:, 0] = molecules[:, 1:].sum(axis=1) / 3  # a quarter of the cell
    total = molecules.sum(axis=1, keepdims=True)
    logs = np.log1p(molecules / total * 1e4)
    report = check(ad.AnnData(logs, var=pd.DataFrame(index=genes)))
    assert report.facts["mitochondrial_share"] == pytest.approx(0.25)
    assert problem(report, "high-mitochondrial").count == 3


@pytest.mark.parametrize(
    ("value", "code"),
    [(np.nan, "missing-values"), (np.inf, "infinite-values"), (-1.5, "negative-values")],
)
def test_one_bad_value_anywhere_is_found_and_refused(adata, value, code):
    adata.X = adata.X.toarray()
    adata.X[17, 4] = value
    report = check(adata, n_sampled=3)
    assert not report.ok
    assert problem(report, code).count == 1


def test_scaled_values_are_refused_and_the_slot_that_works_is_named(adata):
    adata.layers["counts"] = adata.X.copy()
    dense = adata.X.toarray()
    adata.X = (dense - dense.mean(axis=0)) / dense.std(axis=0)
    report = check(adata)
    assert not report.ok
    assert report.kind.kind == "scaled"
    assert "`layer='counts'` (`--layer counts`)" in problem(report, "negative-values").mend
    assert check(adata, layer="counts").ok
    assert "cannot be used" in str(report)


def test_scaled_values_without_another_slot_send_back_to_the_source(adata):
    adata.X = adata.X.toarray() - 5
    assert "before it was scaled" in problem(check(adata), "negative-values").mend


def test_every_slot_is_told_and_the_chosen_one_comes_first(adata):
    adata.layers["counts"] = adata.X.copy()
    adata.X = sp.csr_matrix(np.log1p(adata.X.toarray()))
    adata.raw = adata.copy()
    report = check(adata, use_raw=True)
    assert [(slot.name, slot.kind.kind, slot.is_chosen) for slot in report.slots] == [
        ("raw.X", "log1p", True),
        ("X", "log1p", False),
        ("layers['counts']", "counts", False),
    ]


def test_the_slots_of_a_file_are_those_of_the_object(adata, tmp_path):
    adata.layers["counts"] = adata.X.copy()
    adata.raw = adata.copy()
    in_memory = check(adata)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    on_disk = check(tmp_path / "cells.h5ad")
    assert on_disk.source == "cells.h5ad"
    assert on_disk.slots == in_memory.slots
    assert on_disk.problems == in_memory.problems


@pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning")
def test_the_slots_of_a_zarr_are_those_of_the_object(adata, tmp_path):
    adata.layers["counts"] = adata.X.copy()
    adata.write_zarr(tmp_path / "cells.zarr")
    assert check(tmp_path / "cells.zarr").slots == check(adata).slots


def test_a_layer_of_any_name_is_looked_at(adata):
    for name in ("it's", 'a "b"', "back\\slash", "two\nlines", "Größe"):
        adata.layers[name] = adata.X.copy()
    assert {slot.kind.kind for slot in check(adata).slots} == {"counts"}


def test_backed_objects_and_views_are_looked_at_like_any_other(adata, tmp_path):
    adata.layers["counts"] = adata.X.copy()
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    assert check(backed).slots == check(adata).slots
    backed.file.close()
    assert check(adata[:20, :4]).n_obs == 20


def test_a_text_table_on_its_side_is_refused(tmp_path):
    table = pd.DataFrame(
        np.ones((12, 20), dtype=int),
        index=[f"CD{i}{letter}" for i, letter in enumerate("ABCDEFGHIJKL")],
        columns=[f"cell_{i}" for i in range(20)],
    )
    table.to_csv(tmp_path / "genes_by_cells.csv")
    assert "transposed" in codes(check(tmp_path / "genes_by_cells.csv"))


def test_what_is_no_file_of_cells_is_refused_when_opened(tmp_path):
    (tmp_path / "empty.h5ad").write_bytes(b"")
    with pytest.raises(InputError, match=r"'empty\.h5ad' is empty"):
        check(tmp_path / "empty.h5ad")


def test_an_unreadable_layer_is_told_and_does_not_stop_the_report(adata, tmp_path):
    import h5py

    adata.layers["odd"] = adata.X.copy()
    adata.write_h5ad(tmp_path / "cells.h5ad")
    with h5py.File(tmp_path / "cells.h5ad", "a") as file:
        del file["layers/odd"]
        file["layers/odd"] = np.zeros(3)
    report = check(tmp_path / "cells.h5ad")
    assert report.ok
    assert "cannot be read" in report.slots[1].kind.evidence


def test_no_cells_and_no_genes_are_refused():
    assert "no-cells" in codes(check(ad.AnnData(np.zeros((0, 3), dtype=np.float32))))
    assert "no-genes" in codes(check(ad.AnnData(np.zeros((3, 0), dtype=np.float32))))


def test_a_matrix_without_any_expression_is_refused(adata):
    adata.X = sp.csr_matrix(adata.shape, dtype=np.float32)
    report = check(adata)
    assert not report.ok
    assert "nothing-expressed" in codes(report)


def test_empty_cells_and_genes_are_counted(adata):
    dense = adata.X.toarray()
    dense[3], dense[:, 2] = 0, 0
    adata.X = dense
    report = check(adata)
    assert problem(report, "empty-cells").count == 1
    assert problem(report, "empty-genes").examples == ("IL7R",)


def test_poor_cells_are_counted_in_a_whole_transcriptome_only():
    matrix = sp.random(40, 6_000, density=0.01, random_state=np.random.default_rng(0), format="csr")
    matrix.data = np.ceil(matrix.data * 9)
    names = pd.DataFrame(index=[f"GENE{i}" for i in range(6_000)])
    assert problem(check(ad.AnnData(matrix, var=names)), "few-genes").count == 40
    panel = ad.AnnData(matrix[:, :900], var=names.iloc[:900])
    assert "few-genes" not in codes(check(panel))


def test_values_without_any_zero_are_suspected():
    values = np.random.default_rng(0).poisson(2, (20, 150)) + 0.5
    names = pd.DataFrame(index=[f"GENE{i}" for i in range(150)])
    found = codes(check(ad.AnnData(values, var=names)))
    assert {"no-zeros", "unknown-kind"} <= found


def test_a_transposed_matrix_is_refused_and_turned():
    barcodes = [
        f"AAACCTGAGC{'ACGT'[i % 4]}{'ACGT'[i // 4 % 4]}{'ACGT'[i // 16]}T-1" for i in range(60)
    ]
    lying = ad.AnnData(
        counts(6, 60), obs=pd.DataFrame(index=GENES), var=pd.DataFrame(index=barcodes)
    )
    report = check(lying)
    assert "adata.T.copy()" in problem(report, "transposed").mend
    assert "transposed" not in codes(check(lying.T.copy()))


def test_symbols_are_unchecked_without_the_table_and_it_is_said(adata):
    assert problem(check(adata), "symbols-unchecked").mend == "`celloquy data get hgnc`"


def test_retired_symbols_and_aliases_are_counted_with_the_table(adata, tmp_path):
    table = tmp_path / "hgnc.tsv"
    columns = ["symbol", "ensembl_gene_id", "locus_group", "alias_symbol", "prev_symbol"]
    rows = [
        ["CD3E", "ENSG00000198851", "protein-coding gene", "", ""],
        ["SEPTIN2", "ENSG00000168385", "protein-coding gene", "DIFF6", "SEPT2|NEDD5"],
        ["NKG7", "ENSG00000105374", "protein-coding gene", "GMP-17|GIG1", ""],
    ]
    table.write_text("\n".join("\t".join(row) for row in [columns, *rows]) + "\n")
    data_add("hgnc", table)
    adata.var_names = ["CD3E", "SEPT2", "GIG1", "NOTAGENE", "NKG7", "MADEUP1"]
    report = check(adata)
    assert problem(report, "retired-symbols").examples == ("SEPT2",)
    assert problem(report, "aliases").examples == ("GIG1",)
    assert problem(report, "unknown-symbols").count == 2


def test_overlap_with_a_reference_is_counted_by_either_kind_of_reference(adata, tmp_path):
    half = ad.AnnData(counts(5, 3), var=pd.DataFrame(index=["CD3E", "LYZ", "GNLY"]))
    half.write_h5ad(tmp_path / "reference.h5ad")
    for reference in (half, tmp_path / "reference.h5ad", ["CD3E", "LYZ", "GNLY"]):
        report = check(adata, reference=reference)
        assert report.facts["reference_overlap"] == pytest.approx(2 / 3)
        assert "2 of the reference's 3 genes" in problem(report, "reference-overlap").message


@pytest.mark.parametrize(
    ("reference", "mend"),
    [
        (["Cd3e", "Ms4a1", "Il7r"], "but for capitals"),
        (["ENSG00000198851", "ENSG00000156738"], "cq.knowledge.to_ensembl(adata)"),
        (["YAL001C", "YAL002W"], "same organism"),
    ],
)
def test_a_reference_without_a_shared_gene_is_refused_and_the_cause_is_guessed(
    adata, reference, mend
):
    report = check(adata, reference=reference)
    assert not report.ok
    assert mend in problem(report, "little-overlap").mend


def test_a_reference_without_genes_is_refused(adata):
    assert "empty-reference" in codes(check(adata, reference=[]))


def test_fewer_than_one_sampled_cell_is_refused(adata):
    with pytest.raises(InputError, match="`n_sampled` must be at least 1, got 0"):
        check(adata, n_sampled=0)


def test_the_report_is_json_and_text(adata):
    adata.obs["cell_type"] = ["T cell", "B cell"] * 15
    report = check(adata)
    told = json.loads(json.dumps(report.to_dict()))
    assert told["ok"] is True
    assert told["slots"][0]["kind"]["kind"] == "counts"
    assert "label_key='cell_type'" in str(report)
    assert "X can be used." in str(report)


def test_a_large_source_is_seen_in_part_and_it_is_said(adata, monkeypatch):
    monkeypatch.setattr("celloquy.checks._check.MOST_CELLS", 10)
    report = check(adata, n_sampled=7)
    assert report.n_seen == 7
    assert "7 cells spread over it" in str(report)
    assert "empty-genes" not in codes(report)


def pbmc68k():
    spec = importlib.util.find_spec("scanpy")
    return Path(spec.submodule_search_locations[0]) / "datasets" / "10x_pbmc68k_reduced.h5ad"


def test_the_z_scores_of_scanpys_set_are_refused_and_its_raw_is_suggested():
    report = check(pbmc68k())
    assert not report.ok
    assert report.kind.kind == "scaled"
    assert "raw.X holds log1p" in problem(report, "negative-values").mend
    assert [s.column for s in report.suggestions] == ["bulk_labels", "louvain"]


def test_the_raw_values_of_scanpys_set_are_log1p_of_a_panel():
    report = check(pbmc68k(), use_raw=True)
    assert report.ok
    assert report.kind.kind == "log1p"
    assert report.n_vars == 765
    assert problem(report, "rare-labels").count == 3


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), dtype=st.sampled_from([np.float32, np.float64, np.int32]))
def test_order_storage_and_dtype_do_not_change_the_findings(seed, dtype):
    rng = np.random.default_rng(seed)
    matrix = rng.poisson(0.7, (12, 6))
    rows, columns = rng.permutation(12), rng.permutation(6)
    cells = np.array([f"cell_{i}" for i in range(12)])
    here = ad.AnnData(
        matrix.astype(dtype), obs=pd.DataFrame(index=cells), var=pd.DataFrame(index=GENES)
    )
    there = ad.AnnData(
        sp.csc_matrix(matrix[rows][:, columns].astype(np.float64)),
        obs=pd.DataFrame(index=cells[rows]),
        var=pd.DataFrame(index=np.array(GENES)[columns]),
    )
    first, second = check(here), check(there)
    assert [(p.code, p.count) for p in first.problems] == [
        (p.code, p.count) for p in second.problems
    ]
    assert first.kind == second.kind
    assert first.facts == second.facts


NAMES = st.sampled_from(["CD3E", "cd3e", "", " ", "nan", "ENSG00000141510.1", "1-Mar", "A B", "7"])


@settings(max_examples=100, deadline=None)
@given(
    matrix=hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=5)),
    data=st.data(),
)
def test_no_source_is_too_odd_and_none_is_changed(matrix, data):
    var_names = data.draw(st.lists(NAMES, min_size=matrix.shape[1], max_size=matrix.shape[1]))
    labels = data.draw(
        st.lists(st.sampled_from(["T", None, float("nan"), 3, [1]]), min_size=len(matrix),
                 max_size=len(matrix))
    )  # fmt: skip
    adata = ad.AnnData(sp.csr_matrix(matrix))
    adata.var = pd.DataFrame(index=pd.Index(var_names, dtype=object))
    adata.obs["cell_type"] = pd.Series(labels, index=adata.obs_names, dtype=object)
    before = adata.X.copy()
    assert str(check(adata))
    np.testing.assert_array_equal(adata.X.toarray(), before.toarray())
    assert list(adata.var_names) == var_names
