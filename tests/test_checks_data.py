"""Real cells: what is in them is known, and `check` says it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import anndata as ad
import pytest

from celloquy.checks import check
from celloquy.knowledge import data_add

pytestmark = [pytest.mark.data, pytest.mark.slow]

MOUSE = {"mouse_bone_marrow_baccin_362", "mouse_brain_merfish_1000_1122genes"}
FILES = (
    "cellbench_10x_895_894genes",
    "cellhash_lines_HEK_K562_KG1_THP1_2000x2000",
    "cellmix_lung_lines_celseq2_dropseq_5batches",
    "drug_gbm_panobinostat_5patients_300genes",
    "drug_pc9_day11_erlotinib_vs_control",
    "human_bone_marrow_dropseq_clusters",
    "kang_ifnb_scgen_valid_counts_recovered",
    "kang_pbmc_ctrl_8donors_1287genes",
    "mouse_bone_marrow_baccin_362",
    "mouse_brain_merfish_1000_1122genes",
    "pancreas_panc8_1000x1000",
    "pancreas_panc8_5tech_500_2000hvg",
    "pbmc1k_10x_v2_unlabelled",
    "pbmc3k_10x_v1",
    "pbmc68k_reduced_counts_700",
    "pbmc_eccite_500",
    "pbmc_frozen_donorA_unlabelled",
    "pbmc_multistudy_unlabelled",
    "pbmc_zheng_facs_fastTopics",
    "pbmc_zheng_sorted_casi",
    "perturb_datlinger2017_jurkat_cropseq_2000hvg",
    "perturb_perturbench_devel_norman19_mcfaline23_500genes",
    "pollen2014_smartseq_299",
    "tcell_trex_pt17_tcr_adt_320",
)


def path_of(data_folder, name):
    return data_folder / "cells" / f"{name}.h5ad"


def codes(report):
    return {problem.code for problem in report.problems}


@pytest.mark.parametrize("name", FILES)
def test_every_file_holds_counts_of_one_organism_and_is_ok(data_folder, name):
    report = check(path_of(data_folder, name))
    assert report.kind.kind == "counts"
    assert report.organism == ("mouse" if name in MOUSE else "human")
    assert report.ok
    assert not codes(report) & {"transposed", "repeated-gene-names", "no-zeros", "unknown-kind"}


NAMELESS = {"pancreas_panc8_1000x1000", "pancreas_panc8_5tech_500_2000hvg"}
"""Cell names of five technologies, and panels without ribosomal genes: nothing tells."""


@pytest.mark.parametrize("name", [name for name in FILES if name not in NAMELESS])
def test_a_real_matrix_on_its_side_is_known(data_folder, name):
    adata = ad.read_h5ad(path_of(data_folder, name))
    report = check(adata.T.copy())
    assert "transposed" in codes(report)


def test_labels_and_donors_of_kang_are_found(data_folder):
    report = check(path_of(data_folder, "kang_pbmc_ctrl_8donors_1287genes"))
    assert [(s.column, s.role, s.n_values) for s in report.suggestions] == [
        ("cell_type", "label", 8),
        ("donor", "donor", 8),
    ]


def test_spike_ins_of_pollen_are_found(data_folder):
    report = check(path_of(data_folder, "pollen2014_smartseq_299"))
    assert "spike-ins" in codes(report)


def test_ensembl_ids_in_place_of_symbols_are_found(data_folder):
    adata = ad.read_h5ad(path_of(data_folder, "pbmc3k_10x_v1"))
    adata.var_names = adata.var["ensembl_id"].astype(str)
    adata = adata[:, ~adata.var_names.duplicated()].copy()
    report = check(adata)
    assert "ensembl-ids" in codes(report)
    assert report.organism == "human"
    assert report.facts["mitochondrial_share"] == pytest.approx(0.02, abs=0.005)


def test_old_symbols_of_2016_are_found_with_the_hgnc_table(data_folder):
    data_add("hgnc", data_folder / "tables" / "hgnc_complete_set.txt.gz")
    report = check(path_of(data_folder, "pbmc3k_10x_v1"))
    retired = next(problem for problem in report.problems if problem.code == "retired-symbols")
    assert retired.count > 500


def test_genes_shared_by_two_studies_are_counted(data_folder):
    query = path_of(data_folder, "kang_pbmc_ctrl_8donors_1287genes")
    reference = path_of(data_folder, "pbmc3k_10x_v1")
    shared = set(ad.read_h5ad(query).var_names) & set(ad.read_h5ad(reference).var_names)
    report = check(query, reference=reference)
    assert report.facts["reference_overlap"] == pytest.approx(len(shared) / 32_738)


@pytest.mark.slow
def test_no_kind_is_ever_taken_for_another_and_few_stay_unknown(data_folder):
    path = Path(__file__).parents[1] / "benchmarks" / "check_kinds.py"
    spec = importlib.util.spec_from_file_location("check_kinds", path)
    check_kinds = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = check_kinds
    spec.loader.exec_module(check_kinds)
    verdicts = check_kinds.measure(data_folder)
    truth = {change.name: change.truth for change in check_kinds.CHANGES}
    n_all = sum(sum(counted.values()) for counted in verdicts.values())
    n_right = sum(counted[truth[name]] for name, counted in verdicts.items())
    n_unknown = sum(counted["unknown"] for name, counted in verdicts.items()
                    if truth[name] != "unknown")  # fmt: skip
    assert n_right + n_unknown == n_all
    assert n_right / n_all > 0.97
