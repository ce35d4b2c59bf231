from __future__ import annotations

import json

import pytest

from celloquy.errors import InputError
from celloquy.training._ready import NETWORKS, refuse_unread
from decoder_models import FAMILIES, make_tokenizer, write_decoder


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_decoders_of_the_families_known_here_are_known_to_servers(tmp_path, family):
    write_decoder(tmp_path, family=family)
    assert [refuse_unread(tmp_path, program) for program in NETWORKS] == [None, None]


def test_a_tokenizer_of_whole_words_is_no_gguf_file(tmp_path):
    (tmp_path / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    make_tokenizer().save_pretrained(tmp_path)
    assert refuse_unread(tmp_path, "llama.cpp") is None
    tokenizer = json.loads((tmp_path / "tokenizer.json").read_text())
    tokenizer["model"] = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(InputError, match="tokenizers of pieces, and this one is 'WordLevel'"):
        refuse_unread(tmp_path, "llama.cpp")
    assert refuse_unread(tmp_path, "vLLM") is None


@pytest.mark.parametrize("program", NETWORKS)
def test_a_sentence_encoder_is_for_neither(tmp_path, program):
    with pytest.raises(InputError, match="is not known to read 'a sentence encoder'"):
        refuse_unread(tmp_path, program)


def test_an_unknown_program_is_told_with_the_closest(tmp_path):
    with pytest.raises(InputError, match="the closest is 'vLLM'"):
        refuse_unread(tmp_path, "vLLm")
