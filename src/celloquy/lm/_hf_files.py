"""The files of a checkpoint of transformers: checked, then loaded for asking only."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celloquy._runtime import require
from celloquy.errors import CheckpointError
from celloquy.lm._folder import read_json, refuse_code, weight_files
from celloquy.lm._four_bits import suit_processor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UNREADABLE = (OSError, ValueError, TypeError, AttributeError, KeyError, ImportError)
"""What transformers raises where it cannot read a file."""
_WHOLE = "tokenizer.json"
_FURTHER = (
    "added_tokens.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates",
)
"""Files that change what a tokenizer.json says."""
_PLAIN_MODELS = {"llama"}
"""Families whose tokenizers of these classes transformers takes as they are."""
_PLAIN_CLASSES = {"TokenizersBackend", "PreTrainedTokenizerFast"}
_ABOUT_FILES = {"tokenizer_class", "backend", "is_local", "local_files_only"}
_PLAIN_SETTINGS = _ABOUT_FILES | {
    "bos_token",
    "eos_token",
    "pad_token",
    "unk_token",
    "model_max_length",
    "padding_side",
    "truncation_side",
    "clean_up_tokenization_spaces",
}
"""Settings that mean the same wherever they are given."""
_T5_TOKENS = 512
_UNLIMITED = 1_000_000


@dataclass(frozen=True)
class HFOptions:
    """How a checkpoint is loaded."""

    device: str
    """Where it runs."""
    precision: str
    """How exactly it computes."""
    prompt_format: str
    """How prompts are written."""


def checked(folder: Path) -> tuple[list[Path], bool]:
    """Give the weights of a checkpoint that is safe and whole, and whether it has an encoder.

    Raises
    ------
    CheckpointError
        If it is not.
    """
    refuse_code(folder)
    settings = read_json(folder, "config.json")
    if settings is None:
        msg = f"The checkpoint '{folder}' has no config.json."
        hint = "pass a model folder as transformers saves it; an adapter goes after its base: "
        raise CheckpointError(msg, hint=f"{hint}`hf:BASE+ADAPTER`.")
    return weight_files(folder), bool(settings.get("is_encoder_decoder"))


def further_files(folder: Path) -> list[Path]:
    """Give files beside the settings that change what a checkpoint reads."""
    return sorted(path for kind in ("*.jinja", "*.model") for path in folder.glob(kind))


def load_model(folder: Path, options: HFOptions, *, is_seq2seq: bool) -> Any:  # noqa: ANN401
    """Load the network from safetensors, whole, for asking only.

    Raises
    ------
    CheckpointError
        If transformers cannot load it, or weights are missing.
    InputError
        If this machine would compute it wrongly with so few bits.
    """
    transformers = require("transformers", extra="llm", why="to load a language model")
    hub_errors = require("huggingface_hub.errors", extra="llm", why="to load settings")
    kind = transformers.AutoModelForSeq2SeqLM if is_seq2seq else transformers.AutoModelForCausalLM
    try:
        with quiet(transformers):
            model, report = kind.from_pretrained(
                folder,
                **_numbers(options),
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except (*UNREADABLE, RuntimeError, hub_errors.StrictDataclassError) as error:
        msg = f"The checkpoint '{folder}' cannot be loaded as a language model: {error}"
        raise CheckpointError(msg, hint="pass a folder that transformers can load.") from error
    missing = sorted(report["missing_keys"])
    if missing:
        msg = f"The checkpoint '{folder}' lacks {len(missing)} weights, such as {missing[0]!r}."
        raise CheckpointError(msg, hint="fetch or save the checkpoint again, with its head.")
    model.requires_grad_(requires_grad=False)
    model.eval()
    if options.precision in {"8bit", "4bit"}:
        if options.device == "cpu":
            suit_processor(model)
        return model
    return model.to(options.device)


def _numbers(options: HFOptions) -> dict[str, Any]:
    """Say in which numbers weights are kept; never what the checkpoint happens to hold."""
    import torch

    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    if options.precision not in {"8bit", "4bit"}:
        return {"dtype": dtype}
    transformers = require("transformers", extra="llm", why="to load a language model")
    require("bitsandbytes", extra="quantization", why="to round weights")
    # at every layer it would say that inputs are cast
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    is_4bit = options.precision == "4bit"
    quantization = transformers.BitsAndBytesConfig(
        load_in_4bit=is_4bit,
        load_in_8bit=not is_4bit,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    device_map = {"": options.device}
    return {
        "dtype": torch.bfloat16,
        "quantization_config": quantization,
        "device_map": device_map,
    }


@contextmanager
def quiet(transformers: Any) -> Iterator[None]:  # noqa: ANN401 (a module without types)
    """Keep transformers from drawing bars and warnings while it loads, then set it back."""
    words = transformers.utils.logging
    level, has_bars = words.get_verbosity(), words.is_progress_bar_enabled()
    words.set_verbosity_error()
    words.disable_progress_bar()
    try:
        yield
    finally:
        words.set_verbosity(level)
        if has_bars:
            words.enable_progress_bar()


def load_tokenizer(folder: Path) -> Any:  # noqa: ANN401 (a class of transformers)
    """Load a fast tokenizer.

    Raises
    ------
    CheckpointError
        If there is none.
    """
    transformers = require("transformers", extra="llm", why="to load a tokenizer")
    names = ("tokenizer.json", "vocab.json", "*.model", "*.spm")
    if not any(next(folder.glob(name), None) for name in names):
        msg = f"The checkpoint '{folder}' has no tokenizer."
        raise CheckpointError(msg, hint="save its tokenizer beside it: tokenizer.json.")
    try:
        plain = plain_settings(folder)
        with quiet(transformers):
            if plain is None:
                loaded = transformers.AutoTokenizer.from_pretrained(
                    folder, local_files_only=True, trust_remote_code=False
                )
            else:
                file = str(folder / _WHOLE)
                loaded = transformers.PreTrainedTokenizerFast(tokenizer_file=file, **plain)
        loaded.backend_tokenizer.get_vocab_size()
    except UNREADABLE as error:
        msg = f"The checkpoint '{folder}' has a tokenizer that cannot be read: {error}"
        raise CheckpointError(msg, hint="save it again: tokenizer.json.") from error
    return loaded


def plain_settings(folder: Path) -> dict[str, Any] | None:
    """Give the settings of a tokenizer that its tokenizer.json says whole; `None` of any other.

    Such a one is made of its file. ``from_pretrained`` would copy each added token, and of a model
    with a token a gene these are twenty thousand.

    Parameters
    ----------
    folder
        Where it lies.

    Raises
    ------
    CheckpointError
        If a file of settings is damaged.
    """
    if not (folder / _WHOLE).is_file() or any((folder / name).exists() for name in _FURTHER):
        return None
    settings = read_json(folder, "tokenizer_config.json") or {}
    kind = (read_json(folder, "config.json") or {}).get("model_type")
    if kind not in _PLAIN_MODELS or settings.get("tokenizer_class") not in _PLAIN_CLASSES:
        return None
    if not set(settings) <= _PLAIN_SETTINGS or any(map(_is_table, settings.values())):
        return None
    said = {name: settings[name] for name in settings if name not in _ABOUT_FILES}
    return {**said, "name_or_path": str(folder)} if _is_json(folder / _WHOLE) else None


def _is_json(path: Path) -> bool:
    """Say whether a file is whole; of one that is not, transformers tells what is wrong."""
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return True


def _is_table(value: object) -> bool:
    return isinstance(value, dict | list)


def refuse_foreign_tokenizer(folder: Path, tokenizer: Any, model: Any) -> None:  # noqa: ANN401
    """Refuse a tokenizer with tokens that the network does not know.

    Raises
    ------
    CheckpointError
        If there are any.
    """
    rows = int(model.get_input_embeddings().weight.shape[0])
    highest = max(tokenizer.get_vocab().values()) + 1
    if highest > rows:
        msg = f"The tokenizer of '{folder}' has {highest:,} tokens, and its network {rows:,}."
        raise CheckpointError(msg, hint="use the tokenizer that the network was trained with.")


def token_limit(folder: Path, tokenizer: Any, model: Any) -> int:  # noqa: ANN401
    """Find how many tokens the network reads.

    Raises
    ------
    CheckpointError
        If nothing says so.
    """
    config = model.config.get_text_config()
    positions = getattr(config, "max_position_embeddings", None)
    if positions is None and model.config.is_encoder_decoder:
        positions = getattr(config, "n_positions", None) or _T5_TOKENS
    limit = min(tokenizer.model_max_length, positions or _UNLIMITED)
    if limit >= _UNLIMITED:
        msg = f"The checkpoint '{folder}' does not say how many tokens it reads."
        raise CheckpointError(msg, hint="state `model_max_length` in its tokenizer_config.json.")
    return int(limit)
