"""The model that is trained: its base, the weights that move, and how it is saved."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celloquy._runtime import is_installed, require
from celloquy.errors import CheckpointError, InputError, MissingExtraError
from celloquy.lm._added_genes import add_genes
from celloquy.lm._folder import find_folder, refuse_code, revision_of
from celloquy.lm._four_bits import compute_unpacked
from celloquy.lm._fused import fuse
from celloquy.lm._hf import make_format
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
from celloquy.lm._network import CausalNetwork
from celloquy.lm._verify import refuse_unknown_flow
from celloquy.training._vocabulary import save_adapter, trainable_tokens

if TYPE_CHECKING:
    import torch

    from celloquy.lm import PromptFormat
    from celloquy.lm._added_genes import AddedGenes
    from celloquy.training._recipe_train import AdapterPart, TrainRecipe

LINEAR_MIXERS = {"linear_attention", "mamba", "recurrent", "conv"}


@dataclass(eq=False)
class TrainedModel:
    """A model with its tokenizer, ready to be trained."""

    model: Any
    """The network of transformers; an adapter's layers stand inside it."""
    adapter: Any
    """PEFT's wrapper around it; `None` where all weights are trained."""
    tokenizer: Any
    """Its fast tokenizer."""
    words: PromptFormat
    """How prompts and answers become tokens: the same as when it is asked."""
    max_tokens: int
    """Tokens that an example may take."""
    revision: str
    """SHA-256 of the base's files."""
    base: str
    """What the base is called."""
    added: AddedGenes | None = None
    """Genes that were made tokens of the base."""

    @property
    def is_seq2seq(self) -> bool:
        """Whether it has an encoder."""
        return bool(self.model.config.is_encoder_decoder)

    def weights(self) -> dict[str, torch.nn.Parameter]:
        """Give the weights that are trained, by name."""
        return {name: one for name, one in self.model.named_parameters() if one.requires_grad}

    def save(self, folder: Path) -> None:
        """Write the model, or its adapter, with the tokenizer, as transformers and PEFT do.

        Parameters
        ----------
        folder
            A folder that is there.
        """
        whole = self.model if self.adapter is None else self.adapter
        transformers = require("transformers", extra="train", why="to save a language model")
        with quiet(transformers), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PEFT looks for the base on the hub
            if self.adapter is not None and self.added is not None:
                save_adapter(self.adapter, folder, added=self.added)
            else:
                whole.save_pretrained(folder)
        if self.adapter is None:
            self.tokenizer.save_pretrained(folder)
        for card in folder.glob("README.md"):  # PEFT writes one that says nothing
            card.unlink()


def load_trained(recipe: TrainRecipe, *, device: str) -> TrainedModel:
    """Load the base of a recipe and make its weights trainable.

    Parameters
    ----------
    recipe
        The recipe.
    device
        Where it shall run.

    Raises
    ------
    InputError
        If the base cannot be trained as the recipe says.
    CheckpointError
        If the base cannot be used.
    """
    import torch

    part = recipe.model
    folder = find_folder(part.base, backend="hf")
    tokenizer = load_tokenizer(folder)
    if part.from_scratch:
        model = _from_scratch(folder, seed=recipe.run.seed)
        files: list[Path] = []
    else:
        files, is_seq2seq = checked(folder)
        options = HFOptions(device, _precision(recipe), part.prompt_format)
        model = load_model(folder, options, is_seq2seq=is_seq2seq)
        compute_unpacked(model)
    is_seq2seq = bool(model.config.is_encoder_decoder)
    added = None
    if part.add_genes is not None:
        added = add_genes(model, tokenizer, genes=_lines(part.add_genes))
    refuse_foreign_tokenizer(folder, tokenizer, model)
    if not is_seq2seq:
        refuse_unknown_flow(CausalNetwork(model.eval(), "cpu" if part.from_scratch else device))
    fuse(model, pack=False)
    limit = token_limit(folder, tokenizer, model)
    words = make_format(tokenizer, model, part.prompt_format, is_seq2seq=is_seq2seq)
    with torch.random.fork_rng():
        torch.manual_seed(recipe.run.seed)
        rows = {} if added is None else trainable_tokens(model, tokenizer, added=added)
        model, adapter = _with_adapter(model, recipe, base=part.base, rows=rows)
    if recipe.run.gradient_checkpointing:
        _recompute(model)
    return TrainedModel(
        model.to(device) if part.method != "qlora" else model,
        adapter,
        tokenizer,
        words,
        _tokens(part.max_tokens, limit, part.base),
        revision_of(folder, [*files, *further_files(folder)]),
        part.base,
        added,
    )


def _lines(path: str) -> list[str]:
    """Read a file with a gene a line; empty lines are left out."""
    return [line.strip() for line in Path(path).read_text("utf-8").splitlines() if line.strip()]


def _recompute(model: Any) -> None:  # noqa: ANN401 (a class of transformers)
    """Let a model compute activations twice rather than keep them."""
    if hasattr(model, "activation_checkpointing_enable"):  # its name from transformers 5.20 on
        model.activation_checkpointing_enable({"use_reentrant": False})
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


def _tokens(wanted: int | None, limit: int, base: str) -> int:
    """Give the tokens of an example.

    Raises
    ------
    InputError
        If more are wanted than the model reads.
    """
    if wanted is not None and wanted > limit:
        msg = f"`model.max_tokens` is {wanted:,}, and '{base}' reads {limit:,}."
        raise InputError(msg, hint=f"write `max_tokens = {limit}` or leave it out.")
    return limit if wanted is None else wanted


def _precision(recipe: TrainRecipe) -> str:
    """Say in which numbers the base's weights are kept.

    Weights that are trained stay in 32 bits. Under an adapter they are frozen, and may be rounded.

    Raises
    ------
    MissingExtraError
        If four bits are asked for without bitsandbytes.
    """
    if recipe.model.method == "qlora":
        if not is_installed("bitsandbytes"):
            msg = '`method = "qlora"` needs the package `bitsandbytes`, which is not installed.'
            raise MissingExtraError(msg, hint="pip install 'celloquy[quantization]'")
        return "4bit"
    # weights that are cut over devices are of one type; rows of genes start from all digits
    part = recipe.model
    is_exact = part.method == "full" or recipe.run.shard or part.add_genes is not None
    return "fp32" if is_exact else recipe.run.precision


def _from_scratch(folder: Path, *, seed: int) -> Any:  # noqa: ANN401 (a class of transformers)
    """Make a network of a folder's settings, with random weights.

    Raises
    ------
    CheckpointError
        If the settings make no model.
    """
    import torch

    transformers = require("transformers", extra="train", why="to train a language model")
    refuse_code(folder)
    try:
        with quiet(transformers), torch.random.fork_rng():
            torch.manual_seed(seed)
            config = transformers.AutoConfig.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
            kind = (
                transformers.AutoModelForSeq2SeqLM
                if config.is_encoder_decoder
                else transformers.AutoModelForCausalLM
            )
            return kind.from_config(config, dtype=torch.float32)
    except UNREADABLE as error:
        msg = f"The settings in '{folder}' make no language model: {error}"
        raise CheckpointError(msg, hint="write a config.json that transformers knows.") from error


def _with_adapter(
    model: Any,  # noqa: ANN401 (a class of transformers)
    recipe: TrainRecipe,
    *,
    base: str,
    rows: dict[str, list[int]],
) -> tuple[Any, Any]:
    """Say which weights are trained: all, or those of a new adapter.

    Raises
    ------
    InputError
        If the adapter's layers are not in the model.
    """
    if recipe.model.method == "full":
        model.requires_grad_(requires_grad=True)
        return model, None
    peft = require("peft", extra="train", why="to train an adapter")
    if recipe.model.method == "qlora":
        model = peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    settings = adapter_settings(recipe.adapter, recipe.model.method, base=base)
    settings.trainable_token_indices = rows or None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PEFT puts the folder in the place of the base's name
            wrapped = peft.get_peft_model(model, settings)
        # what it was trained on is found by this name, on other machines, too
        wrapped.peft_config["default"].base_model_name_or_path = bare_name(base)
    except ValueError as error:
        msg = f"The adapter's layers are not in '{base}': {str(error).splitlines()[0]}"
        raise InputError(msg, hint='`[adapter] targets = "all"` takes every linear layer.') from (
            error
        )
    return wrapped.base_model.model, wrapped


def adapter_settings(part: AdapterPart, method: str, *, base: str) -> Any:  # noqa: ANN401
    """Give PEFT's settings of an adapter.

    Parameters
    ----------
    part
        Its shape.
    method
        ``"lora"``, ``"dora"`` or ``"qlora"``.
    base
        What it is trained on.
    """
    peft = require("peft", extra="train", why="to train an adapter")
    targets = "all-linear" if part.targets == "all" else list(part.targets)
    return peft.LoraConfig(
        r=part.rank,
        lora_alpha=part.alpha,
        lora_dropout=part.dropout,
        target_modules=targets,
        use_dora=method == "dora",
        base_model_name_or_path=base,
    )


def bare_name(base: str) -> str:
    """Name a base without the folders of this machine.

    Examples
    --------
    >>> bare_name("/home/me/models/pythia"), bare_name("owner/name@main")
    ('pythia', 'owner/name@main')
    """
    return Path(base).name if Path(base).is_absolute() else base


def refuse_packing(model: Any, *, device: str) -> None:  # noqa: ANN401 (a class of transformers)
    """Refuse to pack examples where it does not pay, or where they would see each other.

    Parameters
    ----------
    model
        The network.
    device
        Where it runs.

    Raises
    ------
    InputError
        If it does not.
    """
    if not device.startswith("cuda") or not is_installed("flash_attn"):
        msg = (
            f"Packing needs a GPU with flash_attn, which reads rows of any length, not {device!r}."
        )
        hint = "write `packing = false`: with length groups little is padded, and this is faster."
        raise InputError(msg, hint=hint)
    kinds = set(getattr(model.config.get_text_config(), "layer_types", None) or ())
    if model.config.is_encoder_decoder or kinds & LINEAR_MIXERS:
        msg = f"Packed examples would see each other in {model.config.model_type!r}."
        raise InputError(msg, hint="write `packing = false`.")
