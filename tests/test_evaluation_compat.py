"""ChatCell's and Cell2Sentence's measures to the letter, and what ours says of the same cells."""

from __future__ import annotations

import numpy as np
import pytest

from celloquy.errors import InputError
from celloquy.evaluation._generated_edit import edit_distances
from celloquy.evaluation.compat import (
    cell2sentence_neighbours,
    character_distance,
    chatcell_labels,
    chatcell_neighbours,
)
from celloquy.tasks.compat import chatcell_generated

GENERATED, INTENDED = ["A B C", "A B D", "X Y Z"], ["t1", "t2", "t2"]
TRUTH, LABELS = ["A B C", "A B E", "X Y W", "X Y Z"], ["t1", "t1", "t2", "t2"]


def test_generated_genes_are_counted_word_by_word_af_30():
    found = chatcell_generated(["A B X", "a A  C"], {"A", "B", "C"})
    assert (found.n_cells, found.n_genes, found.mean_length) == (2, 6, 3.0)
    assert (found.n_valid, round(found.validity, 2)) == (5, 83.33)
    assert (found.n_unique, round(found.uniqueness, 2)) == (5, 83.33)
    assert found.delta_length(100) == 97.0


def test_labels_are_scored_weighted_and_in_per_cent_af_31():
    found = chatcell_labels(["res", "res", "sens", "sens"], ["Res ", "sens", "SENS", "resistan"])
    assert found == {"accuracy": 50.0, "precision": 75.0, "recall": 50.0, "f1": 58.33}


def test_levenshtein_counts_characters_af_32():
    assert character_distance(["A B C"], ["A C B"]).item() == 2
    assert character_distance(["CD8A CD3D"], ["CD3D CD8A"]).item() == 4


def test_a_generated_cell_votes_for_itself_af_32():
    found = chatcell_neighbours(
        GENERATED, INTENDED, truth=TRUTH, truth_labels=LABELS, n_neighbours=1
    )
    assert found.quality == pytest.approx(2 / 3)
    assert found.discriminability == pytest.approx(2 / 3)


def test_ours_counts_genes_where_chatcell_counts_characters_af_32():
    genes = {"CD8A": 0, "CD3D": 1}
    one, other = ([[genes[word] for word in text.split()]] for text in ("CD8A CD3D", "CD3D CD8A"))
    assert edit_distances(one, other).item() == 1.0  # both genes are elsewhere


def test_neighbours_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(40, 3)).astype(np.float32)
    labels = np.repeat(["B", "T"], 20)
    real[20:] += 4
    found = cell2sentence_neighbours(
        real[[0, 1, 30, 31]], ["B", "T", "T", "T"], truth=real, truth_labels=labels
    )
    assert found == {3: 0.75, 5: 0.75, 10: 0.75, 25: 0.75}


def test_cells_and_labels_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="There are 3 sentences and 2 labels"):
        chatcell_neighbours(GENERATED, ["a", "b"], truth=TRUTH, truth_labels=LABELS)
    with pytest.raises(InputError, match="There are 2 true labels and 0 answers"):
        chatcell_labels(["a", "b"], [])
    cells = np.zeros((2, 3), dtype=np.float32)
    with pytest.raises(InputError, match="There are 2 cells and 1 labels"):
        cell2sentence_neighbours(cells, ["a"], truth=cells, truth_labels=["a", "b"])
    with pytest.raises(InputError, match="There are 2 real cells, fewer than 25 neighbours"):
        cell2sentence_neighbours(cells, ["a", "b"], truth=cells, truth_labels=["a", "b"])
