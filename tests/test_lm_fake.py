"""The scripted language model: deterministic, counted, and refused like a real one."""

from __future__ import annotations

import hashlib
import json
import math

import numpy as np
import pytest

from celloquy.errors import InputError
from celloquy.lm import ScriptedModel
from celloquy.lm._fake_script import load_fake
from celloquy.lm._protocol import Limits
from celloquy.text import Field, JSONSchema, OneOf, Sequence, Text

TYPES = ["T cell", "B cell", "NK cell"]


def marker(prompt: str) -> str:
    return "B cell" if "MS4A1" in prompt else "T cell"


def script(folder, **parts):
    path = folder / "script.json"
    path.write_text(json.dumps(parts))
    return load_fake(str(path), device="auto", precision="fp32", allow_download=False)


def test_the_answer_of_the_rule_has_probability_nine_tenths_and_the_others_share_the_rest():
    scores = ScriptedModel(answer=marker).score(["CD79A MS4A1", "CD3E"], TYPES)
    assert np.allclose(np.exp(scores.logp), [[0.05, 0.9, 0.05], [0.9, 0.05, 0.05]])
    assert scores.best.tolist() == [1, 0]
    assert scores.n_tokens.tolist() == [[3, 3, 3], [3, 3, 3]]  # two words and the end


def test_a_rule_for_scores_is_taken_as_it_is_and_leaves_to_the_answer_what_it_does_not_know():
    lm = ScriptedModel(
        answer=marker, logp=lambda prompt, answer: -len(answer) if "CD3E" in prompt else None
    )
    scores = lm.score(["CD3E", "MS4A1"], ["T cell", "B cell"])
    assert np.allclose(scores.logp, [[-6, -6], [math.log(0.1), math.log(0.9)]])
    assert scores.best.tolist() == [0, 1]


def test_one_set_a_prompt_is_padded_with_impossible_answers():
    scores = ScriptedModel(answer=marker).score(["MS4A1", "CD3E"], [["B cell"], TYPES], ends=False)
    assert np.allclose(np.exp(scores.logp), [[1, 0, 0], [0.9, 0.05, 0.05]])
    assert scores.n_tokens.tolist() == [[2, 0, 0], [2, 2, 2]]


def test_when_only_the_best_is_asked_for_the_others_have_no_score():
    scores = ScriptedModel(answer=marker).score(["MS4A1"], TYPES, best_only=True)
    assert np.exp(scores.logp).tolist() == [[0, pytest.approx(0.9), 0]]


def test_without_probabilities_a_closed_set_is_asked_twice_and_then_not_answered():
    lm = ScriptedModel(answer=lambda p: " B cell\n" if "MS4A1" in p else "It is a B cell.",
                       has_logp=False)  # fmt: skip
    scores = lm.score(["MS4A1", "CD3E"], TYPES)
    assert scores.best.tolist() == [1, -1]
    assert np.isnan(scores.logp).all()
    assert lm.asked == ["MS4A1", "CD3E", "CD3E"]
    assert scores.texts == ("B cell", "It is a B cell.")
    assert scores.why == ("", "none of the allowed answers")


def test_chance_depends_on_the_texts_alone():
    together = ScriptedModel().score(["a", "b", "c"], TYPES).logp
    alone = [ScriptedModel().score([one], TYPES).logp[0] for one in "abc"]
    assert np.array_equal(together, alone)
    assert np.allclose(np.exp(together).sum(axis=1), 1)


def test_every_prompt_is_counted_and_can_be_counted_by_others(tmp_path):
    lm = ScriptedModel(answer=marker)
    lm.log = tmp_path / "asked.jsonl"
    lm.score(["a", "b"], TYPES)
    lm.generate([(Text("tissue: "), Field("lung"))], seeds=[0])
    lm.embed(["a"])
    assert (lm.n_calls, lm.n_asked) == (3, 4)
    assert lm.asked == ["a", "b", "tissue: lung", "a"]
    told = [json.loads(line)["prompt"] for line in lm.log.read_text().splitlines()]
    assert told == lm.asked


def test_an_answer_outside_the_set_gives_way_to_the_likeliest_of_the_set():
    lm = ScriptedModel(answer=lambda _: "astrocyte", logp=lambda _, a: float(a == "NK cell"))
    written = lm.generate(["x"], OneOf(tuple(TYPES)), seeds=[0])
    assert written.texts == ("NK cell",)
    assert written.finish_reasons == ("end",)


def test_a_sequence_keeps_what_the_rule_says_and_draws_the_rest_without_repeats():
    genes = tuple(f"G{number}" for number in range(50))
    lm = ScriptedModel(answer=lambda _: "G3 XX G3 G7")
    exact = lm.generate(["x"], Sequence(genes, 20), seeds=[5]).texts[0].split()
    assert exact[:2] == ["G3", "G7"]
    assert len(exact) == len(set(exact)) == 20
    assert set(exact) <= set(genes)
    at_most = lm.generate(["x"], Sequence(genes, 20, exactly=False), seeds=[5])
    assert at_most.texts == ("G3 G7",)


def test_what_is_drawn_depends_on_the_seed_of_the_row_only():
    lm, cell = ScriptedModel(), Sequence(tuple("ABCDEFGH"), 5, delimiter=", ")
    three = lm.generate(["x", "x", "x"], cell, seeds=[1, 2, 1]).texts
    assert three[0] == three[2] != three[1]
    assert lm.generate(["y"], cell, seeds=[2]).texts[0] == three[1]
    again = lm.generate(["x"], Sequence(("A", "B"), 6, repeats=True), seeds=[0]).texts[0].split()
    assert len(again) == 6
    assert set(again) == {"A", "B"}


def test_an_answer_over_the_limit_is_cut_and_says_so():
    lm = ScriptedModel(answer=lambda _: "one two three")
    written = lm.generate(["x"], seeds=[0], limits=Limits(max_new_tokens=2))
    assert written.texts == ("one two",)
    assert written.finish_reasons == ("length",)
    assert [len(ids) for ids in written.ids] == [2]
    free = ScriptedModel().generate(["x"], JSONSchema({}), seeds=[0])
    assert free.texts[0].startswith("answer ")
    assert np.isnan(free.logp).all()


def test_equal_texts_have_equal_vectors_and_a_rule_gives_its_own():
    vectors = ScriptedModel().embed(["CD3E IL7R", "MS4A1", "CD3E IL7R"])
    assert vectors.shape == (3, ScriptedModel().n_dimensions())
    assert np.array_equal(vectors[0], vectors[2])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    ruled = ScriptedModel(vector=lambda text: np.array([len(text), 1.0]))
    assert ruled.embed(["abc"]).tolist() == [[3, 1]]


def test_a_suffix_is_embedded_after_its_prompt():
    lm = ScriptedModel()
    deep = lm.embed(["CD3E ", "MS4A1 "], suffixes=[["IL7R", (Text("GNLY"),)], ["LYZ", "CD74"]])
    assert deep.shape == (2, 2, lm.n_dimensions())
    assert np.array_equal(deep[0, 1], lm.embed(["CD3E GNLY"])[0])
    assert lm.n_asked == 3


def test_a_prompt_that_does_not_fit_beside_its_answer_is_refused():
    lm = ScriptedModel(max_tokens=4)
    assert lm.plan(["one two three four"]).n_tokens.tolist() == [4]
    with pytest.raises(InputError, match=r"Prompt 0 takes 4 tokens; the model reads 3"):
        lm.plan(["one two three four"], n_answer_tokens=1)


def test_what_was_not_declared_is_refused():
    lm = ScriptedModel(capabilities=["generate"])
    with pytest.raises(InputError, match=r"'fake:rule' cannot score; it can generate\."):
        lm.score(["x"], TYPES)
    with pytest.raises(InputError, match="There is no capability 'dream'"):
        ScriptedModel(capabilities=["dream"])


def test_sets_constraints_and_seeds_are_one_for_all_or_one_a_prompt():
    lm = ScriptedModel()
    with pytest.raises(InputError, match="There are 1 sets of answers for 2 prompts"):
        lm.score(["a", "b"], [["T cell"]])
    with pytest.raises(InputError, match="There are no answers to choose from"):
        lm.score(["a"], [])
    with pytest.raises(InputError, match="name 'T cell' more than once"):
        lm.score(["a"], ["T cell", "T cell"])
    with pytest.raises(InputError, match="There are 1 constraints for 2 prompts"):
        lm.generate(["a", "b"], [OneOf(("x",))], seeds=[0, 1])
    with pytest.raises(InputError, match="There are 1 seeds for 2 prompts"):
        lm.generate(["a", "b"], seeds=[0])


def test_a_script_answers_by_words_by_hash_and_in_order(tmp_path):
    sha256 = hashlib.sha256(b"GNLY NKG7").hexdigest()
    lm = script(
        tmp_path,
        in_order=["first"],
        entries=[
            {"contains": "MS4A1", "answer": "B cell", "logp": {"B cell": -0.5, "T cell": -1}},
            {"sha256": sha256, "answer": "NK cell"},
        ],
        otherwise="T cell",
    )
    prompts = ["MS4A1", "MS4A1", "GNLY NKG7", "GNLY NKG7 CD3E"]
    assert lm.generate(prompts, seeds=range(4)).texts == ("first", "B cell", "NK cell", "T cell")
    scores = lm.score(["MS4A1", "CD3E"], TYPES)
    assert scores.logp[0].tolist() == [-1, -0.5, -math.inf]
    assert np.allclose(np.exp(scores.logp[1]), [0.9, 0.05, 0.05])
    assert len(lm.revision) == 64


def test_a_script_can_imitate_an_endpoint_without_probabilities(tmp_path):
    lm = script(tmp_path, has_logp=False, capabilities=["score"], otherwise="B cell",
                log="asked.jsonl", max_tokens=50)  # fmt: skip
    assert np.isnan(lm.score(["x"], TYPES).logp).all()
    assert lm.capabilities == {"score"}
    assert lm.max_tokens == 50
    assert (tmp_path / "asked.jsonl").read_text() == '{"prompt": "x"}\n'


def test_echo_and_chance_need_no_script():
    assert load_fake("echo").generate(["hello"], seeds=[0]).texts == ("hello",)
    assert load_fake("chance").name == "fake:chance"


def test_a_wrong_script_is_refused_with_the_place(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        load_fake(str(tmp_path / "none.json"))
    (tmp_path / "half.json").write_text('{"entries": [')
    with pytest.raises(InputError, match="is not JSON: Expecting value"):
        load_fake(str(tmp_path / "half.json"))
    with pytest.raises(InputError, match=r"is wrong at `entries\.0\.answer`: Field required"):
        script(tmp_path, entries=[{"contains": "MS4A1"}])
    with pytest.raises(InputError, match=r"is wrong at `answres`") as refusal:
        script(tmp_path, answres=[])
    assert "`entries`" in refusal.value.hint
