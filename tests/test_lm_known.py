"""Known checkpoints: every entry is sound, and what is known of one is told and used."""

from __future__ import annotations

import pytest

from celloquy.errors import CheckpointError, InputError
from celloquy.lm import BACKENDS, describe_lm, known_checkpoints, load_lm
from celloquy.lm._hf import FORMATS
from celloquy.lm._known import find_known, read_checkpoints, tell_licence
from decoder_models import CHAT, write_decoder, write_seq2seq

ENTRIES = known_checkpoints()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda one: one.id)
def test_every_entry_is_sound(entry):
    assert entry.backend in BACKENDS
    assert set(entry.offers) <= {"embed", "score", "generate"}
    assert entry.prompt_format in {None, *FORMATS}
    assert entry.pooling in {None, "mean", "last", "cls", "max", "genes"}
    assert entry.licence is None or entry.licence_source, "a licence has a source"
    assert entry.licence is not None or entry.recheck, "an unknown licence says so"
    assert entry.context is None or entry.context >= 256
    assert entry.id in entry.licence_line()


def test_the_checkpoints_of_the_prior_systems_are_known_once_each():
    ids = [one.id for one in ENTRIES]
    assert len(set(ids)) == len(ids)
    families = {one.family for one in ENTRIES}
    assert families >= {
        "Cell2Sentence", "C2S-Scale", "CellHermes", "ChatCell", "Qwen3", "Llama-3.1", "Pythia",
        "T5", "sentence encoder",
    }  # fmt: skip
    assert all(one.revision is None for one in ENTRIES), "no commit was read, so none is pinned"


def test_a_checkpoint_is_found_by_its_name_with_or_without_a_revision():
    assert find_known("ethangao123/cellhermes-v1.0@abc").prompt_format == "cellhermes"
    assert find_known("vandijklab/C2S-Scale-Pythia-1b-pt").prompt_format == "apart"
    assert find_known("nobody/nothing") is None


def test_a_registry_of_another_schema_or_with_an_unknown_key_is_refused(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("schema: 9\ncheckpoints: []\n")
    with pytest.raises(CheckpointError, match=r"'own\.yaml' is no registry of checkpoints"):
        read_checkpoints(file)
    file.write_text("schema: 1\ncheckpoints: [{id: a, backend: hf, family: b, offer: []}]\n")
    with pytest.raises(CheckpointError, match="unknown key or lacks one: 'offer'") as refusal:
        read_checkpoints(file)
    assert "prompt_format" in refusal.value.hint


def test_a_licence_is_told_once_in_a_process(capsys):
    known = next(one for one in ENTRIES if one.family == "Qwen3")
    tell_licence(known)
    tell_licence(known)
    told = capsys.readouterr().err
    assert told.count("licence Apache-2.0") == 1


def test_what_is_known_of_a_checkpoint_is_used_when_it_is_loaded(tmp_path, monkeypatch, capsys):
    folder = write_decoder(tmp_path, tokenizer="llama3", chat=CHAT)
    monkeypatch.setattr("celloquy.lm._hf.find_folder", lambda *_a, **_o: folder)
    hermes = load_lm("hf:EthanGao123/CellHermes-CoT-SFT@abc", device="cpu")
    assert hermes.format.name == "cellhermes"
    assert hermes.default_pooling == "last"
    assert hermes.licence == "Llama 3.1 Community License (of the base)"
    assert "CellHermes-CoT-SFT: licence" in capsys.readouterr().err
    c2s = load_lm("hf:vandijklab/pythia-160m-c2s@abc", device="cpu")
    assert (c2s.format.name, c2s.default_pooling) == ("plain", "mean")
    assert load_lm("hf:someone/other@abc", device="cpu").format.name == "chat"
    asked = load_lm("hf:vandijklab/pythia-160m-c2s@abc", device="cpu", prompt_format="chat")
    assert asked.format.name == "chat"


def test_a_folder_is_described_without_its_weights(tmp_path):
    folder = write_decoder(tmp_path / "llama", max_tokens=64)
    (folder / "README.md").write_text("---\nlicense: mit\n---\nA model.\n")
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    said = describe_lm(f"hf:{folder}")
    assert said["capabilities"] == ["embed", "generate", "score"]
    assert (said["family"], said["context"], said["layers"]) == ("llama", 64, 2)
    assert (said["prompt_format"], said["dimensions"], said["licence"]) == ("plain", 64, "mit")
    t5 = describe_lm(f"hf:{write_seq2seq(tmp_path / 't5')}")
    assert (t5["family"], t5["prompt_format"]) == ("t5", "plain")


@pytest.mark.parametrize("card", ["no head", "---\n: [\n---\n", "---\n- a\n---\n"])
def test_a_card_that_states_no_licence_is_passed_over(tmp_path, card):
    folder = write_decoder(tmp_path)
    (folder / "README.md").write_text(card)
    assert "licence" not in describe_lm(f"hf:{folder}")


def test_a_known_checkpoint_that_is_not_here_is_described_from_the_registry():
    said = describe_lm("hf:zjunlp/chatcell-small@abc")
    assert said["is_here"] is False
    assert (said["family"], said["context"]) == ("ChatCell", 512)
    assert describe_lm("zjunlp/chatcell-large")["notes"].startswith("Its weights are a pickle")
    both = describe_lm("hf:meta-llama/Llama-3.1-8B-Instruct+EthanGao123/CellHermes-v1.0")
    assert both["prompt_format"] == "cellhermes"


def test_a_sentence_encoder_and_a_script_are_described_too():
    said = describe_lm("st:minilm")
    assert (said["capabilities"], said["context"]) == (["embed"], 256)
    assert said["licence"] == "Apache-2.0"
    assert "score" in describe_lm("fake:echo")["capabilities"]


def test_an_unknown_name_is_refused_with_the_closest():
    with pytest.raises(InputError, match="the closest is 'zjunlp/chatcell-small'"):
        describe_lm("zjunlp/chatcel-small")
    with pytest.raises(InputError, match="There is no backend 'hff'"):
        describe_lm("hff:x")
