"""Load a sentence encoder: a backbone of transformers, its tokenizer and what follows pooling."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from celloquy._runtime import require
from celloquy._runtime._devices import Precision, pick_device, pick_precision
from celloquy.errors import CheckpointError, InputError
from celloquy.lm._batches import Runner
from celloquy.lm._folder import (
    find_folder,
    read_json,
    refuse_code,
    refuse_truncated,
    require_backend,
    revision_of,
    weight_files,
)
from celloquy.lm._linear import pack_linear_layers
from celloquy.lm._modules import Modules, read_modules
from celloquy.lm._sentence import SentenceEncoder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import torch

CPU_TOKENS = 1_024
"""Tokens of a batch on one core: more leave its cache, fewer starve its matrix products."""
GPU_TOKENS = 32_768
"""Tokens of a batch on a GPU."""
_UNLIMITED = 1_000_000
_TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model", "*.spm")
_UNREADABLE = (OSError, ValueError, TypeError, AttributeError, KeyError)
_ACTIVATIONS = {"Tanh": "tanh", "Identity": "", "ReLU": "relu", "Sigmoid": "sigmoid"}


def load_sentence_encoder(
    place: str,
    *,
    device: str = "auto",
    precision: str = "fp32",
    adapter: str | None = None,
    allow_download: bool = False,
    **_others: object,
) -> SentenceEncoder:
    """Load a sentence encoder; see :func:`celloquy.lm.load_lm`.

    Raises
    ------
    InputError
        If an adapter is named.
    """
    if adapter is not None:
        msg = f"A sentence encoder takes no adapter, and '{adapter}' is one."
        raise InputError(msg, hint="merge it into the encoder, or load a decoder: `hf:BASE`.")
    precision = pick_precision(precision)
    require_backend("st")
    device = pick_device(device)
    folder = find_folder(place, allow_download=allow_download)
    refuse_code(folder)
    modules = read_modules(folder)
    refuse_code(modules.backbone)
    files = weight_files(modules.backbone)
    backbone = _load_backbone(modules.backbone, device=device, precision=precision)
    tokenizer, max_tokens = _load_tokenizer(modules, backbone)
    on_cpu = device == "cpu"
    return SentenceEncoder(
        name=f"st:{place}",
        revision=revision_of(folder, files),
        device=device,
        precision=precision,
        max_tokens=max_tokens,
        modules=modules,
        backbone=backbone,
        tokenizer=tokenizer,
        dense=tuple(_load_dense(path, device=device) for path in modules.dense),
        runner=Runner(
            CPU_TOKENS if on_cpu else GPU_TOKENS,
            longest=max_tokens,
            padding_id=getattr(cast("Any", backbone).config, "pad_token_id", None) or 0,
            is_threaded=on_cpu,
        ),
    )


def _load_backbone(folder: Path, *, device: str, precision: Precision) -> torch.nn.Module:
    """Load the network from safetensors, whole, for asking only.

    Raises
    ------
    CheckpointError
        If transformers cannot load it, or weights are missing.
    """
    import torch

    transformers = require("transformers", extra="encode", why="to load a sentence encoder")
    hub_errors = require("huggingface_hub.errors", extra="encode", why="to load settings")
    if (read_json(folder, "config.json") or {}).get("is_encoder_decoder"):
        msg = f"The checkpoint '{folder}' is an encoder and a decoder, which `st:` does not run."
        raise CheckpointError(msg, hint="choose an encoder, or a decoder that embeds.")
    try:
        with _quiet(transformers):
            model, report = transformers.AutoModel.from_pretrained(
                folder,
                dtype=torch.float32 if precision == "fp32" else torch.bfloat16,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except (*_UNREADABLE, RuntimeError, hub_errors.StrictDataclassError) as error:
        msg = f"The checkpoint '{folder}' cannot be loaded: {error}"
        raise CheckpointError(msg, hint="pass a folder that transformers can load.") from error
    missing = sorted(key for key in report["missing_keys"] if "pooler" not in key)
    if missing:
        msg = f"The checkpoint '{folder}' lacks {len(missing)} weights, such as {missing[0]!r}."
        raise CheckpointError(msg, hint="fetch or save the checkpoint again.")
    model.requires_grad_(requires_grad=False)
    model.eval().to(device)
    if device == "cpu":
        pack_linear_layers(model)
    return cast("torch.nn.Module", model)


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:  # noqa: ANN401 — a module without types
    """Keep transformers from drawing bars and warnings while it loads, then set it back."""
    logging = transformers.utils.logging
    level, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if has_bars:
            logging.enable_progress_bar()


def _load_tokenizer(modules: Modules, backbone: torch.nn.Module) -> tuple[Any, int]:
    """Load the tokenizer, without padding and cutting, and the tokens that a prompt may take.

    Raises
    ------
    CheckpointError
        If there is none, or no limit is stated.
    """
    transformers = require("transformers", extra="encode", why="to load a sentence encoder")
    if not any(next(modules.backbone.glob(name), None) for name in _TOKENIZER_FILES):
        msg = f"The checkpoint '{modules.backbone}' has no tokenizer."
        raise CheckpointError(msg, hint="save its tokenizer beside it: tokenizer.json.")
    try:
        with _quiet(transformers):
            loaded = transformers.AutoTokenizer.from_pretrained(
                modules.backbone, local_files_only=True, trust_remote_code=False
            )
        tokenizer = loaded.backend_tokenizer
    except _UNREADABLE as error:
        msg = f"The checkpoint '{modules.backbone}' has a tokenizer that cannot be read: {error}"
        raise CheckpointError(msg, hint="save it again: tokenizer.json.") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    config = cast("Any", backbone).config
    positions = getattr(config, "max_position_embeddings", None) or _UNLIMITED
    limit = modules.max_tokens or min(loaded.model_max_length, positions)
    if limit >= _UNLIMITED:
        msg = f"The checkpoint '{modules.backbone}' does not say how many tokens it reads."
        raise CheckpointError(msg, hint="state `model_max_length` in its tokenizer_config.json.")
    return tokenizer, int(limit)


def _load_dense(folder: Path, *, device: str) -> tuple[torch.Tensor, torch.Tensor | None, str]:
    """Load one linear map that follows pooling; kept in fp32.

    Raises
    ------
    CheckpointError
        If its weights are no safetensors file, or its activation is not known.
    """
    settings = read_json(folder, "config.json") or {}
    activation = str(settings.get("activation_function", "Tanh")).rpartition(".")[2]
    path = folder / "model.safetensors"
    if activation not in _ACTIVATIONS or settings.get("use_residual"):
        msg = f"The linear map '{folder}' ends in {activation!r}, which is not known here."
        raise CheckpointError(msg, hint=f"the known activations: {', '.join(_ACTIVATIONS)}.")
    if not path.is_file():
        msg = f"The linear map '{folder}' has no model.safetensors."
        raise CheckpointError(msg, hint="save it again with safetensors.")
    refuse_truncated(path)
    from safetensors.torch import load_file

    weights = {name: value.float().to(device) for name, value in load_file(path).items()}
    return weights["linear.weight"], weights.get("linear.bias"), _ACTIVATIONS[activation]
