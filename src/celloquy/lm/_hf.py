"""Checkpoints of transformers (``hf:``): decoders and encoder-decoders, from safetensors only."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from celloquy._runtime import closest, is_installed, require
from celloquy._runtime._devices import pick_device
from celloquy.errors import CheckpointError, InputError, MissingExtraError
from celloquy.lm._batches import Runner
from celloquy.lm._decoder import Decoder
from celloquy.lm._folder import (
    find_folder,
    read_json,
    refuse_code,
    require_backend,
    revision_of,
    weight_files,
)
from celloquy.lm._formats import PlainFormat, PromptFormat
from celloquy.lm._formats_chat import cellhermes_format, template_format
from celloquy.lm._formats_tokens import TokenReader
from celloquy.lm._network import CausalNetwork
from celloquy.lm._seq2seq import Seq2Seq
from celloquy.lm._verify import refuse_unknown_flow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celloquy.lm._protocol import Capability

CPU_TOKENS = 1_024
"""Tokens of a batch of embedding on one core."""
GPU_TOKENS = 32_768
"""Tokens of a batch of embedding on a GPU."""
PRECISIONS = ("fp32", "bf16", "8bit", "4bit")
FORMATS = ("auto", "chat", "plain", "apart", "cellhermes")
"""`apart` is plain text whose answers are tokenized apart from it, without a space."""
_SOFTMAX = {"full_attention", "sliding_attention"}
_T5_TOKENS = 512
_UNLIMITED = 1_000_000
_UNREADABLE = (OSError, ValueError, TypeError, AttributeError, KeyError, ImportError)


@dataclass(frozen=True)
class HFOptions:
    """How a checkpoint is loaded."""

    device: str
    """Where it runs."""
    precision: str
    """How exactly it computes."""
    prompt_format: str
    """How prompts are written."""


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
    base, plus = split_adapter(place)
    folder = find_folder(base, allow_download=allow_download, backend="hf")
    refuse_code(folder)
    settings = read_json(folder, "config.json")
    if settings is None:
        msg = f"The checkpoint '{folder}' has no config.json."
        hint = "pass a model folder as transformers saves it; an adapter goes after its base: "
        raise CheckpointError(msg, hint=f"{hint}`hf:BASE+ADAPTER`.")
    files = weight_files(folder)
    tokenizer = load_tokenizer(folder)
    is_seq2seq = bool(settings.get("is_encoder_decoder"))
    model = _load_model(folder, options, is_seq2seq=is_seq2seq)
    _refuse_foreign_tokenizer(folder, tokenizer, model)
    del adapter, plus
    digest = [revision_of(folder, files)]
    written = make_format(tokenizer, model, options.prompt_format, is_seq2seq=is_seq2seq)
    digest.append(written.name)
    common: dict[str, Any] = {
        "name": f"hf:{place}",
        "revision": hashlib.sha256("\n".join(digest).encode()).hexdigest(),
        "device": options.device,
        "precision": options.precision,
        "max_tokens": _max_tokens(folder, tokenizer, model),
        "tokenizer": tokenizer,
        "format": written,
    }
    common["runner"] = _runner(options.device, common["max_tokens"])
    if is_seq2seq:
        return Seq2Seq(model=model, **common)
    network = CausalNetwork(model, options.device)
    capabilities, cannot = _capabilities(network)
    refuse_unknown_flow(network, has_cache=not cannot)
    return Decoder(network=network, capabilities=capabilities, cannot=cannot, **common)


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
        raise MissingExtraError(msg, hint="pip install bitsandbytes")
    return HFOptions(pick_device(device), precision, prompt_format)


def split_adapter(place: str) -> tuple[str, str | None]:
    """Cut ``BASE+ADAPTER``; a folder may have a plus in its name."""
    if "+" not in place or Path(place).expanduser().is_dir():
        return place, None
    base, _, adapter = place.rpartition("+")
    return base, adapter


def _load_model(folder: Path, options: HFOptions, *, is_seq2seq: bool) -> Any:  # noqa: ANN401
    """Load the network from safetensors, whole, for asking only.

    Raises
    ------
    CheckpointError
        If transformers cannot load it, or weights are missing.
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
    except (*_UNREADABLE, RuntimeError, hub_errors.StrictDataclassError) as error:
        msg = f"The checkpoint '{folder}' cannot be loaded as a language model: {error}"
        raise CheckpointError(msg, hint="pass a folder that transformers can load.") from error
    missing = sorted(report["missing_keys"])
    if missing:
        msg = f"The checkpoint '{folder}' lacks {len(missing)} weights, such as {missing[0]!r}."
        raise CheckpointError(msg, hint="fetch or save the checkpoint again, with its head.")
    model.requires_grad_(requires_grad=False)
    model.eval()
    return model if options.precision in {"8bit", "4bit"} else model.to(options.device)


def _numbers(options: HFOptions) -> dict[str, Any]:
    """Say in which numbers weights are kept; never what the checkpoint happens to hold."""
    import torch

    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    if options.precision not in {"8bit", "4bit"}:
        return {"dtype": dtype}
    transformers = require("transformers", extra="llm", why="to load a language model")
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
        with quiet(transformers):
            loaded = transformers.AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        loaded.backend_tokenizer.get_vocab_size()
    except _UNREADABLE as error:
        msg = f"The checkpoint '{folder}' has a tokenizer that cannot be read: {error}"
        raise CheckpointError(msg, hint="save it again: tokenizer.json.") from error
    return loaded


def _refuse_foreign_tokenizer(folder: Path, tokenizer: Any, model: Any) -> None:  # noqa: ANN401
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


def _max_tokens(folder: Path, tokenizer: Any, model: Any) -> int:  # noqa: ANN401
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
    every: frozenset[Capability] = frozenset({"embed", "score", "generate"})
    if not other:
        return every, ""
    family = network.config.model_type
    why = f"some layers of {family!r} are {other[0]!r}, and have no keys that answers can share"
    return cast("frozenset[Capability]", frozenset({"embed"})), why


def _runner(device: str, max_tokens: int) -> Runner:
    on_cpu = device == "cpu"
    return Runner(CPU_TOKENS if on_cpu else GPU_TOKENS, longest=max_tokens, is_threaded=on_cpu)
