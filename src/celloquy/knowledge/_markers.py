"""The small marker panel that comes with the package."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

import pandas as pd


def marker_panel() -> pd.DataFrame:
    """Give well-known markers of common human cell types, mostly of blood.

    Written by hand for this package: genes that are commonly used to name a cell type, each
    with the paper of an atlas in which they can be looked at. It is a help for reading
    results, not a classifier: a marker may be found in other types too, and a cell may lack
    it. Larger tables come with ``celloquy data get markers``.

    Returns
    -------
    One row a cell type and gene: `cell_type` and `cl_id` (Cell Ontology), `gene` (approved
    human symbol), `tissue`, `doi`.

    Examples
    --------
    >>> panel = marker_panel()
    >>> panel.loc[panel["cell_type"] == "B cell", "gene"].tolist()
    ['CD79A', 'MS4A1', 'CD79B', 'CD19', 'BANK1']
    """
    return _panel().copy()


@lru_cache(maxsize=1)
def _panel() -> pd.DataFrame:
    with (files("celloquy.knowledge") / "markers.tsv").open(encoding="utf-8") as file:
        return pd.read_csv(file, sep="\t", dtype=str, na_filter=False)
