"""The checks inside every verb refuse what cannot be used and name what would work."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from celloquy.checks import check, check_for_verb, refuse_problems, require_slot
from celloquy.errors import InputError
from celloquy.io import open_stream

GENES = ["CD3E", "MS4A1", "IL7R", "LYZ"]


@pytest.fixture
def adata():
    values = np.random.default_rng(0).poisson(2, (40, 4)).astype(np.float32)
    cells = pd.DataFrame(index=[f"cell_{i}" for i in range(40)])
    return ad.AnnData(values, obs=cells, var=pd.DataFrame(index=GENES))


def checked(adata, *, needs="rankable", layer=None):
    with open_stream(adata, layer=layer) as stream:
        return check_for_verb(stream, verb="sentences", needs=needs, source=adata)


def test_counts_pass_and_their_kind_is_given(adata):
    assert checked(adata, needs="expression").kind == "counts"


def test_scaled_values_are_refused_and_raw_is_named_but_not_taken(adata):
    adata.raw = adata.copy()
    adata.X = adata.X - adata.X.mean(axis=0)
    with pytest.raises(InputError, match=r"X of 'AnnData' holds scaled values") as refusal:
        checked(adata)
    assert refusal.value.hint == "`use_raw=True` (`--raw`): raw.X holds counts."


def test_counts_are_named_before_logarithms(adata):
    adata.layers["logs"] = np.log1p(adata.X)
    adata.layers["molecules"] = adata.X.copy()
    adata.X = adata.X - 9.5
    with pytest.raises(InputError, match="needs none below 0") as refusal:
        checked(adata)
    assert "`layer='molecules'`" in refusal.value.hint


def test_without_a_slot_that_works_the_hint_says_what_to_pass(adata):
    adata.X = adata.X - 9.5
    with pytest.raises(InputError, match="needs none below 0") as refusal:
        checked(adata)
    assert refusal.value.hint == "pass counts or log1p values."


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_missing_and_infinite_values_are_refused(adata, value):
    adata.X[3, 2] = value
    with pytest.raises(InputError, match="missing or infinite values: 1 in 40 cells"):
        checked(adata)


def test_no_cells_and_no_genes_are_refused(adata):
    with pytest.raises(InputError, match="has no cells"):
        checked(adata[:0].copy())
    with pytest.raises(InputError, match="has no genes"):
        checked(adata[:, :0].copy())


def test_a_matrix_without_expression_is_refused(adata):
    adata.X = np.zeros_like(adata.X)
    with pytest.raises(InputError, match="expresses nothing: all 40 cells"):
        checked(adata)


def test_a_transposed_matrix_is_refused(adata):
    adata.obs_names = [f"ENSG{i:011d}" for i in range(40)]
    with pytest.raises(InputError, match="is transposed, genes by cells"):
        checked(adata)


def test_names_that_all_repeat_are_refused(adata):
    adata.var_names = ["CD3E"] * 4
    with pytest.raises(InputError, match="Every gene name of 'AnnData' repeats, such as 'CD3E'"):
        checked(adata)


def test_names_from_elsewhere_are_judged_in_place_of_the_index(adata):
    adata.var_names = ["gene"] * 4
    with open_stream(adata) as stream:
        assert check_for_verb(stream, verb="sentences", gene_names=GENES).kind == "counts"


def test_one_repeated_name_is_left_to_the_verbs_own_policy(adata):
    adata.var_names = ["CD3E", "CD3E", "IL7R", "LYZ"]
    assert checked(adata).kind == "counts"


def test_genes_without_names_are_refused(adata):
    adata.var_names = ["", " ", "  ", "   "]
    with pytest.raises(InputError, match="No gene of 'AnnData' has a name"):
        checked(adata)


def test_an_unknown_scale_can_be_ranked_but_is_no_expression(adata):
    adata.X = np.sqrt(adata.X)
    assert checked(adata).kind == "unknown"
    with pytest.raises(InputError, match="values of an unknown scale"):
        checked(adata, needs="expression")


def test_require_slot_takes_the_kinds_that_it_was_told(adata):
    adata.layers["logs"] = np.log1p(adata.X)
    with open_stream(adata) as stream:
        assert require_slot(stream, verb="reconstruct", kinds=("counts",)).kind == "counts"
        with pytest.raises(InputError, match=r"holds counts values .* needs log1p") as refusal:
            require_slot(stream, verb="reconstruct", kinds=("log1p",), source=adata)
    assert "`layer='logs'`" in refusal.value.hint


def test_refuse_problems_raises_the_first_refusal_of_a_report(adata):
    refuse_problems(check(adata))
    adata.var_names = ["CD3E", "CD3E", "IL7R", "LYZ"]
    with pytest.raises(InputError, match="1 gene names repeat") as refusal:
        refuse_problems(check(adata))
    assert "collisions" in refusal.value.hint


def test_what_a_verb_refuses_the_report_refuses_too(adata):
    bad = adata.copy()
    bad.X[0, 0] = -1.5
    assert not check(bad).ok
    with pytest.raises(InputError, match="holds scaled values"):
        checked(bad)
