"""Sentence encoders (``st:``): a backbone of transformers, masked pooling, our own loop."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, cast

import numpy as np

from celloquy._runtime import closest, require
from celloquy._runtime._devices import Precision, pick_device, pick_precision
from celloquy.errors import BackendError, CheckpointError, InputError
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
from celloquy.lm._offers import refuse_verb
from celloquy.lm._plan import plan_prompts
from celloquy.lm._protocol import Capability, Pooling, PromptPlan, TooLong
from celloquy.lm._suffixes import with_suffixes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import torch
    from numpy.typing import NDArray

    from celloquy.lm._batches import TokenBatch
    from celloquy.text import Prompt

CPU_TOKENS = 1_024
"""Tokens of a batch on one core: more leave its cache, fewer starve its matrix products."""
GPU_TOKENS = 32_768
"""Tokens of a batch on a GPU."""
_UNLIMITED = 1_000_000
_TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model", "*.spm")
_UNREADABLE = (OSError, ValueError, TypeError, AttributeError, KeyError)
_POOLINGS: tuple[Pooling, ...] = ("mean", "cls", "last", "max")
_ACTIVATIONS = {"Tanh": "tanh", "Identity": "", "ReLU": "relu", "Sigmoid": "sigmoid"}


@dataclass(eq=False)
class SentenceEncoder:
    """A sentence encoder that was loaded: texts in, one vector each out.

    A text's vector does not depend on which others it is embedded with, nor on their order.
    """

    name: str
    """How it was asked for."""
    revision: str
    """SHA-256 of its weights and of the settings that change its answers."""
    device: str
    """Where it runs."""
    precision: Precision
    """How exactly it computes."""
    max_tokens: int
    """Tokens that one prompt may take."""
    modules: Modules
    """How it pools."""
    backbone: torch.nn.Module
    """The network that gives token vectors."""
    tokenizer: Any
    """A tokenizer of the package tokenizers, without padding or cutting."""
    dense: tuple[tuple[torch.Tensor, torch.Tensor | None, str], ...]
    """Weight, bias and activation of each linear map after pooling."""
    runner: Runner
    """What makes and runs batches."""
    capabilities: frozenset[Capability] = frozenset({"embed"})
    """What it can be asked for."""

    @property
    def n_layers(self) -> int:
        """Layers of the backbone."""
        return int(cast("Any", self.backbone).config.num_hidden_layers)

    @property
    def default_pooling(self) -> Pooling:
        """How token vectors become one unless asked otherwise."""
        return self.modules.pooling

    def plan(
        self,
        prompts: Sequence[Prompt | str],
        *,
        n_answer_tokens: int = 0,
        too_long: TooLong = "refuse",
    ) -> PromptPlan:
        """Count the tokens of prompts, and cut gene names where they do not fit.

        Parameters
        ----------
        prompts
            Prompts as segments, or plain texts; length ``n``.
        n_answer_tokens
            Tokens to keep free; a sentence encoder writes no answer.
        too_long
            ``"refuse"`` stops at a prompt that does not fit even without gene names;
            ``"cut"`` cuts the end of plain texts, and counts it.
        """
        return plan_prompts(
            prompts,
            self._ids,
            max_tokens=self.max_tokens,
            too_long=too_long,
            n_answer_tokens=n_answer_tokens,
            name=f"'{self.name}'",
        )

    def _ids(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        """Give the token ids of texts, special tokens included."""
        prefixed = [self.modules.prefix + text for text in texts]
        if self.modules.is_lowercased:
            prefixed = [text.lower() for text in prefixed]
        encodings = self.tokenizer.encode_batch_fast(prefixed)
        return [np.array(encoding.ids, dtype=np.int32) for encoding in encodings]

    def embed(
        self,
        prompts: Sequence[Prompt | str] | PromptPlan,
        *,
        suffixes: Sequence[Sequence[Prompt | str]] | None = None,
        pooling: Pooling | None = None,
        layer: int | None = None,
        too_long: TooLong = "refuse",
    ) -> NDArray[np.float32]:
        """Give one vector a prompt, or one a suffix of each prompt.

        Equal prompts are embedded once. Padding is never counted.

        Parameters
        ----------
        prompts
            Prompts as segments, plain texts, or a plan of them; length ``n``.
        suffixes
            What follows each prompt, ``s`` for each; a vector is given for each prompt with each
            of its suffixes.
        pooling
            How token vectors become one; `None` takes the checkpoint's own.
        layer
            Layer to take token vectors from, 0 = the input, -1 = the last; `None` takes the
            checkpoint's own output. Other layers skip the linear maps that follow pooling.
        too_long
            See :meth:`plan`.

        Returns
        -------
        Vectors in the order of the prompts, shape ``(n, d)``, or ``(n, s, d)`` with suffixes; of
        length 1 if the checkpoint says so.

        Raises
        ------
        InputError
            If there is no such pooling or layer.
        BackendError
            If a vector is not finite, or one prompt does not fit into memory.
        """
        pooling = pooling or self.modules.pooling
        if pooling not in _POOLINGS:
            msg = f"There is no pooling {pooling!r}{closest(pooling, _POOLINGS)}."
            raise InputError(msg, hint=f"choose one of: {', '.join(_POOLINGS)}.")
        if suffixes is not None:
            whole = with_suffixes(prompts, suffixes)
            vectors = self.embed(whole, pooling=pooling, layer=layer, too_long=too_long)
            return vectors.reshape(len(suffixes), -1, vectors.shape[1])
        if layer is not None and not -self.n_layers - 1 <= layer <= self.n_layers:
            msg = f"There is no layer {layer}: '{self.name}' has {self.n_layers}."
            raise InputError(msg, hint=f"choose 0 to {self.n_layers}, or -1 for the last.")
        plan = prompts if isinstance(prompts, PromptPlan) else self.plan(prompts, too_long=too_long)
        places: dict[bytes, int] = {}
        inverse = [places.setdefault(ids.tobytes(), len(places)) for ids in plan.ids]
        distinct = [np.frombuffer(key, dtype=np.int32) for key in places]
        vectors = self.runner.run(
            distinct,
            lambda batch: self._forward(batch, pooling, layer),
            n_dimensions=self.n_dimensions(layer=layer),
        )
        if not np.isfinite(vectors).all():
            msg = f"'{self.name}' gave a vector that is not finite, at {self.precision}."
            raise BackendError(msg, hint='pass `precision="fp32"`, or check the weights.')
        return vectors[inverse] if inverse else vectors

    def score(self, *_asked: object, **_options: object) -> NoReturn:
        """Refuse: a sentence encoder knows no probabilities of texts.

        Raises
        ------
        InputError
            Always.
        """
        refuse_verb(self.name, "score")

    def generate(self, *_asked: object, **_options: object) -> NoReturn:
        """Refuse: a sentence encoder writes nothing.

        Raises
        ------
        InputError
            Always.
        """
        refuse_verb(self.name, "generate")

    def n_dimensions(self, *, layer: int | None = None) -> int:
        """Dimensions of a vector."""
        if self.dense and layer is None:
            return int(self.dense[-1][0].shape[0])
        return int(cast("Any", self.backbone).config.hidden_size)

    def _forward(
        self, batch: TokenBatch, pooling: Pooling, layer: int | None
    ) -> NDArray[np.float32]:
        """Run one batch; shape ``(n, d)``."""
        import torch

        with torch.inference_mode():
            mask = torch.from_numpy(batch.mask).to(self.device)
            output = self.backbone(
                input_ids=torch.from_numpy(batch.ids).to(self.device),
                attention_mask=mask.long(),
                output_hidden_states=layer is not None,
            )
            hidden = output.last_hidden_state if layer is None else output.hidden_states[layer]
            vectors = pool(hidden.float(), mask, pooling=pooling)  # (n, d)
            if layer is None:
                for weight, bias, activation in self.dense:
                    vectors = torch.nn.functional.linear(vectors, weight, bias)
                    vectors = getattr(torch, activation)(vectors) if activation else vectors
            if self.modules.is_normalised:
                vectors = torch.nn.functional.normalize(vectors)
            return cast("NDArray[np.float32]", vectors.cpu().numpy())


def pool(hidden: torch.Tensor, mask: torch.Tensor, *, pooling: Pooling) -> torch.Tensor:
    """Make one vector of each prompt's token vectors, without its padding.

    Parameters
    ----------
    hidden
        Token vectors; shape ``(n, tokens, d)``.
    mask
        Whether a token is real, padding on the right; shape ``(n, tokens)``.
    pooling
        ``"mean"``, ``"max"``, ``"cls"`` (the first token) or ``"last"`` (the last real one).
    """
    import torch

    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "last":
        return hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(dim=1) - 1]
    if pooling == "max":
        return hidden.masked_fill(~mask[:, :, None], -torch.inf).amax(dim=1)
    return (hidden * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)


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
