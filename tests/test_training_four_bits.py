from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

from celloquy.errors import MissingExtraError
from celloquy.training import train
from celloquy.training._run import RunFolder
from decoder_models import write_decoder
from four_bits import APART, RECIPE, environment, model_part
from training_runs import write_setting

pytestmark = pytest.mark.slow
LARGEST_STEP = 0.304
"""Of the numbers that NF4 knows, from -1 to 1, the first two are furthest apart (Dettmers et al.
2023, appendix E: -1 and -0.6962)."""


def run(*command, ends=0):
    assert importlib.util.find_spec("bitsandbytes") or APART.is_dir(), "`make test` installs it"
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == ends, done.stderr
    return done


def test_four_bits_without_their_package_name_the_extra(tmp_path, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else real(name)
    )
    recipe = write_setting(tmp_path, more=model_part("qlora"), n=8)
    with pytest.raises(MissingExtraError, match="needs the package `bitsandbytes`") as refusal:
        train(recipe, tmp_path / "run", device="cpu")
    assert refusal.value.hint == "pip install 'celloquy[quantization]'"


@pytest.mark.parametrize("family", ["llama", "gpt2", "t5"])
def test_an_adapter_over_four_bits_learns_what_one_over_all_digits_does(tmp_path, family):
    found = json.loads(run("tests/four_bits.py", tmp_path, family).stdout)
    whole, rounded = found["lora"], found["qlora"]
    assert rounded["losses"][-1] < rounded["losses"][0] - 1
    np.testing.assert_allclose(rounded["losses"], whole["losses"], rtol=0.02)
    assert rounded["losses"] != whole["losses"]
    for trained in (rounded, found["qlora, genes"]):
        # asked with four bits it is what was trained, and nearly so over the whole base
        assert trained["4bit"] == pytest.approx(trained["logged"], rel=1e-3)
        assert trained["fp32"] == pytest.approx(trained["logged"], rel=0.02)
        assert trained["merged"] == pytest.approx(trained["fp32"], rel=1e-5)


def test_processes_share_a_model_of_four_bits(tmp_path):
    more = RECIPE + model_part("qlora") + '[evaluation]\nmetric = "loss"\n'
    recipe = write_setting(tmp_path, more=more, inner=128)
    run("-m", "celloquy", "train", recipe, "--out", tmp_path / "one")
    recipe.write_text(recipe.read_text() + "[run]\nshard = true\n")
    start = ["-m", "torch.distributed.run", "--nproc-per-node", 2, "--master-port", 29513]
    run(*start, "-m", "celloquy", "train", recipe, "--out", tmp_path / "two")
    one, two = (
        [line["loss"] for line in RunFolder(tmp_path / name).lines() if "loss" in line]
        for name in ("one", "two")
    )
    np.testing.assert_allclose(two, one, rtol=1e-3)


WEIGHTS = """
import sys, torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Linear4bit
from transformers import AutoModelForCausalLM
from celloquy.lm._hf_files import HFOptions, load_model
from pathlib import Path

folder = Path(sys.argv[1])
exact = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
four = load_model(folder, HFOptions("cpu", "4bit", "auto"), is_seq2seq=False)
for name, layer in four.named_modules():
    if isinstance(layer, Linear4bit):
        own = exact.get_submodule(name).weight.to(torch.bfloat16).float()
        near = dequantize_4bit(layer.weight.data, layer.weight.quant_state).float()
        most = own.reshape(-1, 64).abs().amax(1, keepdim=True)
        print(((near - own).reshape(-1, 64).abs() / most).max().item())
"""


def test_weights_of_four_bits_lie_within_half_a_step_of_their_own(tmp_path):
    write_decoder(tmp_path, inner=128)
    found = [float(line) for line in run("-c", WEIGHTS, tmp_path).stdout.split()]
    assert len(found) == 2 * 7  # layers; queries, keys, values, output, and three of the network
    assert 0.1 < max(found) <= LARGEST_STEP / 2 + 2**-9  # bf16 rounds to 8 bits


def test_a_layer_that_would_be_computed_wrongly_on_a_processor_is_refused(tmp_path):
    write_decoder(tmp_path, inner=96)
    code = "import sys, celloquy as cq; cq.load_lm('hf:' + sys.argv[1], precision='4bit')"
    told = run("-c", code, tmp_path, ends=1).stderr
    assert "'model.layers.0.mlp.down_proj' has 96 inputs" in told
    assert "take another precision" in told
