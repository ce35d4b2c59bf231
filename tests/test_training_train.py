from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import torch

import celloquy as cq
from celloquy.errors import BackendError, CheckpointError, InputError
from celloquy.training import build_corpus, merge, read_recipe, train
from celloquy.training._model import adapter_settings
from celloquy.training._recipe_train import AdapterPart
from celloquy.training._run import RunFolder
from corpora import cells, source
from corpora import recipe as corpus_recipe
from training_runs import examples, write_lines, write_setting

pytestmark = pytest.mark.slow
SHORT = "optimiser = { learning_rate = 3e-3, batch_size = 8, epochs = 2 }\n"


def losses(folder):
    return [line["loss"] for line in RunFolder(folder).lines() if "loss" in line]


def evaluations(folder):
    return [line["valid"] for line in RunFolder(folder).lines() if "valid" in line]


def test_a_run_learns_and_leaves_all_that_says_how(tmp_path, capsys):
    more = SHORT + "evaluation.every = 4\ncheckpoint.every = 4\n"
    result = train(write_setting(tmp_path, more=more), tmp_path / "run")
    capsys.readouterr()
    found = losses(tmp_path / "run")
    assert (len(found), result.steps) == (12, 12)
    assert np.mean(found[-3:]) < np.mean(found[:3]) - 1
    assert set(result.metrics) == {"cell_type"}
    run = RunFolder(tmp_path / "run")
    record = run.record()
    assert record["recipe"]["optimiser"]["batch_size"] == 8
    assert [len(digest) for digest in record["data"].values()] == [64, 64]
    assert {"torch", "transformers", "celloquy"} <= set(record["versions"])
    assert record["result"]["examples"]["train"]["n"] == 48
    card = (tmp_path / "run" / "README.md").read_text()
    assert "| cell_type | macro_f1 |" in card
    assert str(tmp_path) not in card
    assert (tmp_path / "run" / "curves.png").stat().st_size > 10_000


def test_the_best_checkpoint_is_the_one_with_the_best_metric_not_the_lowest_loss(tmp_path, capsys):
    more = SHORT + "evaluation.every = 2\nrun.seed = 3\n"
    result = train(write_setting(tmp_path, more=more), tmp_path / "run")
    capsys.readouterr()
    found = evaluations(tmp_path / "run")
    scores = [one["metrics"]["cell_type"]["macro_f1"] for one in found]
    assert result.metrics["cell_type"]["macro_f1"] == max(scores)
    ties = [one["loss"] for one, score in zip(found, scores, strict=True) if score == max(scores)]
    assert result.loss == min(ties)


def test_the_metric_is_what_predicting_with_the_saved_model_gives(tmp_path, capsys):
    result = train(write_setting(tmp_path, more=SHORT), tmp_path / "run")
    capsys.readouterr()
    lm = cq.load_lm(f"hf:{result.model}")
    lines = examples(12, seed=2)
    labels = ["T cell", "B cell", "NK cell"]
    logp = lm.score([line["prompt"] for line in lines], labels).logp
    said = [labels[best] for best in logp.argmax(axis=1)]
    expected = cq.tasks.METRICS["macro_f1"].measure([line["answer"] for line in lines], said)
    assert result.metrics["cell_type"]["macro_f1"] == pytest.approx(expected)


def test_the_saved_models_loss_is_the_recorded_one(tmp_path, capsys):
    result = train(write_setting(tmp_path, more=SHORT), tmp_path / "run")
    capsys.readouterr()
    lm = cq.load_lm(f"hf:{result.model}")
    lines = examples(12, seed=2)
    scores = [lm.score([line["prompt"]], [line["answer"]]) for line in lines]
    total = -sum(float(one.logp[0, 0]) for one in scores)
    n_tokens = sum(len(lm.format.answer_ids(line["answer"], ends=True)) for line in lines)
    assert result.loss == pytest.approx(total / n_tokens, rel=1e-4)


@pytest.mark.parametrize("method", ["lora", "dora"])
def test_an_adapter_is_saved_alone_and_merged_into_one_model(tmp_path, capsys, method):
    more = f'{SHORT}[model]\nbase = "base"\nmethod = "{method}"\n'
    result = train(write_setting(tmp_path, more=more), tmp_path / "run")
    capsys.readouterr()
    saved = {path.name for path in result.model.iterdir()}
    assert saved == {"adapter_config.json", "adapter_model.safetensors"}
    told = json.loads((result.model / "adapter_config.json").read_text())
    assert told["base_model_name_or_path"] == "base"
    merged = merge(tmp_path / "run", tmp_path / "merged")
    apart = cq.load_lm(f"hf:{tmp_path / 'base'}", adapter=str(result.model))
    whole = cq.load_lm(f"hf:{merged}")
    prompts = [line["prompt"] for line in examples(4, seed=9)]
    labels = ["T cell", "B cell"]
    np.testing.assert_allclose(
        whole.score(prompts, labels).logp, apart.score(prompts, labels).logp, atol=1e-4
    )
    base = cq.load_lm(f"hf:{tmp_path / 'base'}")
    assert np.abs(base.score(prompts, labels).logp - whole.score(prompts, labels).logp).max() > 0.1
    half = merge(tmp_path / "run", tmp_path / "half", dtype="bf16")
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (half, merged)]
    assert sizes[0] < 0.6 * sizes[1]


@pytest.mark.parametrize("method", ["full", "lora"])
def test_genes_become_tokens_and_what_is_asked_is_what_was_trained(tmp_path, capsys, method):
    more = f'{SHORT}[model]\nbase = "base"\nmethod = "{method}"\nadd_genes = "genes.txt"\n'
    (tmp_path / "genes.txt").write_text("MT-CO1\nHLA-DRA\n\nFCGR3A\n")
    result = train(write_setting(tmp_path, more=more), tmp_path / "run")
    capsys.readouterr()
    base = f"hf:{tmp_path / 'base'}"
    if method == "lora":
        names = {path.name for path in result.model.iterdir()}
        assert names == {"adapter_config.json", "adapter_model.safetensors", "added_genes.json"}
        lms = [cq.load_lm(base, adapter=str(result.model))]
        lms.append(cq.load_lm(f"hf:{merge(tmp_path / 'run', tmp_path / 'merged')}"))
    else:
        lms = [cq.load_lm(f"hf:{result.model}")]
    shorter = lms[0].format.ids("HLA-DRA MT-CO1"), cq.load_lm(base).format.ids("HLA-DRA MT-CO1")
    assert len(shorter[0]) < len(shorter[1])
    lines = examples(12, seed=2)
    for lm in lms:
        total = sum(
            -float(lm.score([line["prompt"]], [line["answer"]]).logp[0, 0]) for line in lines
        )
        n_tokens = sum(len(lm.format.answer_ids(line["answer"], ends=True)) for line in lines)
        assert result.loss == pytest.approx(total / n_tokens, rel=1e-4)


def test_a_large_model_is_merged_into_several_files_ch_10(tmp_path, capsys, monkeypatch):
    result = train(write_setting(tmp_path, more=SHORT, n=16), tmp_path / "run")
    monkeypatch.setattr("celloquy.training._merge.SHARD_SIZE", "200KB")
    merged = merge(tmp_path / "run", tmp_path / "merged")
    capsys.readouterr()
    assert len(list(merged.glob("*.safetensors"))) > 1
    lms = [cq.load_lm(f"hf:{folder}") for folder in (merged, result.model)]
    whole, cut = (lm.score(["Genes: CD3D"], ["T cell", "B cell"]).logp for lm in lms)
    np.testing.assert_array_equal(whole, cut)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_16_bits_learn_nearly_what_32_do(tmp_path, capsys, method):
    more = f'{SHORT}[model]\nbase = "base"\nmethod = "{method}"\n[run]\nprecision = '
    recipe = write_setting(tmp_path, more=more + '"fp32"\n')
    train(recipe, tmp_path / "fp32")
    recipe.write_text(recipe.read_text().replace('"fp32"', '"bf16"'))
    train(recipe, tmp_path / "bf16")
    capsys.readouterr()
    np.testing.assert_allclose(losses(tmp_path / "bf16"), losses(tmp_path / "fp32"), rtol=0.03)


def test_an_adapter_of_llama_3_1_8b_has_the_published_number_of_weights_ch_9():
    import peft
    from transformers import AutoModelForCausalLM, LlamaConfig

    config = LlamaConfig(
        vocab_size=128_256, hidden_size=4_096, intermediate_size=14_336, num_hidden_layers=32,
        num_attention_heads=32, num_key_value_heads=8,
    )  # fmt: skip
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoModelForCausalLM.from_config(config)
        wrapped = peft.get_peft_model(model, adapter_settings(AdapterPart(), "lora", base="b"))
    assert sum(w.numel() for w in wrapped.parameters() if w.requires_grad) == 20_971_520


def test_a_merge_needs_the_base_that_was_trained_and_a_finished_run(tmp_path, capsys):
    more = f'{SHORT}[model]\nbase = "base"\nmethod = "lora"\n'
    train(write_setting(tmp_path, more=more), tmp_path / "run")
    capsys.readouterr()
    config = tmp_path / "base" / "config.json"
    config.write_text(config.read_text().replace("}", " }"))
    with pytest.raises(CheckpointError, match="is not the one that the adapter was trained on"):
        merge(tmp_path / "run", tmp_path / "merged")
    run = RunFolder(tmp_path / "run")
    run.write_record({**run.record(), "is_finished": False})
    with pytest.raises(InputError, match="has not ended"):
        merge(tmp_path / "run", tmp_path / "merged")
    with pytest.raises(InputError, match="holds no run"):
        merge(tmp_path, tmp_path / "merged")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(InputError, match=r"holds 'thesis.txt' and no config.json"):
        merge(tmp_path / "run", tmp_path / "mine", overwrite=True)
    run.write_record({"schema": 99})
    with pytest.raises(InputError, match="is not of the form 1"):
        merge(tmp_path / "run", tmp_path / "merged")


def test_an_encoder_decoder_learns_too(tmp_path, capsys):
    result = train(write_setting(tmp_path, family="t5", more=SHORT), tmp_path / "run")
    capsys.readouterr()
    found = losses(tmp_path / "run")
    assert np.mean(found[-3:]) < np.mean(found[:3]) - 0.5
    lines = examples(12, seed=2)
    lm = cq.load_lm(f"hf:{result.model}")
    total = sum(-float(lm.score([line["prompt"]], [line["answer"]]).logp[0, 0]) for line in lines)
    n_tokens = sum(len(lm.format.answer_ids(line["answer"], ends=True)) for line in lines)
    assert result.loss == pytest.approx(total / n_tokens, rel=1e-4)


def test_a_corpus_is_learned_from_and_its_validation_part_chooses(tmp_path, capsys):
    cells().write_h5ad(tmp_path / "cells.h5ad")
    held = {"by": "donor", "validation": ["d3"], "test": ["d4"]}
    tasks = ["cell_type", "masked_genes"]
    asked = corpus_recipe([source(tmp_path / "cells.h5ad")], tasks, split=held)
    corpus = build_corpus(asked, tmp_path / "corpus")
    recipe = write_setting(tmp_path, more=SHORT)
    text = recipe.read_text().partition("\n")[2]
    recipe.write_text(f'data = {{ corpus = "corpus" }}\n{text}')
    result = train(recipe, tmp_path / "run")
    capsys.readouterr()
    counts = RunFolder(tmp_path / "run").record()["result"]["examples"]
    assert counts["train"]["n"] == corpus.n("train")
    assert counts["valid"]["n"] == corpus.n("validation")
    assert set(result.metrics) == {"cell_type"}
    lm = cq.load_lm(f"hf:{result.model}")
    examples_ = [e for e in corpus.examples("validation") if e.task == "cell_type"]
    labels = ["B cell", "NK cell", "T cell"]
    logp = lm.score([e.prompt for e in examples_], labels).logp
    said = [labels[best] for best in logp.argmax(axis=1)]
    expected = cq.tasks.METRICS["macro_f1"].measure([e.answer for e in examples_], said)
    assert result.metrics["cell_type"]["macro_f1"] == pytest.approx(expected)


def test_a_model_is_trained_from_random_weights_by_its_settings_alone(tmp_path, capsys):
    more = f'{SHORT}[model]\nbase = "base"\nfrom_scratch = true\n'
    recipe = write_setting(tmp_path, more=more)
    (tmp_path / "base" / "model.safetensors").unlink()
    train(recipe, tmp_path / "run")
    train(recipe, tmp_path / "again")
    capsys.readouterr()
    assert losses(tmp_path / "run") == losses(tmp_path / "again")


def test_what_fits_at_once_changes_nothing_learned(tmp_path, capsys):
    recipe = write_setting(tmp_path, more=SHORT)
    text = recipe.read_text()
    for at_once in (8, 3):
        recipe.write_text(f"{text}run.at_once = {at_once}\n")
        train(recipe, tmp_path / f"run{at_once}")
    recipe.write_text(f"{text}run.gradient_checkpointing = true\n")
    train(recipe, tmp_path / "again")
    capsys.readouterr()
    np.testing.assert_allclose(losses(tmp_path / "run8"), losses(tmp_path / "run3"), rtol=1e-3)
    np.testing.assert_allclose(losses(tmp_path / "run8"), losses(tmp_path / "again"), rtol=1e-3)


def test_a_weight_of_a_task_without_examples_is_refused(tmp_path):
    recipe = write_setting(tmp_path)
    more = 'valid = ["valid.jsonl"], task_weights = { cell_tipe = 2.0 } }'
    recipe.write_text(recipe.read_text().replace('valid = ["valid.jsonl"] }', more))
    with pytest.raises(InputError, match="'cell_tipe', which no example is of; the closest is 'c"):
        train(recipe, tmp_path / "run", device="cpu")


def test_a_run_ends_early_when_evaluations_get_no_better(tmp_path, capsys):
    more = "optimiser = { learning_rate = 1e-12, batch_size = 8, epochs = 9 }\n"
    more += 'evaluation = { every = 2, patience = 2, metric = "accuracy" }\n'
    result = train(write_setting(tmp_path, more=more), tmp_path / "run")
    capsys.readouterr()
    assert result.steps < 54
    assert result.best_step is not None
    assert result.best_step <= result.steps - 4


def test_the_global_random_state_is_left_alone(tmp_path, capsys):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    train(write_setting(tmp_path, more=SHORT, n=16), tmp_path / "run")
    capsys.readouterr()
    assert torch.equal(torch.rand(3), expected)


def test_a_finished_run_is_not_done_again(tmp_path, capsys):
    recipe = write_setting(tmp_path, more=SHORT, n=16)
    train(recipe, tmp_path / "run")
    written = (tmp_path / "run" / "log.jsonl").stat().st_mtime_ns
    result = train(recipe, tmp_path / "run")
    capsys.readouterr()
    assert (tmp_path / "run" / "log.jsonl").stat().st_mtime_ns == written
    assert result.steps == 4


def test_a_run_with_a_changed_recipe_is_refused_and_the_key_is_named(tmp_path, capsys):
    recipe = write_setting(tmp_path, more=SHORT, n=16)
    train(recipe, tmp_path / "run")
    text = recipe.read_text()
    recipe.write_text(text.replace("3e-3", "1e-3"))
    with pytest.raises(InputError, match=r"`optimiser.learning_rate` was 0\.003 and is 0\.001"):
        train(recipe, tmp_path / "run")
    recipe.write_text(text)
    write_lines(tmp_path / "train.jsonl", examples(16, seed=5))
    with pytest.raises(InputError, match=r"The examples of the run .* changed: '.*train.jsonl'"):
        train(recipe, tmp_path / "run")
    train(recipe, tmp_path / "run", overwrite=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        train(recipe, tmp_path / "other")
    capsys.readouterr()


def test_a_run_that_ended_before_its_first_step_begins_anew_with_a_mended_recipe(tmp_path, capsys):
    recipe = write_setting(tmp_path, more=SHORT, n=16)
    text = recipe.read_text()
    recipe.write_text(text.replace('base = "base"', 'base = "bass"'))
    with pytest.raises(InputError, match=r"There is no folder '.*bass' with a language model"):
        train(recipe, tmp_path / "run")
    recipe.write_text(text)
    assert train(recipe, tmp_path / "run").steps == 4
    capsys.readouterr()


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_examples(tmp_path, capsys):
    more = "optimiser = { learning_rate = 1e30, batch_size = 8, max_grad_norm = 1e30 }\n"
    with pytest.raises(
        BackendError, match=r"At step \d+ the (loss|gradient) is \w+, in the batch of the training"
    ):
        train(write_setting(tmp_path, more=more), tmp_path / "run")
    capsys.readouterr()


def test_no_file_of_a_run_is_a_pickle(tmp_path, capsys):
    train(write_setting(tmp_path, more=SHORT, n=16), tmp_path / "run")
    capsys.readouterr()
    kinds = {path.suffix for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert kinds == {".safetensors", ".json", ".jsonl", ".md", ".png", ".npz", ".bin"}


TWO = ("--nproc-per-node", "2", "--master-port", "29511", "-m")


def command(*arguments, start=(), **more):
    launcher = ["torch.distributed.run", *start] if start else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        [sys.executable, "-m", *launcher, "celloquy", *map(str, arguments)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more,
    )  # fmt: skip


LONG = (
    "optimiser = { learning_rate = 3e-3, batch_size = 4, epochs = 4 }\n"
    "evaluation.every = 8\ncheckpoint.every = 3\n"
)


@pytest.mark.parametrize("family", ["gpt2", "t5"])  # both leave something out by chance
def test_a_run_that_was_killed_goes_on_with_the_losses_of_one_that_was_not(tmp_path, family):
    recipe = write_setting(tmp_path, family=family, more=LONG)
    whole = command("train", recipe, "--out", tmp_path / "whole")
    _, told = whole.communicate()
    assert whole.returncode == 0, told
    killed = command("train", recipe, "--out", tmp_path / "killed")
    log = RunFolder(tmp_path / "killed")
    while len(log.lines()) < 8 and killed.poll() is None:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert 8 <= len(log.lines()) < 40
    resumed = command("train", recipe, "--out", tmp_path / "killed")
    _, told = resumed.communicate()
    assert resumed.returncode == 0, told
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    assert evaluations(tmp_path / "killed") == evaluations(tmp_path / "whole")
    models = [tmp_path / name / "model" / "model.safetensors" for name in ("killed", "whole")]
    assert models[0].read_bytes() == models[1].read_bytes()


@pytest.mark.parametrize("more", ["", 'run.shard = true\nevaluation.metric = "loss"\n'])
def test_two_processes_learn_what_one_does(tmp_path, more):
    alone = write_setting(tmp_path, more=SHORT + more.replace("run.shard = true\n", ""))
    result = train(alone, tmp_path / "alone")
    both = tmp_path / "both.toml"
    both.write_text(alone.read_text() + more.partition("\n")[0] + "\n")
    run = command("train", both, "--out", tmp_path / "both", start=TWO)
    _, told = run.communicate()
    assert run.returncode == 0, told
    np.testing.assert_allclose(losses(tmp_path / "both"), losses(tmp_path / "alone"), rtol=1e-3)
    pairs = zip(evaluations(tmp_path / "both"), evaluations(tmp_path / "alone"), strict=True)
    assert all(a["loss"] == pytest.approx(b["loss"], rel=1e-3) for a, b in pairs)
    assert all(a["metrics"] == b["metrics"] for a, b in pairs)
    lms = [cq.load_lm(f"hf:{tmp_path / name / 'model'}") for name in ("both", "alone")]
    prompts = [line["prompt"] for line in examples(4, seed=9)]
    both_, alone_ = (lm.score(prompts, ["T cell", "B cell"]).logp for lm in lms)
    np.testing.assert_allclose(both_, alone_, atol=0.02)
    assert result.steps == 12


def test_two_launchers_as_on_two_machines_cut_one_model_and_learn_what_one_process_does(tmp_path):
    more = SHORT + 'evaluation.metric = "loss"\nrun.gradient_checkpointing = true\n'
    alone = write_setting(tmp_path, more=more)
    train(alone, tmp_path / "alone")
    both = tmp_path / "both.toml"
    both.write_text(alone.read_text() + "run.shard = true\n")
    meet = ["--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d"]
    meet += ["--rdzv-endpoint", "localhost:29533", "-m"]
    launchers = [
        command("train", both, "--out", tmp_path / "both", start=meet) for _ in range(2)
    ]  # fmt: skip
    told = [one.communicate()[1] for one in launchers]
    assert [one.returncode for one in launchers] == [0, 0], told
    np.testing.assert_allclose(losses(tmp_path / "both"), losses(tmp_path / "alone"), rtol=1e-3)


def test_a_full_disk_is_told_and_the_run_goes_on_from_the_checkpoint_before(tmp_path):
    recipe = write_setting(tmp_path, more=LONG)
    code = (
        "import resource, signal, sys\n"
        "from celloquy.apps.cli import main\n"
        "from celloquy.training import _trainer\n"
        "kept = _trainer.write_checkpoint\n"
        "def full(folder, step, **given):\n"
        "    if step == 9:\n"
        "        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "    return kept(folder, step, **given)\n"
        "_trainer.write_checkpoint = full\n"
        "main()\n"
    )
    arguments = ["train", str(recipe), "--out", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "The disk or quota is full" in done.stderr
    kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert kept == ["step-0000006", "step-0000008"]
    train(recipe, tmp_path / "run")
    train(recipe, tmp_path / "whole")
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")


def test_too_little_memory_is_told_with_what_fits(tmp_path):
    recipe = write_setting(tmp_path, more="optimiser.batch_size = 64\nrun.at_once = 64\n", n=64)
    long = [{"prompt": "CD3D " * 120, "answer": "T cell"} for _ in range(64)]
    write_lines(tmp_path / "train.jsonl", long)
    code = (
        "import resource\n"
        "from celloquy.apps.cli import main\n"
        "from celloquy.training import _step\n"
        "kept = _step.Gradients._one\n"
        "def short(self, *given, **more):\n"
        "    used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "    room = used + 90_000_000\n"
        "    resource.setrlimit(resource.RLIMIT_AS, (room, room))\n"
        "    return kept(self, *given, **more)\n"
        "_step.Gradients._one = short\n"
        "main()\n"
    )
    arguments = ["train", str(recipe), "--out", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert "64 examples of up to" in done.stderr, done.stderr
    assert "do not fit into memory at once; " in done.stderr
    assert "under [run]: the run goes on and learns the same" in done.stderr


def test_a_recipe_may_be_given_in_python(tmp_path, capsys):
    recipe = read_recipe(write_setting(tmp_path, more=SHORT, n=16))
    assert train(recipe, tmp_path / "run").steps == 4
    capsys.readouterr()
