from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest
import torch

from celloquy.errors import InputError, MissingExtraError
from celloquy.training import read_training_examples, train
from celloquy.training._checkpoints import newest_checkpoint, write_checkpoint
from celloquy.training._optimiser import learning_rate
from celloquy.training._recipe_train import OptimiserPart, TrainRecipe
from celloquy.training._run import RunFolder, open_run
from training_runs import write_lines, write_setting

NO_PROCESS = 999_999_999


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path):
    tensors = {"w": torch.arange(4.0)}
    for step in (10, 20):
        write_checkpoint(tmp_path / "c", step, weights=tensors, moments=tensors, state={})
    newest = tmp_path / "c" / "step-0000020" / "weights.safetensors"
    newest.write_bytes(newest.read_bytes()[:-4])
    with pytest.warns(UserWarning, match=r"step-0000020' is damaged .*one before it is taken"):
        found = newest_checkpoint(tmp_path / "c")
    assert found is not None
    assert found.step == 10
    (tmp_path / "c" / "step-0000010" / "manifest.json").unlink()
    with pytest.warns(UserWarning, match="is damaged"):
        assert newest_checkpoint(tmp_path / "c") is None


def test_what_killed_processes_left_of_a_run_is_removed_when_it_goes_on(tmp_path):
    lines = [str(write_lines(tmp_path / "train.jsonl", [{"prompt": "a", "answer": "b"}]))]
    recipe = TrainRecipe.model_validate({"data": {"train": lines}, "model": {"base": "base"}})
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / f".run.{NO_PROCESS}.tmp.json").write_text("{")  # killed at its beginning
    run = open_run(tmp_path / "run", recipe)
    assert [path.name for path in run.folder.iterdir()] == ["run.json"]
    kept = run.checkpoints / "step-0000001"
    living = run.checkpoints / f".step-0000003.{os.getpid()}.tmp"
    for folder in (kept, living, run.checkpoints / f".step-0000002.{NO_PROCESS}.tmp"):
        folder.mkdir(parents=True)
        (folder / "weights.safetensors").write_bytes(b"half")
    open_run(tmp_path / "run", recipe)
    assert sorted(run.checkpoints.iterdir()) == [living, kept]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".notes").touch()
    with pytest.raises(InputError, match="other' exists already, and nothing is overwritten"):
        open_run(tmp_path / "other", recipe)


@pytest.mark.skipif(os.name != "posix", reason="a limit of file sizes stands for a full disk")
def test_a_log_on_a_full_disk_is_told_and_read_up_to_its_last_whole_line(tmp_path):
    import resource

    run = RunFolder(tmp_path)
    run.log({"step": 1})
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (run.log_file.stat().st_size + 5, limits[1]))
    try:
        with pytest.raises(InputError, match=r"full: '.*log\.jsonl' takes no line more"):
            run.log({"step": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert run.lines() == [{"step": 1}]


def test_examples_are_read_from_all_three_forms(tmp_path):
    write_lines(tmp_path / "a.jsonl", [{"prompt": "p", "answer": "a", "task": "t", "weight": 2}])
    (tmp_path / "b.json").write_text(
        json.dumps([{"instruction": "i", "input": "x", "output": "o"}])
    )
    (tmp_path / "c.json").write_text(json.dumps([{"source": "s", "target": "t"}]))
    found = list(read_training_examples([tmp_path / n for n in ("a.jsonl", "b.json", "c.json")]))
    assert [(e.prompt, e.answer, e.task, e.weight) for e in found] == [
        ("p", "a", "t", 2.0), ("i\nx", "o", "", 1.0), ("s", "t", "", 1.0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1 is not JSON"),
        ("[1]", "line 1 is no object"),
        ('{"promp": "p", "answer": "a"}', "line 1 has no prompt; the closest is 'promp'"),
        ('{"prompt": "p", "answer": ""}', "line 1 has no answer"),
        ('{"prompt": "p", "answer": "a", "weight": -1}', "line 1 has the weight -1"),
    ],
)
def test_a_line_that_is_no_example_is_told_with_its_number(tmp_path, line, message):
    (tmp_path / "x.jsonl").write_text(line + "\n")
    with pytest.raises(InputError, match=message):
        list(read_training_examples([tmp_path / "x.jsonl"]))


def test_an_example_without_an_answer_or_a_file_that_is_missing_is_told(tmp_path):
    (tmp_path / "b.json").write_text(json.dumps([{"instruction": "i", "input": ""}]))
    with pytest.raises(InputError, match="entry 1 has no answer"):
        list(read_training_examples([tmp_path / "b.json"]))
    with pytest.raises(InputError, match="no file of examples"):
        list(read_training_examples([tmp_path / "none.jsonl"]))
    recipe = write_setting(tmp_path)
    (tmp_path / "train.jsonl").unlink()
    with pytest.raises(InputError, match="no file of examples"):
        train(recipe, tmp_path / "run")


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ("run.packing = true", InputError, "Packing needs a GPU with flash_attn"),
        ("run.shard = true", InputError, "With `shard = true` only the loss is measured"),
        ('run.shard = true\nevaluation.metric = "loss"', InputError, "this is one process"),
        ('[model]\nbase = "base"\nmax_tokens = 9999', InputError, "is 9,999, and '.*' reads 512"),
        (
            '[model]\nbase = "base"\nmethod = "lora"\n[adapter]\ntargets = ["nope"]',
            InputError,
            "The adapter's layers are not in",
        ),
        ('evaluation.metric = "macro_f2"', InputError, "closest is 'macro_f1'"),
        ('evaluation.metric = "roc_auc"', InputError, "which needs probabilities, not answers"),
        ("run.tensorboard = true", MissingExtraError, "`tensorboard` is needed"),
    ],
)
def test_what_does_not_go_together_is_refused_with_words(tmp_path, more, error, message):
    with pytest.raises(error, match=message):
        train(write_setting(tmp_path, more=more + "\n", n=8), tmp_path / "run", device="cpu")


def test_answers_that_are_no_closed_set_are_not_measured_as_one(tmp_path):
    recipe = write_setting(tmp_path, more='evaluation.metric = "accuracy"\n')
    lines = [{"prompt": "p", "answer": f"a{i}", "task": "free"} for i in range(2_001)]
    write_lines(tmp_path / "train.jsonl", lines)
    write_lines(tmp_path / "valid.jsonl", lines[:5])
    with pytest.raises(InputError, match="Task 'free' has too many different answers"):
        train(recipe, tmp_path / "run")


def test_the_learning_rate_rises_and_falls_as_worked_by_hand():
    part = OptimiserPart(learning_rate=1.0, schedule="cosine", warmup=2)
    found = [learning_rate(part, step, n_steps=6) for step in range(1, 7)]
    half = 2**0.5 / 2
    expected = [0.5, 1.0, (1 + half) / 2, 0.5, (1 - half) / 2, 0.0]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    part = OptimiserPart(learning_rate=1.0, schedule="constant")
    assert learning_rate(part, 6, n_steps=6) == 1.0
