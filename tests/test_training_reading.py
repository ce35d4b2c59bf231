"""A model that was trained on a corpus knows how its cells were read, and is asked in that way."""

from __future__ import annotations

import pytest

import celloquy as cq
from celloquy.lm import read_reading
from celloquy.roles import plan_prediction
from celloquy.text import plain_text
from celloquy.training import build_corpus, merge, read_recipe, train
from celloquy.training._reading import reading_of_corpus
from corpora import recipe, source
from labelled_cells import labelled_cells
from mini_folder import write_genes, write_mini


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    adata = labelled_cells(4)
    adata.var_names = [name.capitalize() for name in adata.var_names]
    adata.write_h5ad(folder / "mouse.h5ad")
    told = source(folder / "mouse.h5ad", columns={"cell_type": "cell_type"})
    told["values"] = {"organism": "mouse", "tissue": "blood"}
    asked = recipe(
        [told],
        ["cell_type", "pseudo_cell"],
        rank_by="specificity",
        medians=str(write_genes(folder / "genes.tsv")),
        n_top_genes=15,
        augment={"paraphrases": False, "n_genes": [10, 15]},
    )
    return build_corpus(asked, folder / "corpus")


@pytest.mark.slow
def test_a_corpus_says_how_its_cells_were_read_and_what_is_taught(corpus):
    found = reading_of_corpus(corpus)
    assert (found.n_top_genes, found.n_genes, found.rank_by) == (15, (10, 15), "specificity")
    assert found.labels == {"cell_type": ("B", "NK", "T")}
    assert (found.templates, found.organisms) == ({"cell_type": 0, "pseudo_cell": 0}, ("mouse",))
    assert len(found.known) == 200


@pytest.mark.slow
def test_what_is_asked_is_what_was_trained_word_for_word(corpus, tmp_path):
    lm = cq.load_lm(str(write_mini(tmp_path / "mini", n_top_genes=15, organisms=("mouse",))))
    cells = labelled_cells(4)
    cells.var_names = [name.capitalize() for name in cells.var_names]
    trained = {e.row: e for e in corpus.examples("train") if e.task == "cell_type"}
    asked = plan_prediction(cells[7:8].copy(), "cell_type", lm=lm).first_prompt
    n_genes = len(trained[7].values["cell_sentence"].ids)  # 10 to 15 were drawn
    words = plain_text(trained[7].prompt).split()
    assert asked.split()[: words.index("GENE0") if "GENE0" in words else 12][:12] == words[:12]
    named = [word for word in asked.split() if word.startswith("GENE")]
    assert named[:n_genes] == [word for word in words if word.startswith("GENE")]
    assert len(named) == 15


@pytest.mark.slow
def test_a_trained_model_and_what_is_merged_of_it_keep_the_reading(corpus, tmp_path):
    write_mini(tmp_path / "base")
    for name in ("reading.json", "genes.tsv"):
        (tmp_path / "base" / name).unlink()
    (tmp_path / "recipe.toml").write_text(
        'model = { base = "base", method = "full" }\n'
        f'data = {{ corpus = "{corpus.folder}" }}\n'
        "optimiser = { max_steps = 2, batch_size = 4 }\n"
    )
    result = train(read_recipe(tmp_path / "recipe.toml"), tmp_path / "run", device="cpu")
    merged = merge(tmp_path / "run", tmp_path / "merged")
    for folder in (result.model, merged):
        found = read_reading([folder])
        assert (found.n_top_genes, found.labels["cell_type"]) == (15, ("B", "NK", "T"))
        assert found.known.sha256 == corpus.record["genes"]["sha256"]
    lm = cq.load_lm(str(merged))
    assert lm.vocabulary.names[:2] == ("GENE0", "GENE1")
