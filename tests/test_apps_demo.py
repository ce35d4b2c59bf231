"""The demo: what it tells, what it writes, on the packaged cells and across two studies."""

from __future__ import annotations

import re

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from celloquy.apps.demo import DemoOptions, packaged_cells, run_demo
from celloquy.errors import InputError
from celloquy.evaluation import METHODS, TEXT_METHODS
from celloquy.io import read, write_h5ad
from celloquy.text import read_sentences
from labelled_cells import labelled_cells

LISTED = [
    "annotated.h5ad", "composition.png", "confusion_bulk_labels.png", "confusion_cell_type.png",
    "generated.h5ad", "rank_expression.png", "reconstruction.png", "reliability_bulk_labels.png",
    "reliability_cell_type.png", "scores_bulk_labels.tsv", "scores_cell_type.tsv",
    "sentences.parquet", "top_genes.png", "umap_bulk_labels.png", "umap_cell_type_celloquy.png",
    "umap_cell_type_celloquy_score.png",
]  # fmt: skip


def run(**options):
    lines = []
    run_demo(DemoOptions(**options), say=lines.append)
    return "\n".join(lines)


@pytest.mark.slow
def test_the_demo_tells_and_writes_what_the_readme_says(tmp_path):
    out = tmp_path / "demo"
    told = run(out=out)
    assert "X: refused" in told
    assert "raw.X: log1p" in told
    for method in ["majority class", *METHODS, *TEXT_METHODS]:
        rows = re.findall(rf"^ +{re.escape(method)} +(.*)$", told, re.MULTILINE)
        assert len(rows) == 2  # six coarse types, then ten labels
        assert all(len(re.findall(r"\d\.\d{3} ± \d\.\d{3}", row)) == 4 for row in rows)
    assert "six coarse types: " in told
    assert "the ten labels: 700 cells" in told
    assert "mean ± sd of 5 splits" in told
    assert "One study, split by cell" in told
    assert "were computed" in told
    assert "fewer than 20 cells" in told
    found = re.search(r"labelled cell of this study: macro-F1 (0\.\d{3}), accuracy 0\.\d{3}", told)
    assert float(found[1]) > 0.7
    assert re.search(r"\(majority class: 0\.\d{3}, 0\.\d{3}; methods that learn", told)
    assert "120 new cells, 20 a type, each the surest of 4; words that are no gene" in told
    assert re.search(r"recognise \d\d\.\d% of them as their type, and \d\d\.\d% of the real", told)
    assert sorted(path.name for path in out.iterdir()) == LISTED
    for name in LISTED:
        assert f"  {name}" in told
    check_files(out)
    scores = (
        pd.read_csv(out / "scores_cell_type.tsv", sep="\t").groupby("method")["macro_f1"].mean()
    )
    assert scores["celloquy (default)"] > scores["majority class"] + 0.3


def check_files(out):
    for path in out.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")
    assert len(read_sentences(out / "sentences.parquet")) == 700
    assert ad.read_h5ad(out / "generated.h5ad").n_obs == 120
    cells = ad.read_h5ad(out / "annotated.h5ad")
    assert cells.obsm["X_celloquy"].shape == (700, 256)
    score = cells.obs["bulk_labels_celloquy_score"]
    assert score.between(0, 1).all()
    # CD34+ cells have no coarse type
    without = cells.obs["cell_type_celloquy"].isna()
    assert set(cells.obs["bulk_labels"][without]) == {"CD34+"}


@pytest.fixture
def studies(tmp_path):
    for name, seed, n_genes in (("one", 1, 200), ("two", 2, 180)):
        adata = labelled_cells(12, seed=seed, n_genes=n_genes)
        adata.obs["cell_type"] = adata.obs["cell_type"].astype(str)
        adata.obs.loc[adata.obs_names[0], "cell_type"] = f"only in {name}"
        adata.obs.loc[adata.obs_names[1], "cell_type"] = np.nan
        write_h5ad(adata, tmp_path / f"{name}.h5ad")
    return {"reference": tmp_path / "one.h5ad", "query": tmp_path / "two.h5ad"}


@pytest.mark.slow
def test_two_studies_are_compared_on_shared_genes_and_labels(studies, tmp_path):
    out = tmp_path / "demo"
    told = run(out=out, **studies)
    assert "one.h5ad: 36 cells, 200 genes; 35 cells are taken" in told
    assert "labels that both have: B, NK, T" in told
    assert "180 genes are shared" in told
    assert "one → two: 34 cells" in told
    assert "majority class" in told
    table = pd.read_csv(out / "scores_across.tsv", sep="\t")
    assert set(table["method"]) == {"majority class", *METHODS, *TEXT_METHODS}
    assert table.groupby("method")["split"].nunique().eq(5).all()
    drawn = {path.name for path in out.iterdir()}
    assert drawn == {"scores_across.tsv", "confusion_across.png", "reliability_across.png"}
    with pytest.raises(InputError, match="exists already"):
        run(out=out, **studies)


def test_a_demo_across_studies_needs_both(studies, tmp_path):
    for given in ("reference", "query"):
        with pytest.raises(InputError, match="needs a reference and a query, and one is missing"):
            run(out=tmp_path / "demo", **{given: studies[given]})
    assert not (tmp_path / "demo").exists()


def test_studies_without_a_common_label_are_refused(studies, tmp_path):
    adata = ad.read_h5ad(studies["query"])
    adata.obs["cell_type"] = adata.obs["cell_type"].astype(str) + "-like"
    write_h5ad(adata, studies["query"], overwrite=True)
    with pytest.raises(InputError, match="The two studies share 0 labels") as refusal:
        run(out=tmp_path / "demo", **studies)
    assert "the same label names" in refusal.value.hint
    assert not (tmp_path / "demo").exists()


def test_a_study_without_the_column_of_labels_is_refused_with_those_there_are(studies, tmp_path):
    with pytest.raises(InputError, match=r"`obs` of 'one\.h5ad' has no column 'label'") as refusal:
        run(out=tmp_path / "demo", label_key="label", **studies)
    assert "cell_type" in refusal.value.hint


def test_a_folder_that_exists_is_refused(tmp_path):
    with pytest.raises(InputError, match="exists already"):
        run(out=tmp_path)


def test_the_packaged_cells_are_those_that_the_demo_speaks_of():
    adata = read(packaged_cells())
    assert adata.shape == (700, 765)
    counts = adata.obs["bulk_labels"].value_counts()
    assert len(counts) == 10
    assert (counts < 20).sum() == 3
