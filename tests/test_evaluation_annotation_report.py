"""Predicted labels judged from obs: joined, left out, mapped, drawn over groups."""

from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from celloquy.errors import InputError
from celloquy.evaluation import EvaluateOptions, evaluate_annotation, map_labels
from celloquy.knowledge import data_add

TRUTH = ["B", "B", "T", "T", "T", "NK"]
TOLD = ["B", "T", "T", "T", "B", "NK"]
DONOR = ["a", "a", "a", "b", "b", "b"]


def obs(truth=TRUTH, told=TOLD, donor=DONOR, **more):
    columns = {"truth": truth, "told": told, "donor": donor, **more}
    names = [f"cell{i}" for i in range(len(truth))]
    return pd.DataFrame(columns, index=names, dtype=object)


def judged(table, *, prediction="told", groups="donor", **more):
    return evaluate_annotation(table, truth="truth", prediction=prediction, groups=groups, **more)


def notes(report):
    return "\n".join(report.notes)


def test_metrics_groups_and_errors_are_those_counted_by_hand():
    # 4 of 6 right; donor a 2 of 3, donor b 2 of 3; B: precision 1/2, recall 1/2
    report = judged(obs())
    assert report.metrics["accuracy"] == pytest.approx(4 / 6)
    assert report.metrics["macro_f1"] == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    assert report.per_group["accuracy"].tolist() == [pytest.approx(2 / 3)] * 2
    assert report.per_group["n_obs"].tolist() == [3, 3]
    assert report.per_label.loc["B", ["precision", "recall"]].tolist() == [0.5, 0.5]
    assert report.per_label.index.tolist() == ["T", "B", "NK"]  # most frequent first
    assert report.confusion.loc["T", "B"] == 1
    assert report.n == {"cells": 6, "true labels": 3, "groups (donor)": 2}


def test_the_majority_class_stands_beside_every_metric():
    beside = judged(obs()).baselines["majority class (T)"]
    assert beside["accuracy"] == 0.5
    assert beside["balanced_accuracy"] == pytest.approx(1 / 3)
    assert beside["cohen_kappa"] == 0
    assert set(beside) == set(judged(obs()).metrics)


def test_intervals_draw_donors_and_not_cells():
    # both donors have 2 of 3 right, so every choice of donors has; cells alone would vary
    interval = judged(obs()).intervals["accuracy"]
    assert interval.low == interval.high == pytest.approx(2 / 3)
    assert interval.n_groups == 2


def test_without_groups_there_is_no_interval_and_the_report_says_why():
    report = judged(obs(), groups=None)
    assert report.intervals == {}
    assert report.per_group.empty
    assert "No groups were named, so there are no intervals" in notes(report)


def test_few_groups_and_groups_of_one_cell_are_told():
    said = notes(judged(obs(donor=["a", "a", "a", "b", "b", "c"])))
    assert "Intervals draw 3 groups (donor) again" in said
    assert "Of 3 groups 1 with one cell each ('c')" in said
    assert "All cells are of one donor" in notes(judged(obs(donor=["a"] * 6)))


def test_one_class_and_a_class_of_one_cell_are_told():
    assert "with one cell each ('NK')" in notes(judged(obs()))
    report = judged(obs(truth=["T"] * 6))
    assert "The truth holds one label, 'T': kappa says nothing" in notes(report)
    assert report.metrics["cohen_kappa"] == 0


def test_missing_predictions_count_as_unknown_and_are_told():
    report = judged(obs(told=["B", None, np.nan, "T", "B", "NK"]))
    assert report.metrics["coverage"] == pytest.approx(4 / 6)
    assert report.metrics["accuracy_answered"] == 0.75
    assert "2 of 6 predictions in 'told' are missing, and count as 'unknown'" in notes(report)


def test_another_word_for_no_answer_is_pointed_out_and_can_be_named():
    table = obs(told=["B", "Unassigned", "T", "T", "B", "NK"])
    assert "1 prediction 'Unassigned' in 'told' count as an answer" in notes(judged(table))
    report = judged(table, options=EvaluateOptions(unknown=("Unassigned",)))
    assert report.metrics["coverage"] == pytest.approx(5 / 6)


def test_cells_without_truth_are_left_out_and_told():
    report = judged(obs(truth=["B", "B", "T", "T", None, "unknown"]))
    assert report.n["cells"] == 4
    assert "2 of 6 cells have no truth, and are left out" in notes(report)
    left = judged(obs(), options=EvaluateOptions(leave_out=("NK",)))
    assert left.n["cells"] == 5
    assert "1 cell of the true label 'NK' left out" in notes(left)


def test_a_label_that_is_not_there_cannot_be_left_out():
    with pytest.raises(InputError, match="No cell has the true label 'mono', so it cannot"):
        judged(obs(), options=EvaluateOptions(leave_out=("mono",)))


def test_no_truth_at_all_is_refused():
    with pytest.raises(InputError, match="None of 6 cells has a true label to judge by"):
        judged(obs(truth=[None] * 6))


def test_missing_groups_are_refused():
    with pytest.raises(InputError, match="1 of 6 groups are missing, the first at row 2"):
        judged(obs(donor=["a", "a", None, "b", "b", "b"]))


def test_labels_that_share_nothing_are_refused_and_the_way_out_is_told():
    with pytest.raises(InputError, match="share no label: the truth has 'B', 'NK', 'T'") as refusal:
        judged(obs(told=["b_cell"] * 6))
    assert "--labels-by" in refusal.value.hint


def test_predicted_labels_that_the_truth_lacks_are_told():
    said = notes(judged(obs(told=["B", "T", "T", "T", "DC", "DC"])))
    assert "Not in the truth: 1 predicted label ('DC'); 2 cells with them count as wrong" in said


def test_a_column_that_is_not_there_is_refused_with_the_closest():
    with pytest.raises(InputError, match="no column 'donors'; the closest is 'donor'"):
        judged(obs(), groups="donors")


def test_cells_of_two_files_in_another_order_are_joined_by_name():
    table = obs()
    report = judged(table[["told"]].iloc[::-1], truth_source=table[["truth", "donor"]])
    assert report.metrics == judged(table).metrics
    assert report.per_group.equals(judged(table).per_group)
    assert "6 cells in another order were joined by name" in notes(report)


def test_two_files_with_different_cells_are_refused_unless_the_shared_ones_are_asked_for():
    truth, told = obs()[["truth", "donor"]], obs()[["told"]].iloc[1:]
    expected = r"1 of 6 cells with a truth have no prediction \(the first is 'cell0'\), and 0 of 5"
    with pytest.raises(InputError, match=expected) as refusal:
        judged(told, truth_source=truth)
    assert "--only-shared" in refusal.value.hint
    report = judged(told, truth_source=truth, options=EvaluateOptions(only_shared=True))
    assert report.n["cells"] == 5
    assert "Only the 5 cells that both files hold were judged" in notes(report)


def test_two_files_without_a_common_name_and_with_repeated_names_are_refused():
    truth, told = obs()[["truth", "donor"]], obs()[["told"]]
    with pytest.raises(InputError, match="6 of 6 cells with a truth have no prediction") as refusal:
        judged(told.set_axis([f"{name}-1" for name in told.index]), truth_source=truth)
    assert "suffix" in refusal.value.hint
    with pytest.raises(InputError, match="5 cell names repeat beside the truth, the first is 'x'"):
        judged(told, truth_source=truth.set_axis(["x"] * 6))


def test_a_truth_file_without_the_truth_is_refused():
    with pytest.raises(InputError, match="no column 'truth'"):
        judged(obs()[["told"]], truth_source=obs()[["donor"]])


@pytest.mark.parametrize("ending", ["csv", "tsv", "csv.gz", "parquet", "h5ad"])
def test_a_table_and_a_file_of_cells_say_the_same(tmp_path, ending):
    table, path = obs(sure=[0.9] * 6), tmp_path / f"cells.{ending}"
    if ending == "h5ad":
        ad.AnnData(sp.csr_matrix((6, 2), dtype=np.float32), obs=table.astype(str)).write_h5ad(path)
    elif ending == "parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, sep="\t" if ending == "tsv" else ",")
    report = judged(path, confidence="sure")
    assert report.metrics == judged(table).metrics
    assert report.confidence.metrics["brier_score"] == pytest.approx((4 * 0.01 + 2 * 0.81) / 6)


def test_a_file_of_labels_without_a_matrix_is_enough(tmp_path):
    ad.AnnData(obs=obs().astype(str)).write_h5ad(tmp_path / "labels.h5ad")
    assert judged(tmp_path / "labels.h5ad").metrics == judged(obs()).metrics


def test_a_damaged_table_is_refused(tmp_path):
    (tmp_path / "bad.parquet").write_text("no")
    with pytest.raises(InputError, match=r"'bad.parquet' is no table with a row a cell"):
        judged(tmp_path / "bad.parquet")
    (tmp_path / "few.csv").write_text("cell,truth\nc1,B\n")
    with pytest.raises(InputError, match=r"'few.csv' has no column 'told'"):
        judged(tmp_path / "few.csv")


def test_another_prediction_stands_beside_and_is_tested_over_groups():
    report = judged(obs(other=["B", "B", "T", "B", "B", "B"]), beside=("other",))
    assert report.baselines["column 'other'"]["accuracy"] == pytest.approx(3 / 6)
    test = report.tests["other"]["accuracy"]  # a: 2/3 against 1; b: 2/3 against 0
    assert (test.n_better, test.n_worse, test.n_groups) == (1, 1, 2)
    assert "against 'other', accuracy: +0.167" in str(report)


def test_a_table_maps_both_sides_and_is_shown(tmp_path):
    table = obs(told=["b_cell", "T", "T", "T", "b_cell", "NK"])
    (tmp_path / "labels.tsv").write_text("label\ttype\nb_cell\tB\n")
    for by in ({"b_cell": "B"}, tmp_path / "labels.tsv"):
        report = judged(table, options=EvaluateOptions(labels_by=by))
        assert report.metrics == judged(obs()).metrics
        assert "b_cell" in str(report)
        assert "1 of 6 labels were mapped" in notes(report)
        both = judged(table.assign(other="b_cell"), beside=("other",),
                      options=EvaluateOptions(labels_by=by))  # fmt: skip
        assert both.mapped.equals(report.mapped)  # counts are those of the judged column
        assert both.baselines["column 'other'"]["accuracy"] == pytest.approx(2 / 6)


def test_blood_labels_of_two_studies_become_six_coarse_types():
    table = map_labels(["CD4 T cells", "B cells"], ["Naive CD4 T", "Platelet"], by="blood")
    assert table["mapped_to"].tolist() == ["B", "CD4 T", "CD4 T", "Platelet"]
    assert table["how"].tolist() == ["table", "table", "table", "not in the table"]


def test_a_table_of_labels_that_cannot_be_used_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"There is no table of labels 'nothing.tsv'"):
        map_labels(["B"], ["B"], by="nothing.tsv")
    path = tmp_path / "labels.tsv"
    path.write_text("label\ttypes\nB\tB\n")
    with pytest.raises(InputError, match="has no column 'type'; the closest is 'types'"):
        map_labels(["B"], ["B"], by=path)
    path.write_text("label\ttype\nB\tB\nB\tT\n")
    with pytest.raises(InputError, match="holds the label 'B' twice"):
        map_labels(["B"], ["B"], by=path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is no tab-separated table"):
        map_labels(["B"], ["B"], by=path)


@pytest.mark.data
def test_the_ontology_maps_predictions_up_to_the_truth_and_never_down(data_folder):
    data_add("ontology", data_folder / "tables" / "cell_ontology_basic.tsv.gz")
    truth = ["B cells", "CD4 T cells", "CD14+ Monocytes"]
    told = ["B", "Naive CD4 T", "T cell", "CD14+ Mono", "odd"]
    table = map_labels(truth, told, by="ontology")
    told_rows = table[table["side"] == "prediction"].set_index("label")
    assert told_rows["mapped_to"].to_dict() == {
        "B": "B cells", "CD14+ Mono": "CD14+ Monocytes", "Naive CD4 T": "CD4 T cells",
        "T cell": "T cell", "odd": "odd",
    }  # fmt: skip
    assert told_rows.loc["T cell", "how"] == "coarser than the truth"
    assert told_rows.loc["odd", "how"] == "not found"


def test_the_report_is_plain_json_without_nan():
    report = judged(obs(sure=[0.5] * 6, told=["unknown"] * 5 + ["B"]), confidence="sure")
    read = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert read["metrics"]["accuracy"] == 0
    assert read["confusion"]["NK"] == {"B": 1}
    assert read["per_label"][0]["label"] == "T"
    assert read["confidence"]["n"] == {"answered cells": 1}


def test_what_confidence_is_worth_stands_in_the_print():
    # 0.9 sure of six answers: the error is the gap between that and the share that is right
    report = judged(obs(sure=[0.9] * 6), confidence="sure")
    gap = abs(0.9 - report.metrics["accuracy"])
    assert report.confidence.metrics["calibration_error"] == pytest.approx(gap)
    line = next(row for row in str(report).splitlines() if row.startswith("calibration_error"))
    assert f"{gap:.3f}" in line


def test_no_answer_at_all_is_told():
    report = judged(obs(told=["unknown"] * 6))
    assert "No cell got an answer other than 'unknown'" in notes(report)
    assert np.isnan(report.metrics["accuracy_answered"])
    assert "–" in str(report)


def test_the_order_of_cells_changes_nothing():
    table = obs(sure=[0.9, 0.4, 0.7, 0.7, 0.3, 0.6])
    first = judged(table, confidence="sure").to_dict()
    assert first == judged(table.sample(frac=1, random_state=3), confidence="sure").to_dict()
