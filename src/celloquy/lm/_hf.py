"""Checkpoints of transformers (``hf:``): decoders and encoder-decoders, from safetensors only."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from celloquy._runtime import closest, is_installed, require
from celloquy._runtime._devices import pick_device
from celloquy.errors import CheckpointError, InputError, MissingExtraError
from celloquy.lm._adapters import (
    Adapter,
    apply_adapter,
    fitting_tokenizer,
    open_adapter,
    refuse_other_base,
    split_adapter,
)
from celloquy.lm._batches import Runner
from celloquy.lm._decoder import Decoder
from celloquy.lm._folder import find_folder, require_backend, revision_of
from celloquy.lm._formats import PlainFormat, PromptFormat
from celloquy.lm._formats_chat import cellhermes_format, template_format
from celloquy.lm._formats_tokens import TokenReader
from celloquy.lm._fused import fuse
from celloquy.lm._hf_files import (
    UNREADABLE,
    HFOptions,
    checked,
    further_files,
    load_model,
    load_tokenizer,
    quiet,
    refuse_foreign_tokenizer,
    token_limit,
)
from celloquy.lm._known import KnownCheckpoint, find_known, tell_licence
from celloquy.lm._network import CausalNetwork
from celloquy.lm._reading import read_reading
from celloquy.lm._seq2seq import Seq2Seq
from celloquy.lm._verify import refuse_unknown_flow

if TYPE_CHECKING:
    from celloquy.lm._protocol import Capability

CPU_TOKENS = 1_024
"""Tokens of a batch of embedding on one core."""
GPU_TOKENS = 32_768
"""Tokens of a batch of embedding on a GPU."""
PRECISIONS = ("fp32", "bf16", "8bit", "4bit")
FORMATS = ("auto", "chat", "plain", "apart", "cellhermes")
"""`apart` is plain text whose answers are tokenized apart from it, without a space."""
_ALL: frozenset[Capability] = frozenset({"embed", "score", "generate"})
_SOFTMAX = {"full_attention", "sliding_attention"}


def load_hf(
    place: str,
    *,
    device: str = "auto",
    precision: str = "fp32",
    adapter: str | None = None,
    allow_download: bool = False,
    prompt_format: str = "auto",
    **_others: object,
) -> Decoder | Seq2Seq:
    """Load a decoder or an encoder-decoder; see :func:`celloquy.lm.load_lm`.

    Raises
    ------
    InputError
        If the precision or prompt format is unknown.
    CheckpointError
        If the checkpoint cannot be used.
    """
    options = _options(device, precision, prompt_format)
    base, plus = split_adapter(place, adapter)
    known = find_known(plus or base)
    folder = find_folder(base, allow_download=allow_download, backend="hf")
    opened = None if plus is None else open_adapter(plus, allow_download=allow_download)
    if opened is not None:
        refuse_other_base(opened, base if not Path(base).is_dir() else folder.resolve().name)
    read = _read(folder, options, opened)
    wanted = prompt_format if known is None or prompt_format != "auto" else known.prompt_format
    written = make_format(read.tokenizer, read.model, wanted or "auto", is_seq2seq=read.is_seq2seq)
    common: dict[str, Any] = {
        "name": f"hf:{base}" if plus is None else f"hf:{base}+{plus}",
        "revision": hashlib.sha256(f"{read.digest}\n{written.name}".encode()).hexdigest(),
        "device": options.device,
        "precision": options.precision,
        "max_tokens": token_limit(folder, read.tokenizer, read.model),
        "tokenizer": read.tokenizer,
        "format": written,
        "reading": read_reading([*([] if opened is None else [opened.folder]), folder]),
    }
    if known is not None:
        common |= _told(known, common["max_tokens"])
    common["runner"] = _runner(options.device, common["max_tokens"])
    if read.is_seq2seq:
        return Seq2Seq(model=read.model, **common)
    network = CausalNetwork(read.model, options.device)
    capabilities, cannot = _capabilities(network)
    refuse_unknown_flow(network, has_cache=not cannot)
    return Decoder(network=network, capabilities=capabilities, cannot=cannot, **common)


@dataclass(frozen=True, eq=False)
class _Read:
    """What was read of a checkpoint."""

    model: Any
    """The network, its adapter merged."""
    tokenizer: Any
    """The tokenizer, with the tokens that an adapter adds."""
    is_seq2seq: bool
    """Whether it has an encoder."""
    digest: str
    """Hashes of all its files."""


def _read(folder: Path, options: HFOptions, adapter: Adapter | None) -> _Read:
    """Read network and tokenizer of a checkpoint, and put its adapter in."""
    files, is_seq2seq = checked(folder)
    tokenizer = load_tokenizer(folder)
    model = load_model(folder, options, is_seq2seq=is_seq2seq)
    refuse_foreign_tokenizer(folder, tokenizer, model)
    digest = revision_of(folder, [*files, *further_files(folder)])
    is_whole = options.precision in {"fp32", "bf16"}
    if adapter is not None:
        n_rows = int(model.get_input_embeddings().weight.shape[0])
        own = tokenizer
        tokenizer = fitting_tokenizer(adapter, own, n_rows=n_rows, load=load_tokenizer)
        model = apply_adapter(adapter, model, tokenizer=own, merges=is_whole)
        digest += f"\n{adapter.revision}"
    fuse(model, pack=options.device == "cpu" and is_whole)
    return _Read(model, tokenizer, is_seq2seq, digest)


def settings_only(folder: Path, *, wanted: str) -> dict[str, Any]:
    """Say what a checkpoint can be asked for, from its settings and tokenizer alone.

    Parameters
    ----------
    folder
        Where it lies.
    wanted
        The prompt format, one of `FORMATS`.

    Raises
    ------
    CheckpointError
        If its settings make no model.
    """
    import torch

    transformers = require("transformers", extra="llm", why="to read settings")
    _, is_seq2seq = checked(folder)
    kind = transformers.AutoModelForSeq2SeqLM if is_seq2seq else transformers.AutoModelForCausalLM
    try:
        with quiet(transformers), torch.device("meta"):
            config = transformers.AutoConfig.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
            model = kind.from_config(config)
    except UNREADABLE as error:
        msg = f"The checkpoint '{folder}' cannot be loaded as a language model: {error}"
        raise CheckpointError(msg, hint="pass a folder that transformers can load.") from error
    tokenizer = load_tokenizer(folder)
    written = make_format(tokenizer, model, wanted, is_seq2seq=is_seq2seq)
    capabilities, cannot = _ALL, ""
    if not is_seq2seq:
        capabilities, cannot = _capabilities(CausalNetwork(model, "meta"))
    return {
        "family": config.model_type,
        "capabilities": sorted(capabilities),
        "cannot": cannot,
        "prompt_format": written.name,
        "context": token_limit(folder, tokenizer, model),
        "layers": int(config.get_text_config().num_hidden_layers),
        "dimensions": int(config.get_text_config().hidden_size),
    }


def _options(device: str, precision: str, prompt_format: str) -> HFOptions:
    """Check the options before anything is looked for.

    Raises
    ------
    InputError
        If the precision or prompt format is unknown.
    MissingExtraError
        If 4 or 8 bits are asked for without bitsandbytes.
    """
    if precision not in PRECISIONS:
        msg = f"There is no precision {precision!r}{closest(precision, PRECISIONS)}."
        raise InputError(msg, hint=f"choose one of: {', '.join(PRECISIONS)}.")
    if prompt_format not in FORMATS:
        msg = f"There is no prompt format {prompt_format!r}{closest(prompt_format, FORMATS)}."
        raise InputError(msg, hint=f"choose one of: {', '.join(FORMATS)}.")
    require_backend("hf")
    if precision in {"8bit", "4bit"} and not is_installed("bitsandbytes"):
        msg = f"`precision={precision!r}` needs the package `bitsandbytes`, which is not installed."
        raise MissingExtraError(msg, hint="pip install 'celloquy[quantization]'")
    return HFOptions(pick_device(device), precision, prompt_format)


def _told(known: KnownCheckpoint, max_tokens: int) -> dict[str, Any]:
    """Say the licence of a known checkpoint once, and give what is known of it."""
    tell_licence(known)
    told: dict[str, Any] = {"licence": known.licence}
    if known.context is not None:
        told["max_tokens"] = min(known.context, max_tokens)
    if known.pooling is not None:
        told["default_pooling"] = known.pooling
    return told


def make_format(
    tokenizer: Any,  # noqa: ANN401
    model: Any,  # noqa: ANN401
    wanted: str,
    *,
    is_seq2seq: bool,
) -> PromptFormat:
    """Make the format in which a model reads prompts.

    Parameters
    ----------
    tokenizer, model
        The loaded ones.
    wanted
        One of `FORMATS`.
    is_seq2seq
        Whether a prompt is closed, as an encoder reads it.

    Raises
    ------
    InputError
        If a chat is wanted of a tokenizer without a chat template.
    """
    reader = TokenReader(tokenizer.backend_tokenizer)
    ends = _end_ids(tokenizer, model)
    has_template = bool(getattr(tokenizer, "chat_template", None))
    if wanted == "auto":
        wanted = "chat" if has_template and not is_seq2seq else "plain"
    if wanted == "cellhermes":
        return cellhermes_format(reader, end_ids=ends)
    if wanted == "chat":
        if not has_template:
            msg = "The tokenizer has no chat template."
            raise InputError(msg, hint='load the model with `prompt_format="plain"`.')
        return template_format(reader, tokenizer, end_ids=ends)
    joint = "" if is_seq2seq or wanted == "apart" else " "
    return PlainFormat(reader, end_ids=ends, joint=joint, is_closed=is_seq2seq)


def _end_ids(tokenizer: Any, model: Any) -> tuple[int, ...]:  # noqa: ANN401
    """Find the tokens at which the model ends an answer, the tokenizer's own first."""
    settings = [tokenizer.eos_token_id, model.config.get_text_config().eos_token_id]
    if model.generation_config is not None:
        settings.append(model.generation_config.eos_token_id)
    found: list[int] = []
    for ids in settings:
        found += ids if isinstance(ids, list) else [] if ids is None else [ids]
    return tuple(dict.fromkeys(found))


def _capabilities(network: CausalNetwork) -> tuple[frozenset[Capability], str]:
    """Say what a network can be asked for, and why not for the rest."""
    kinds = getattr(network.config, "layer_types", None) or []
    other = sorted(set(kinds) - _SOFTMAX)
    if not other:
        return _ALL, ""
    family = network.config.model_type
    why = f"some layers of {family!r} are {other[0]!r}, and have no keys that answers can share"
    return cast("frozenset[Capability]", frozenset({"embed"})), why


def _runner(device: str, max_tokens: int) -> Runner:
    on_cpu = device == "cpu"
    return Runner(CPU_TOKENS if on_cpu else GPU_TOKENS, longest=max_tokens, is_threaded=on_cpu)
