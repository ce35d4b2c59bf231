"""A folder of small synthetic cells and a suite over them, for the tests of suites."""

from __future__ import annotations

import numpy as np
import pandas as pd

from labelled_cells import labelled_cells

SUITE = """
name = "small"
title = "Labels <of> small cells"
summary = "Two studies & one part."
design = "pairs"
n_cells = 60
seeds = [0, 1]
methods = ["default", "majority", "logistic"]

[small]
n_cells = 20
methods = ["majority"]

[[sets]]
name = "one"
study = "first"
file = "one.h5ad"
origin = "nowhere"

[[sets]]
name = "two"
study = "second"
file = "two.h5ad"
origin = "elsewhere"

[[sets]]
name = "two again"
study = "second"
file = "two.h5ad"
where = { part = "b" }
shares_cells_with = ["two"]
origin = "elsewhere"
"""

LEFT_OUT = """
name = "left-out"
title = "The next donor"
summary = "Donors."
design = "leave-one-out"
n_cells = 15
methods = ["majority", "centroid"]

[[sets]]
name = "one"
study = "first"
file = "one.h5ad"
group = "donor"
origin = "nowhere"
"""

FOLDS = LEFT_OUT.replace("leave-one-out", "folds").replace('group = "donor"\n', "")


def write_cells(folder):
    """Write two files of cells: 90 of three donors, and 60 of two parts."""
    cells = folder / "cells"
    cells.mkdir(parents=True)
    one = labelled_cells(30, seed=1)
    one.obs["donor"] = pd.Categorical(np.tile(["a", "b", "c"], 30))
    one.write_h5ad(cells / "one.h5ad")
    two = labelled_cells(20, seed=2)
    two.obs["part"] = pd.Categorical(np.tile(["a", "b"], 30))
    two.write_h5ad(cells / "two.h5ad")


def write_suite(path, text=SUITE):
    """Write a suite, and give its path."""
    path.write_text(text, encoding="utf-8")
    return path
