"""Label names of public blood studies to six coarse types, by an explicit table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from celloquy.apps.demo import packaged_cells
from celloquy.evaluation import blood_types, coarse_blood_types
from celloquy.io import read

SIX = {"B", "CD4 T", "CD8 T", "NK", "monocyte", "dendritic"}


def test_there_are_six_coarse_types():
    assert set(blood_types().values()) == SIX


@pytest.mark.parametrize("coarse", sorted(SIX))
def test_every_coarse_type_means_itself(coarse):
    assert blood_types().get(coarse, coarse) == coarse


def test_what_the_table_does_not_know_has_no_coarse_type():
    assert coarse_blood_types(["Platelet", "CD34+", np.nan, None, 7, ""]) == [None] * 6


def test_the_ten_labels_of_the_packaged_cells_become_six_types():
    labels = read(packaged_cells()).obs["bulk_labels"]
    coarse = pd.Series(coarse_blood_types(labels), index=labels.index)
    assert set(coarse.dropna()) == SIX
    assert set(labels[coarse.isna()]) == {"CD34+"}
    # by hand from the names of the sorted populations
    assert set(coarse[labels == "CD8+/CD45RA+ Naive Cytotoxic"]) == {"CD8 T"}
    assert set(coarse[labels == "CD4+/CD25 T Reg"]) == {"CD4 T"}
    assert set(coarse[labels == "CD56+ NK"]) == {"NK"}
    assert set(coarse[labels == "CD14+ Monocyte"]) == {"monocyte"}
