"""What other programs read of a merged model: refused before it is handed on, not by them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from celloquy._runtime import closest
from celloquy.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

_DECODERS = frozenset(
    {
        "GPT2LMHeadModel", "GPTNeoXForCausalLM", "LlamaForCausalLM", "MistralForCausalLM",
        "Qwen2ForCausalLM", "Qwen3ForCausalLM", "GemmaForCausalLM", "Gemma2ForCausalLM",
        "Gemma3ForCausalLM",
    }
)  # fmt: skip
NETWORKS = {"vLLM": _DECODERS, "llama.cpp": _DECODERS | {"T5ForConditionalGeneration"}}
"""Networks that each program is known to read."""
_PIECES = ("BPE", "Unigram")
"""Kinds of tokenizers that GGUF files hold."""


def refuse_unread(folder: Path, program: str) -> None:
    """Refuse a merged model that another program does not read.

    Parameters
    ----------
    folder
        The model.
    program
        One of `NETWORKS`.

    Raises
    ------
    InputError
        If it does not know the network, or cannot hold the tokenizer; or it is not known itself.
    """
    if program not in NETWORKS:
        msg = f"There is no word on what {program!r} reads{closest(program, NETWORKS)}."
        raise InputError(msg, hint=f"known are: {', '.join(NETWORKS)}.")
    path = folder / "config.json"
    settings = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    networks = settings.get("architectures") or ["a sentence encoder"]
    if networks[0] not in NETWORKS[program]:
        known = ", ".join(sorted(NETWORKS[program]))
        msg = f"{program} is not known to read {networks[0]!r}."
        raise InputError(msg, hint=f"it reads {known}; merge without that flag for `--lm hf:`.")
    if program != "llama.cpp":
        return
    tokenizer = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    kind = tokenizer["model"].get("type", "BPE")
    if kind not in _PIECES:
        msg = f"A GGUF file holds tokenizers of pieces, and this one is {kind!r}."
        raise InputError(msg, hint="serve it by vLLM, or ask it as `--lm hf:FOLDER`.")
