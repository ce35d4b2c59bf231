"""A whole AnnData brought to other gene names."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from celloquy.errors import InputError
from celloquy.knowledge import (
    GeneTable,
    is_protein_coding,
    map_genes,
    to_ensembl,
    to_human,
    to_symbols,
    with_genes,
)
from celloquy.knowledge._genes import orthologs_of_pairs

TABLE = GeneTable(
    "human",
    ("TP53", "SEPTIN2", "XIST"),
    ("ENSG00000141510", "ENSG00000168385", "ENSG00000229807"),
    biotypes=("protein-coding gene", "protein-coding gene", "non-coding RNA"),
    previous={"SEPT2": (1,)},
    aliases={},
    source="a table of three",
)
COUNTS = np.array([[1, 2, 0, 4], [0, 3, 5, 0]], dtype=np.float32)


@pytest.fixture
def adata():
    adata = ad.AnnData(sp.csr_matrix(COUNTS), layers={"counts": sp.csc_matrix(COUNTS)})
    adata.obs_names = ["a", "b"]
    adata.var_names = ["SEPT2", "TP53", "SEPTIN2", "FOO"]
    adata.var["n"] = [1, 2, 3, 4]
    adata.obs["cell_type"] = pd.Categorical(["T", "B"])
    adata.obsm["X_pca"] = np.ones((2, 2))
    adata.varm["PCs"] = np.arange(8.0).reshape(4, 2)
    adata.uns["note"] = "kept"
    return adata


def test_columns_of_one_gene_are_added_in_x_and_layers(adata):
    result = to_symbols(adata, organism="human", collisions="sum", table=TABLE)
    assert result.var_names.tolist() == ["SEPTIN2", "TP53", "FOO"]
    assert result.X.toarray().tolist() == [[1, 2, 4], [5, 3, 0]]
    assert result.X.format == result.layers["counts"].format == "csr"
    assert result.layers["counts"].toarray().tolist() == [[1, 2, 4], [5, 3, 0]]
    assert result.var["ensembl_id"].tolist() == ["ENSG00000168385", "ENSG00000141510", ""]
    assert result.var["former_names"].tolist() == ["SEPT2|SEPTIN2", "TP53", "FOO"]
    assert result.var["n"].tolist() == [1, 2, 4]


def test_cells_and_their_slots_stay_and_loadings_of_merged_genes_go(adata):
    result = to_symbols(adata, organism="human", collisions="sum", table=TABLE)
    assert result.obs.equals(adata.obs)
    assert result.obsm["X_pca"].tolist() == [[1, 1], [1, 1]]
    assert result.uns["note"] == "kept"
    assert result.uns["celloquy_genes"]["merged"] == 1
    assert "PCs" not in result.varm
    apart = to_symbols(adata, organism="human", collisions="keep", table=TABLE)
    assert apart.varm["PCs"].tolist() == adata.varm["PCs"].tolist()


def test_the_anndata_given_is_not_changed(adata):
    before = adata.copy()
    result = to_symbols(adata, organism="human", collisions="sum", table=TABLE)
    result.X.data[:] = 0
    result.obs["cell_type"] = "?"
    result.obsm["X_pca"][:] = 0
    assert adata.var_names.tolist() == before.var_names.tolist()
    assert (adata.X != before.X).nnz == 0
    assert adata.obs.equals(before.obs)
    assert (adata.obsm["X_pca"] == 1).all()
    assert list(adata.uns) == ["note"]


def test_a_map_that_changes_no_name_shares_no_memory_either(adata):
    result = with_genes(adata, map_genes(adata.var_names))
    assert not np.shares_memory(result.X.data, adata.X.data)
    assert result.varm["PCs"].tolist() == adata.varm["PCs"].tolist()
    assert not np.shares_memory(result.varm["PCs"], adata.varm["PCs"])


def test_dense_stays_dense_and_views_are_fine(adata):
    adata.X = COUNTS
    result = to_symbols(adata[[1]], organism="human", collisions="sum", table=TABLE)
    assert isinstance(result.X, np.ndarray)
    assert result.X.tolist() == [[5, 3, 0]]
    assert not result.is_view


def test_an_anndata_without_x_is_fine(adata):
    adata.X = None
    result = to_symbols(adata, organism="human", collisions="sum", table=TABLE)
    assert result.X is None
    assert result.layers["counts"].shape == (2, 3)


def test_the_result_can_be_written_and_read(adata, tmp_path):
    result = to_symbols(adata, organism="human", collisions="sum", table=TABLE)
    result.write_h5ad(tmp_path / "x.h5ad")
    back = ad.read_h5ad(tmp_path / "x.h5ad")
    assert back.var_names.tolist() == result.var_names.tolist()
    assert back.uns["celloquy_genes"]["n_vars"] == 4


def test_ids_in_var_are_believed_before_names(adata):
    adata.var["gene_ids"] = ["ENSG00000168385.1", "ENSG00000141510.2", "ENSG00000229807.1", ""]
    result = to_symbols(adata, organism="human", table=TABLE)
    assert result.var_names.tolist() == ["SEPTIN2", "TP53", "XIST", "FOO"]


def test_names_may_be_in_a_column_and_ids_in_the_index(adata):
    adata.var["feature_name"] = ["SEPT2", "TP53", "XIST", "FOO"]
    adata.var_names = [f"ENSG{i:011d}" for i in (168385, 141510, 999999, 999998)]
    result = to_symbols(adata, names_key="feature_name", table=TABLE)
    assert result.var_names.tolist() == ["SEPTIN2", "TP53", "XIST", "FOO"]
    with pytest.raises(InputError, match=r"`adata\.var` has no column 'symbol'") as refusal:
        to_symbols(adata, names_key="symbol", table=TABLE)
    assert "feature_name" in refusal.value.hint


def test_to_ensembl_renames_an_anndata(adata):
    result = to_ensembl(adata[:, :2], organism="human", table=TABLE)
    assert result.var_names.tolist() == ["ENSG00000168385", "ENSG00000141510"]


def test_to_human_renames_and_drops(adata):
    adata.var_names = ["Trp53", "Xist", "Gm1", "Ugt1a6a"]
    pairs = [("TP53", "", "Trp53", ""), ("UGT1A6", "", "Ugt1a6a", "")]
    table = orthologs_of_pairs(pairs, source="two pairs")
    result = to_human(adata, table=table)
    assert result.var_names.tolist() == ["TP53", "UGT1A6"]
    assert result.X.toarray().tolist() == [[1, 4], [0, 0]]
    assert to_human(["Trp53"], table=table).names == ("TP53",)


def test_log_values_need_to_be_called_so(adata):
    adata.X = sp.csr_matrix(np.log1p(COUNTS))
    with pytest.raises(InputError, match=r"`X` cannot be brought to genes. .*not counts"):
        to_symbols(adata, organism="human", collisions="sum", table=TABLE)
    result = to_symbols(adata, organism="human", collisions="sum", kind="log1p", table=TABLE)
    np.testing.assert_allclose(result.X.toarray()[1, 0], np.log1p(5), rtol=1e-6)
    assert result.layers["counts"].toarray()[1, 0] == 5


def test_a_backed_anndata_is_refused_with_the_way_out(adata, tmp_path):
    adata.write_h5ad(tmp_path / "x.h5ad")
    backed = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    with pytest.raises(InputError, match="backed by a file") as refusal:
        to_symbols(backed, organism="human", collisions="sum", table=TABLE)
    assert "to_memory" in refusal.value.hint
    backed.file.close()


def test_a_map_of_another_source_is_refused(adata):
    with pytest.raises(InputError, match="The map has 1 columns, the AnnData 4"):
        with_genes(adata, map_genes(["A"]))


def test_protein_coding_genes_are_marked_by_any_name(adata):
    assert is_protein_coding(adata, organism="human", table=TABLE).tolist() == [1, 1, 1, 0]
    names = ["XIST", "ENSG00000141510.3", "SEPT2", "FOO", ""]
    assert is_protein_coding(names, table=TABLE).tolist() == [0, 1, 1, 0, 0]
    assert is_protein_coding([], table=TABLE).tolist() == []


def test_unknown_kinds_of_genes_are_refused():
    table = GeneTable("human", ("TP53",), ("",), source="a table without kinds")
    with pytest.raises(InputError, match=r"not known on this machine \(a table without kinds\)"):
        is_protein_coding(["TP53"], organism="human", table=table)
