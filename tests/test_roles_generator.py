"""New cells: real genes only, none twice, each with its answer and where it comes from."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import celloquy as cq
from celloquy.errors import InputError
from celloquy.lm import load_lm
from celloquy.lm._fake import ScriptedModel
from celloquy.roles import GenerateOptions, generate, plan_generation
from celloquy.roles._generate_chosen import seeds_of
from celloquy.text import sentences
from decoder_models import GENES, make_decoder, write_decoder, write_seq2seq
from generating import OPTIONS, made, says


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return load_lm(f"hf:{write_decoder(tmp_path_factory.mktemp('lm'), family='gpt2')}")


def controls():
    counts = np.array([[5, 4, 3, 2, 1], [1, 2, 3, 4, 5], [0, 0, 7, 1, 0]], dtype=np.float32)
    cells = ad.AnnData(counts)
    cells.obs_names, cells.var_names = ["a", "b", "c"], GENES[:5]
    cells.obs["drug"] = ["x", "y", "z"]
    return cells


def test_cells_name_exactly_n_different_genes_and_keep_their_answer(lm):
    cells = made(lm, n=9)
    assert cells.shape == (9, len(GENES))
    for row, text in enumerate(cells.obs["answer"]):
        genes = text.split(" ")
        assert len(genes) == len(set(genes)) == 6
        assert set(genes) <= set(GENES)
        values = cells.X[row].toarray()[0]
        assert [GENES[i] for i in np.argsort(-values)[:6]] == genes
        assert np.count_nonzero(values) == 6
    assert set(cells.obs["cell_type"]) == {"B cell"}
    assert set(cells.obs["n_genes_named"]) == {6}
    assert (cells.obs["logp"] < 0).all()


def test_ranking_generated_cells_gives_the_answers_again(lm):
    cells = made(lm, n=5)
    assert list(sentences(cells, n_top_genes=6).text) == list(cells.obs["answer"])


def test_the_first_value_is_that_of_the_curve_at_rank_0(lm):
    cells = made(lm, n=1)
    assert cells.X.max() == pytest.approx(3.0)
    assert cells.uns["celloquy_reconstruct"]["rank_curve"] == "linear_log_rank"


def test_a_cell_depends_on_seed_and_number_alone(lm):
    many = made(lm, n=7, seed=3)
    few = made(lm, n=3, seed=3, shard_size=2)
    assert list(few.obs["answer"]) == list(many.obs["answer"])[:3]
    assert list(made(lm, n=3, seed=4).obs["answer"]) != list(few.obs["answer"])
    assert len(set(many.obs["answer"])) > 1
    assert seeds_of(3, range(2, 4)) == seeds_of(3, range(9))[2:4]


def test_greedy_cells_of_one_prompt_are_equal(lm):
    assert len(set(made(lm, n=3, temperature=0).obs["answer"])) == 1


def test_the_record_says_where_cells_come_from(lm, tmp_path):
    cells = made(lm, n=2, seed=5, top_p=0.9, out=tmp_path / "new.h5ad")
    read = ad.read_h5ad(tmp_path / "new.h5ad")
    record = read.uns["celloquy_generate"]
    assert record["lm"]["revision"] == lm.revision
    assert record["task"]["name"] == "pseudo_cell"
    assert record["seed"] == 5
    assert record["limits"]["top_p"] == 0.9
    assert record["genes"]["n"] == len(GENES)
    assert record["n_genes_named"] == 12
    assert list(read.obs["answer"]) == list(cells.obs["answer"])
    assert not (tmp_path / "new.h5ad.parts").exists()


def test_fields_can_differ_from_cell_to_cell(lm):
    cells = made(lm, fields={"cell_type": ["B cell", "T cell"]}, n=2)
    assert list(cells.obs["cell_type"]) == ["B cell", "T cell"]
    with pytest.raises(InputError, match=r"'cell_type' has 2 values, and 3 cells are asked for"):
        made(lm, fields={"cell_type": ["B cell", "T cell"]}, n=3)


def test_a_list_says_how_many_cells_are_asked_for():
    types = ["B cell", "T cell", "T cell"]
    cells = made(says("CD3E"), fields={"cell_type": types}, is_constrained=False)
    assert list(cells.obs["cell_type"]) == types
    fields = {"cell_type": types, "tissue": ["blood", "lung"]}
    with pytest.raises(InputError, match="'tissue' has 2 values, and 3 cells are asked for"):
        made(says("CD3E"), fields=fields)


def test_cells_without_a_condition_are_generated(lm):
    assert made(lm, "random_cell", {}, n=2).n_obs == 2


def test_control_cells_are_asked_about_in_turn(lm):
    cells = made(lm, "perturbation_response", {"perturbation": "y"}, control=controls(), n=4)
    assert list(cells.obs["control"]) == ["a", "b", "c", "a"]
    each = made(
        lm, "perturbation_response", {}, control=controls(), obs_fields={"perturbation": "drug"}
    )
    assert list(each.obs["perturbation"]) == ["x", "y", "z"]
    shown = plan_generation(
        "perturbation_response", {"perturbation": "STAT1 knock-out"}, lm=lm,
        options=GenerateOptions(control=controls(), **OPTIONS),
    )  # fmt: skip
    assert " ".join(GENES[:5]) in shown
    assert "STAT1 knock-out" in shown
    assert shown.startswith("3 answers of at most 76 tokens")


def test_several_cells_of_a_tissue_are_read_one_by_one():
    model = says("Cell 1:\nCD3D CD4 XX CD4.\nCell 2:\nLYZ.")
    fields = {"tissue": "blood", "n_cells": "2"}
    cells = made(model, "tissue_sample", fields, n=2, is_constrained=False)
    assert cells.n_obs == 4
    assert list(cells.obs["n_genes_named"]) == [2, 1, 2, 1]
    assert list(cells.obs["n_unknown"]) == [1, 0, 1, 0]
    assert list(cells.obs["n_repeated"]) == [1, 0, 1, 0]
    assert list(cells.obs["sample"]) == ["generated-0"] * 2 + ["generated-1"] * 2


@pytest.mark.slow
def test_cells_that_do_not_fit_the_context_are_refused(lm):
    with pytest.raises(InputError, match=r"takes [\d,]+ tokens and its answer up to [\d,]+"):
        made(lm, "tissue_sample", {"tissue": "blood", "n_cells": "30"}, n=1)
    with pytest.raises(InputError, match=r"takes [\d,]+ tokens and its answer up to [\d,]+"):
        made(lm, fields={"cell_type": "B cell " * 400}, n=1)


def write_word_decoder(folder, genes):
    """Write a decoder that has one token a gene."""
    words = ["<end>", "<unk>", *genes]
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    model = make_decoder("llama", vocab_size=len(words), max_tokens=128)
    model.generation_config.eos_token_id = model.config.eos_token_id = 0
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<end>", unk_token="<unk>", model_max_length=128
    ).save_pretrained(folder)
    return load_lm(f"hf:{folder}")


@pytest.mark.slow
def test_one_token_a_gene_is_a_mask_and_the_whole_vocabulary_can_be_named(tmp_path):
    genes = [f"G{i}" for i in range(40)]
    model = write_word_decoder(tmp_path, genes)
    said = {"cell_type": "B cell", "organism": "human"}
    cells = made(model, fields=said, n=5, genes=genes, n_top_genes=40)
    assert all(sorted(text.split(" ")) == sorted(genes) for text in cells.obs["answer"])
    assert len(set(cells.obs["answer"])) == 5
    few = made(model, fields=said, n=40, genes=genes, n_top_genes=5, exactly=False)
    assert set(few.obs["n_genes_named"]) <= set(range(1, 6))
    assert min(few.obs["n_genes_named"]) < 5


def test_a_tokenizer_that_cannot_write_the_genes_is_refused_and_nothing_is_left(tmp_path):
    model = write_word_decoder(tmp_path / "lm", ["G1", "G2"])
    with pytest.raises(InputError, match=r"cannot write 18 of 18 allowed strings: 'CD3D', 'CD3E'"):
        made(model, n=2, out=tmp_path / "new.h5ad")
    assert [path.name for path in tmp_path.iterdir()] == ["lm"]


def test_what_a_free_model_writes_is_read_and_counted():
    cells = made(says("CD4 FOO LYZ CD4 CD3D."), n=1, is_constrained=False)
    assert [
        int(cells.obs[name].iloc[0]) for name in ("n_genes_named", "n_unknown", "n_repeated")
    ] == [3, 1, 1]
    values = dict(zip(GENES, cells.X.toarray()[0], strict=True))
    assert values["CD4"] > values["LYZ"] > values["CD3D"] > 0
    assert values["LYZ"] == pytest.approx(3 - np.log10(2))


def test_af11_af13_cell2sentence_keeps_places_and_averages_repeats():
    cells = made(says("CD3D FOO CD4 CD3D LYZ"), n=1, is_constrained=False, repair="cell2sentence")
    values = dict(zip(GENES, cells.X.toarray()[0], strict=True))
    # CD3D at places 0 and 3 moves to place 1: NOT_A_GENE CD3D CD4 LYZ
    for place, gene in enumerate(("CD3D", "CD4", "LYZ"), start=1):
        assert values[gene] == pytest.approx(3 - np.log10(1 + place))
    assert int(cells.obs["n_unknown"].iloc[0]) == 1


def test_an_answer_without_genes_is_a_cell_without_expression():
    cells = made(says("I cannot do that."), n=2, is_constrained=False)
    assert cells.n_obs == 2
    assert cells.X.nnz == 0
    assert set(cells.obs["answer"]) == {"I cannot do that."}
    assert cells.uns["celloquy_generate"]["n_unknown"] == 8


def test_a_run_that_was_killed_goes_on_and_asks_nothing_twice(tmp_path):
    asked = []

    def answer(prompt):
        asked.append(prompt)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return "CD4 LYZ"

    model = ScriptedModel(answer=answer)
    fields = {"cell_type": [f"type {i}" for i in range(6)]}
    options = {"n": 6, "shard_size": 1, "is_constrained": False, "out": tmp_path / "new.h5ad"}
    with pytest.raises(KeyboardInterrupt):
        made(model, fields=fields, **options)
    cells = made(model, fields=fields, **options)
    assert cells.n_obs == 6
    assert len(asked) == 7
    with pytest.raises(InputError, match="exists already"):
        made(model, fields=fields, **options)
    assert made(model, fields=fields, overwrite=True, **options).n_obs == 6


def test_parts_of_another_run_are_refused_and_a_plan_without_parts_is_none(tmp_path):
    asked = []

    def stop(_):
        asked.append(1)
        if len(asked) != 2:
            raise KeyboardInterrupt
        return "CD4"

    options = {"n": 2, "shard_size": 1, "is_constrained": False, "out": tmp_path / "new.h5ad"}
    for seed in (0, 1):  # the first run ends before a part is finished, the second one after it
        with pytest.raises(KeyboardInterrupt):
            made(ScriptedModel(answer=stop), seed=seed, **options)
    said = r"holds the parts of another run: `seed` was 1 and is 2\."
    with pytest.raises(InputError, match=said):
        made(says("CD4"), seed=2, **options)


def test_a_run_that_is_refused_leaves_another_at_work_alone(tmp_path):
    out = tmp_path / "new.h5ad"
    options = {"n": 1, "is_constrained": False, "out": out}

    def answer(_):
        with pytest.raises(InputError, match=r"`limits\.temperature` was 1\.0 and is 0\.5"):
            made(says("CD4"), temperature=0.5, **options)
        return "CD4"

    assert made(ScriptedModel(answer=answer), **options).n_obs == 1
    assert out.is_file()


def test_genes_come_from_a_file_or_the_checkpoint_and_are_never_invented(tmp_path, lm):
    path = tmp_path / "genes.txt"
    path.write_text("\n".join(GENES) + "\n", encoding="utf-8")
    assert list(made(lm, n=1, genes=path).var_names) == list(GENES)
    with pytest.raises(InputError, match="brings no list of genes"):
        made(lm, n=1, genes=None)
    with pytest.raises(InputError, match="The list of genes is empty"):
        made(lm, n=1, genes=[])
    with pytest.raises(InputError, match=r"genes in '.*none.txt' cannot be read"):
        made(lm, n=1, genes=tmp_path / "none.txt")
    with pytest.raises(InputError, match=r"40 different strings are asked for, and 18 allowed"):
        made(lm, n=1, n_top_genes=40)


@pytest.mark.parametrize("ask", [generate, plan_generation])
def test_a_curve_that_cannot_be_read_is_refused_before_anything_is_asked(ask, tmp_path):
    def never(_):
        pytest.fail("the model was asked")

    bad = tmp_path / "curve.json"
    bad.write_text("{", encoding="utf-8")
    for curve, why in ((bad, "is not JSON"), (tmp_path / "none.json", "cannot be read")):
        options = GenerateOptions(genes=GENES, rank_curve=curve)
        with pytest.raises(InputError, match=why):
            ask("pseudo_cell", {"cell_type": "B"}, lm=ScriptedModel(answer=never), options=options)


def test_genes_that_cannot_fit_are_refused_with_the_number_that_can(lm):
    with pytest.raises(InputError, match=r"18 strings take at least \d+ tokens, and 20 are") as no:
        made(lm, n=1, n_top_genes=18, max_new_tokens=20)
    assert "ask for" in no.value.hint


def test_what_does_not_fit_a_task_is_refused(lm, tmp_path):
    with pytest.raises(InputError, match=r"'cell_type' is not answered with cells") as no:
        made(lm, "cell_type")
    assert "cq.predict" in no.value.hint
    with pytest.raises(InputError, match=r"'perturbation_response' needs control cells"):
        made(lm, "perturbation_response", {"perturbation": "x"})
    with pytest.raises(InputError, match=r"'pseudo_cell' is about no control cell"):
        made(lm, control=controls())
    with pytest.raises(InputError, match=r"has no cells, so there is nothing for `generate` to do"):
        made(lm, "perturbation_response", {"perturbation": "x"}, control=controls()[:0].copy())
    with pytest.raises(InputError, match=r"needs a value for 'cell_type'"):
        made(lm, fields={})
    with pytest.raises(InputError, match=r"`n` must be at least 1, got 0"):
        made(lm, n=0)
    with pytest.raises(InputError, match=r"cannot write answers; it can score"):
        made(ScriptedModel(capabilities=frozenset({"score"})))
    with pytest.raises(InputError, match=r"`n_top_genes` must be at least 1"):
        GenerateOptions(n_top_genes=0)
    with pytest.raises(InputError, match="does not exist"):
        made(lm, out=tmp_path / "no" / "new.h5ad")


def test_an_encoder_decoder_generates_cells(tmp_path):
    cells = made(load_lm(f"hf:{write_seq2seq(tmp_path)}"), n=2)
    assert set(cells.obs["n_genes_named"]) == {6}


def test_it_is_a_name_of_the_package():
    assert cq.generate is generate


def test_new_cells_do_not_take_the_place_of_their_control_cells(tmp_path):
    path = tmp_path / "control.h5ad"
    controls().write_h5ad(path)
    before = path.read_bytes()
    asked = {"control": path, "out": path, "overwrite": True}
    with pytest.raises(InputError, match="holds the control cells: the new") as refusal:
        made(says("CD3E"), "perturbation_response", {"perturbation": "x"}, **asked)
    assert "another `out`" in refusal.value.hint
    assert path.read_bytes() == before


def reads_ms4a1():
    """Take a cell whose genes hold MS4A1 for a B cell, any other for a T cell."""

    def logp(prompt, label):
        is_b = "MS4A1" in prompt
        return np.log(0.9 if (label == "B cell") == is_b else 0.1)

    return ScriptedModel(logp=logp)


def test_of_several_candidates_the_one_that_is_read_back_as_asked_is_kept():
    fields = {"cell_type": ["B cell", "T cell"] * 6}
    first = made(reads_ms4a1(), fields=fields)
    kept = made(reads_ms4a1(), fields=fields, n_candidates=12)
    asked = np.array(fields["cell_type"])
    is_right = {
        name: np.array(["MS4A1" in text for text in cells.obs["answer"]]) == (asked == "B cell")
        for name, cells in (("first", first), ("kept", kept))
    }
    assert not is_right["first"].all()
    assert is_right["kept"].all()
    assert kept.obs["p_asked"].tolist() == pytest.approx([0.9] * 12)
    stayed = kept.obs["answer"].to_numpy() == first.obs["answer"].to_numpy()
    assert stayed.tolist() == is_right["first"].tolist()
    assert kept.uns["celloquy_generate"]["n_candidates"] == 12


def test_candidates_of_a_cell_depend_on_seed_and_number_alone(lm):
    fields = {"cell_type": ["B cell", "T cell", "T cell"]}
    many = made(lm, fields=fields, n_candidates=3, seed=2)
    few = made(lm, fields={"cell_type": ["B cell", "T cell"]}, n_candidates=3, seed=2, shard_size=1)
    assert list(few.obs["answer"]) == list(many.obs["answer"])[:2]
    assert seeds_of(2, range(3), candidate=1) != seeds_of(2, range(3))


def test_candidates_that_cannot_be_read_back_are_refused(lm):
    with pytest.raises(InputError, match="'random_cell' writes cannot be read back: no input"):
        made(lm, "random_cell", {}, n_candidates=2)
    with pytest.raises(InputError, match="'B cell' is the only cell_type there is") as refusal:
        made(lm, n_candidates=2)
    assert "ask for several" in refusal.value.hint
    with pytest.raises(InputError, match="`n_candidates` must be at least 1, got 0"):
        GenerateOptions(n_candidates=0)
