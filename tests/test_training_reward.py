from __future__ import annotations

import json

import numpy as np
import pytest

import celloquy as cq
from celloquy.errors import InputError
from celloquy.training import train
from celloquy.training._reward import reward_of
from celloquy.training._run import RunFolder
from decoder_models import write_decoder, write_seq2seq


def write_run(folder, *, more="", seq2seq=False, chat=None):
    (folder / "base").mkdir()
    if seq2seq:
        write_seq2seq(folder / "base")
    else:
        write_decoder(folder / "base", chat=chat, tokenizer="llama3" if chat else "bytes")
    lines = [{"prompt": f"Genes: CD3D {i}", "answer": "T"} for i in range(4)]
    (folder / "t.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "recipe.toml").write_text(
        'preset = "grpo"\nmodel = { base = "base", method = "full" }\ndata.train = ["t.jsonl"]\n'
        "reward = { reward = 'label', max_new_tokens = 2, n_answers = 4 }\n"
        f"optimiser = {{ learning_rate = 1e-3, max_steps = 3 }}\n{more}"
    )
    return folder / "recipe.toml"


def test_a_reward_of_reactivity_is_that_of_its_task_ch_11():
    reward = reward_of("reactivity")
    said = "<reason>CXCL13</reason><output>Reactive</output>"
    assert reward(said, "Reactive", "") == 1.3
    assert reward(said, "Non-Reactive", "") == 0.3
    assert reward("not reactive", "Reactive", "") == 0.0


def test_a_reward_of_a_label_reads_the_answer_as_its_task_does():
    reward = reward_of("label")
    assert (reward("T cell.", "T cell", "cell_type"), reward("B", "T", "cell_type")) == (1.0, 0.0)
    assert (reward(" T ", "T", ""), reward("T cell", "T", "")) == (1.0, 0.0)


def test_an_unknown_reward_is_told():
    with pytest.raises(InputError, match="There is no reward 'fame'"):
        reward_of("fame")


@pytest.mark.slow
def test_rewards_move_a_model_and_it_is_saved(tmp_path, capsys):
    result = train(write_run(tmp_path), tmp_path / "run")
    capsys.readouterr()
    lines = RunFolder(tmp_path / "run").lines()
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert all(0 <= line["reward"] <= 1 for line in lines)
    lm = cq.load_lm(f"hf:{result.model}")
    assert np.isfinite(lm.score(["Genes: CD3D"], ["T"]).logp).all()
    assert "result" in RunFolder(tmp_path / "run").record()
    assert not list((tmp_path / "run").rglob("*.pt"))


@pytest.mark.slow
def test_prompts_are_drawn_from_as_they_are_asked(tmp_path, capsys, monkeypatch):
    from transformers import LlamaForCausalLM

    from decoder_models import CHAT

    seen = []
    forward = LlamaForCausalLM.forward

    def watched(self, input_ids=None, **more):
        seen.append(input_ids)
        return forward(self, input_ids=input_ids, **more)

    monkeypatch.setattr(LlamaForCausalLM, "forward", watched)
    recipe = write_run(tmp_path, chat=CHAT)
    train(recipe, tmp_path / "run")
    capsys.readouterr()
    lm = cq.load_lm(f"hf:{tmp_path / 'base'}")
    asked = {tuple(lm.format.ids(f"Genes: CD3D {i}").tolist()) for i in range(4)}
    rows = {tuple(row) for ids in seen if ids is not None for row in ids.tolist()}
    assert any(row[-len(one) :] == one or row[: len(one)] == one for one in asked for row in rows)


def test_rewards_need_whole_groups_and_a_decoder(tmp_path):
    recipe = write_run(tmp_path, more="")
    recipe.write_text(recipe.read_text().replace("max_steps = 3", "batch_size = 6"))
    with pytest.raises(InputError, match="A step of 6 answers holds no whole groups of 4"):
        train(recipe, tmp_path / "run")
    (tmp_path / "t5").mkdir()
    with pytest.raises(InputError, match="Rewards train decoders"):
        train(write_run(tmp_path / "t5", seq2seq=True), tmp_path / "other")
