"""celloquy-mini: loaded by its name, asked where nobody names a model, calibrated beforehand."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import transformers

import celloquy as cq
from celloquy.errors import CheckpointError, InputError
from celloquy.lm import MINI, default_lm, describe_lm, mini_folder
from celloquy.lm._hf_files import load_tokenizer, plain_settings
from celloquy.roles import PredictOptions, calibrate
from labelled_cells import TYPES, labelled_cells
from mini_folder import write_mini


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """Make a package folder with a stand-in for the weights."""
    folder = tmp_path_factory.mktemp("package")
    write_mini(folder / "mini")
    (folder / "mini" / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A stand-in\n")
    return folder


@pytest.fixture
def packaged(package, monkeypatch):
    monkeypatch.setattr("celloquy.lm._mini.files", lambda _package: package)


@pytest.fixture
def unpackaged(tmp_path, monkeypatch):
    monkeypatch.setattr("celloquy.lm._mini.files", lambda _package: tmp_path)


def test_the_name_gives_the_packaged_model_or_says_that_it_is_not_here():
    if mini_folder() is None:
        with pytest.raises(CheckpointError, match="'celloquy-mini' are not in this build"):
            cq.load_lm(MINI)
    else:
        lm = cq.load_lm(MINI, device="cpu")
        assert lm.name == MINI
        assert len(lm.vocabulary) > 15_000
        assert "cell_type" in lm.labels
        assert sum(path.stat().st_size for path in mini_folder().iterdir()) <= 25 * 2**20


def test_a_build_without_weights_says_so(unpackaged):
    with pytest.raises(CheckpointError, match="weights of 'celloquy-mini' are not in this build"):
        cq.load_lm(MINI)
    with pytest.raises(InputError, match="No language model is named, and 'celloquy-mini' is not"):
        default_lm()
    said = describe_lm(MINI)
    assert (said["is_here"], said["licence"]) == (False, "Apache-2.0")


@pytest.mark.slow
def test_the_packaged_model_is_loaded_by_its_name_and_tells_what_it_was_taught(packaged):
    lm = cq.load_lm(MINI, device="cpu")
    assert (lm.name, default_lm()) == (MINI, MINI)
    said = describe_lm(MINI)
    assert said["is_here"]
    assert said["labels"] == {"cell_type": "B, NK, T"}
    assert (said["genes"], said["n_top_genes"], said["licence"]) == (200, 20, "apache-2.0")


@pytest.mark.slow
def test_verbs_ask_it_where_nobody_names_a_model(packaged):
    found = cq.predict(labelled_cells(2), "cell_type")
    assert found.record["lm"]["name"] == MINI
    assert tuple(found.record["labels"]) == TYPES


@pytest.mark.slow
def test_a_calibration_beside_the_weights_is_used_unless_another_is_given(package, packaged):
    known, query = labelled_cells(10, seed=1), labelled_cells(4, seed=2)
    options = PredictOptions(probabilities=True)
    plain = cq.predict(query.copy(), "cell_type", options=options)
    assert not plain.record["calibrated"]
    other = shutil.copytree(package / "mini", package / "other")
    place = other / "calibration.json"
    fitted = calibrate(known, "cell_type", label_key="cell_type", lm=str(other), out=place)
    lm = cq.load_lm(str(other))
    found = cq.predict(query.copy(), "cell_type", lm=lm, options=options)
    assert found.record["calibrated"]
    assert found.record["calibration"] == "with the model"
    logs = np.log(np.maximum(plain.probabilities, 1e-30)) / fitted.temperature
    expected = np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-4)
    given = PredictOptions(calibration=fitted)
    assert cq.predict(query.copy(), "cell_type", lm=lm, options=given).record["calibration"] == (
        "given"
    )
    fewer = cq.predict(query.copy(), "cell_type", lm=lm, labels=["B", "T"])
    assert fewer.record["calibration"] == "with the model"
    bare = PredictOptions(normalise="tokens")
    assert not cq.predict(query.copy(), "cell_type", lm=lm, options=bare).record["calibrated"]


@pytest.mark.slow
def test_its_tokenizer_made_of_its_file_is_the_one_that_transformers_loads(package):
    for folder in filter(None, (mini_folder(), package / "mini")):
        made = load_tokenizer(folder)
        loaded = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        assert type(made) is type(loaded)
        assert made.backend_tokenizer.to_str() == loaded.backend_tokenizer.to_str()
        assert made.special_tokens_map == loaded.special_tokens_map
        for name in ("model_max_length", "padding_side", "truncation_side", "chat_template"):
            assert getattr(made, name) == getattr(loaded, name)
        text = "T cell: CD8A, CD4 HLA-DRB1"
        assert made(text) == loaded(text)


@pytest.mark.parametrize(
    ("file", "held"),
    [
        ("chat_template.jinja", "{{ messages }}"),
        ("tokenizer_config.json", '{"tokenizer_class": "LlamaTokenizer"}'),
        ("tokenizer_config.json", '{"tokenizer_class": "TokenizersBackend", "auto_map": {}}'),
        ("config.json", '{"model_type": "qwen3"}'),
    ],
)
def test_a_tokenizer_that_more_files_or_settings_tell_about_is_left_to_transformers(
    tmp_path, file, held
):
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "TokenizersBackend"}')
    assert plain_settings(tmp_path) == {"name_or_path": str(tmp_path)}
    (tmp_path / file).write_text(held)
    assert plain_settings(tmp_path) is None
