"""Sentences of cells in memory: what is named, under which name, and what is refused."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from celloquy.errors import InputError
from celloquy.text import render_text
from celloquy.text._sentences import CellSentences, GeneOptions, sentences

GENES = ["CD3E", "MS4A1", "NKG7", "LYZ", "MT-CO1", "RPL13A"]
X = np.array([[0, 5, 2, 9, 7, 1], [0, 0, 0, 3, 0, 0], [0] * 6, [4, 5, 6, 7, 8, 9]], dtype=float)


def make(x=X, names=GENES, **options) -> ad.AnnData:
    obs = pd.DataFrame({"tissue": ["lung", None, "liver", "a\nb"][: len(x)]})
    obs.index = [f"cell{i}" for i in range(len(x))]
    adata = ad.AnnData(x, obs=obs, **options)
    adata.var_names = list(names)
    return adata


def test_sentences_are_labelled_by_cell_and_cut_genes_are_counted():
    found = sentences(make(), n_top_genes=3)
    assert found.text.to_dict() == {
        "cell0": "LYZ MT-CO1 MS4A1",
        "cell1": "LYZ",
        "cell2": "",
        "cell3": "RPL13A MT-CO1 LYZ",
    }
    assert found.n_cut.to_dict() == {"cell0": 2, "cell1": 0, "cell2": 0, "cell3": 3}
    assert len(found) == 4


def test_features_are_written_and_the_matrix_is_not_changed():
    adata = make()
    before = adata.X.copy()
    found = sentences(adata, n_top_genes=2, style="cellama", obs_features=["tissue"])
    assert found.text["cell0"] == "tissue of this cell is lung. Top genes are LYZ, and MT-CO1."
    assert found.text["cell3"].startswith("tissue of this cell is a b. Top")
    assert np.array_equal(adata.X, before)
    assert found.prompts()[2][1].text == "liver"


def test_genes_are_left_out_by_kind_and_by_name():
    options = GeneOptions(exclude_mitochondrial=True, exclude_ribosomal=True, exclude=("LYZ",))
    found = sentences(make(), genes=options)
    assert found.text["cell0"] == "MS4A1 NKG7"
    assert found.text["cell3"] == "NKG7 MS4A1 CD3E"
    assert found.record["left_out"] == {"mitochondrial": 1, "ribosomal": 1, "excluded": 1}
    assert found.ranked.vocabulary.names == ("CD3E", "MS4A1", "NKG7")


def test_a_gene_that_is_left_out_may_have_any_name():
    names = [*GENES[:5], "RPL 13A"]
    with pytest.raises(InputError, match="'RPL 13A' cannot be told apart"):
        sentences(make(names=names))
    assert (
        sentences(make(names=names), genes=GeneOptions(exclude=("RPL 13A",))).text["cell1"] == "LYZ"
    )


def test_names_to_exclude_that_are_not_there_are_refused():
    with pytest.raises(InputError, match="None of the 1 genes to exclude is there: 'LIZ'"):
        sentences(make(), genes=GeneOptions(exclude=("LIZ",)))


def test_excluding_every_gene_is_refused():
    with pytest.raises(InputError, match="None of the 6 genes may be named: excluded"):
        sentences(make(), genes=GeneOptions(exclude=tuple(GENES)))


def test_minimum_and_specificity_rank():
    assert sentences(make(), genes=GeneOptions(minimum=6)).text["cell0"] == "LYZ MT-CO1"
    medians = {"LYZ": 9.0, "MS4A1": 1.0, "NKG7": 1.0}
    by = GeneOptions(rank_by="specificity", medians=medians)
    assert sentences(make(), genes=by).text["cell0"] == "MS4A1 NKG7 LYZ"
    with pytest.raises(InputError, match="was given without `medians`"):
        GeneOptions(rank_by="specificity")


def test_capitals_are_written_before_collisions_are_looked_for():
    adata = make(names=["Lyz", "LYZ", *GENES[2:3], "CD8A", *GENES[4:]])
    with pytest.raises(InputError, match="LYZ"):
        sentences(adata, style="cell2sentence")
    summed = sentences(adata, style="cell2sentence", genes=GeneOptions(collisions="sum"))
    assert summed.text["cell3"] == "LYZ RPL13A MT-CO1 CD8A NKG7"
    assert len(sentences(adata).ranked.names(3)) == 6


def test_a_column_of_var_gives_the_names():
    adata = make(names=[f"ENSG{i:011d}" for i in range(6)])
    adata.var["symbol"] = GENES
    assert sentences(adata, genes=GeneOptions(gene_column="symbol")).text["cell1"] == "LYZ"
    with pytest.raises(InputError, match="no column 'symbl'; the closest is 'symbol'"):
        sentences(adata, genes=GeneOptions(gene_column="symbl"))


def test_sentences_of_ensembl_ids_are_told_with_the_option_that_names_symbols():
    adata = make(names=[f"ENSG{i:011d}.2" for i in range(6)])
    said = r"'AnnData' are named by Ensembl ids, such as 'ENSG00000000000\.2', and language models"
    with pytest.warns(UserWarning, match=said) as told:
        sentences(adata)
    assert "`--to symbol`" in str(told[0].message)
    sentences(adata, genes=GeneOptions(to="ensembl"))  # asked for, so nothing is told
    adata.var["symbol"] = GENES
    with pytest.warns(UserWarning, match=r"`gene_column='symbol'` \(`--gene-column symbol`\)"):
        sentences(adata)


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_values_without_a_rank_are_refused(bad):
    x = X.copy()
    x[3, 2] = bad
    with pytest.raises(InputError):
        sentences(make(x))


def test_a_missing_obs_column_is_refused_before_anything_is_ranked():
    with pytest.raises(InputError, match="no column 'tisue'; the closest is 'tissue'"):
        sentences(make(), style="cellama", obs_features=["tisue"])


def test_a_file_a_view_and_a_layer_give_the_same(tmp_path):
    adata = make()
    adata.layers["counts"] = sp.csc_matrix(X)
    adata.X = None
    adata.write_h5ad(tmp_path / "é.h5ad")
    wanted = sentences(make()).text.tolist()
    assert sentences(adata, layer="counts").text.tolist() == wanted
    assert sentences(tmp_path / "é.h5ad", layer="counts").text.tolist() == wanted
    assert sentences(make()[[3, 0]]).text.tolist() == [wanted[3], wanted[0]]


def test_tables_carry_genes_and_obs_and_the_record():
    table = sentences(make(), n_top_genes=2).to_arrow(values=True)
    assert table.column_names[:6] == ["obs_name", "text", "genes", "n_named", "n_cut", "values"]
    assert table["genes"].to_pylist() == [[3, 4], [3], [], [5, 4]]
    assert table["values"].to_pylist() == [[9, 7], [3], [], [9, 8]]
    assert table["tissue"].to_pylist() == ["lung", None, "liver", "a b"]
    assert b'"n_cells_cut": 2' in table.schema.metadata[b"celloquy"]


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_order_density_and_dtype_change_nothing(data):
    rows = data.draw(st.integers(1, 5))
    x = np.array(
        data.draw(
            st.lists(
                st.lists(st.integers(0, 4), min_size=6, max_size=6), min_size=rows, max_size=rows
            )
        )
    )
    x[0, 0] += 1
    plain = sentences(ad.AnnData(x.astype(float), var=pd.DataFrame(index=GENES))).text.tolist()
    columns = data.draw(st.permutations(range(6)))
    order = data.draw(st.permutations(range(rows)))
    moved = sp.csr_matrix(x[np.ix_(order, columns)]).astype(
        data.draw(st.sampled_from(["float32", "float64", "int32", "uint8"]))
    )
    var = pd.DataFrame(index=[GENES[i] for i in columns])
    assert sentences(ad.AnnData(moved, var=var)).text.tolist() == [plain[i] for i in order]


def test_text_is_what_rendering_gives():
    found = sentences(make())
    assert isinstance(found, CellSentences)
    assert found.text.tolist() == render_text(found.ranked).to_pylist()
