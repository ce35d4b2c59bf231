"""PEFT adapters: small weights over a base model, checked before they are merged into it."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celloquy._runtime import require
from celloquy.errors import CheckpointError, InputError
from celloquy.lm._added_genes import add_tokens, read_added_genes, rebuild
from celloquy.lm._folder import (
    CODE_KEYS,
    find_folder,
    read_json,
    refuse_truncated,
    revision_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WEIGHTS = "adapter_model.safetensors"
_EMBEDDINGS = ("embed_tokens", "wte", "embed_in", "shared", "lm_head", "embed_out")
_RUNS_CODE = (*CODE_KEYS, "megatron_config")


@dataclass(frozen=True)
class Adapter:
    """An adapter whose files were checked."""

    folder: Path
    """Where it lies."""
    base: str
    """What it says it was trained on; empty if it does not say."""
    vocabulary_rows: int | None
    """Rows of the embeddings that it brings; `None` if it brings none."""
    revision: str
    """SHA-256 of its weights and settings."""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self.folder.name


def split_adapter(place: str, adapter: str | None = None) -> tuple[str, str | None]:
    """Cut ``BASE+ADAPTER``; a folder may have a plus in its name.

    Raises
    ------
    InputError
        If two adapters are named, or nothing stands beside the plus.

    Examples
    --------
    >>> split_adapter("owner/base@abc+pbmc-lora")
    ('owner/base@abc', 'pbmc-lora')
    """
    if "+" not in place or Path(place).expanduser().is_dir():
        return place, adapter
    base, _, named = place.rpartition("+")
    if not base or not named:
        msg = f"A base and an adapter are named as `hf:BASE+ADAPTER`; got 'hf:{place}'."
        raise InputError(msg, hint="leave out the plus for a model without an adapter.")
    if adapter is not None:
        msg = f"Two adapters are named: '{named}' and '{adapter}'."
        raise InputError(msg, hint="name one: after the plus, or by `adapter=`.")
    return base, named


def open_adapter(place: str, *, allow_download: bool = False) -> Adapter:
    """Find an adapter and check its files, without loading them.

    Parameters
    ----------
    place
        A folder, or ``"owner/name@revision"`` of the Hugging Face hub.
    allow_download
        Whether an adapter that is not on this machine may be fetched.

    Raises
    ------
    CheckpointError
        If it is no LoRA adapter, runs code, or its weights are no whole safetensors file.
    """
    folder = find_folder(place, allow_download=allow_download, backend="hf")
    settings = read_json(folder, "adapter_config.json")
    if settings is None:
        msg = f"The folder '{folder}' holds no adapter: it has no adapter_config.json."
        raise CheckpointError(msg, hint="pass a folder that PEFT saved; a whole model needs no +.")
    found = [key for key in _RUNS_CODE if settings.get(key)]
    if found:
        msg = f"The adapter '{folder}' asks to run code of its own: {found[0]!r}."
        raise CheckpointError(msg, hint="use an adapter that PEFT itself can load.")
    if settings.get("peft_type") != "LORA":
        msg = f"The adapter '{folder.name}' is of the kind {settings.get('peft_type')!r}."
        raise CheckpointError(msg, hint="LoRA adapters can be used here.")
    path = _weights(folder)
    return Adapter(
        folder,
        str(settings.get("base_model_name_or_path") or ""),
        _vocabulary_rows(path),
        revision_of(folder, [path]),
    )


def _weights(folder: Path) -> Path:
    """Find the adapter's weights; they are whole and no pickle.

    Raises
    ------
    CheckpointError
        If they are missing, a pickle, or cut short.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        if (folder / "adapter_model.bin").is_file():
            msg = f"The adapter '{folder}' holds its weights as a pickle, which can run code."
            hint = "convert it where you trust it: PEFT's `save_pretrained` writes safetensors."
            raise CheckpointError(msg, hint=hint)
        msg = f"The adapter '{folder}' lacks its weights '{WEIGHTS}'."
        raise CheckpointError(msg, hint="pass a folder that PEFT saved.")
    refuse_truncated(path)
    return path


def _vocabulary_rows(path: Path) -> int | None:
    """Find how many tokens an adapter's own embeddings have, from the header alone."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as weights:
        for key in weights.keys():  # noqa: SIM118 (not a mapping)
            parts = key.split(".")
            is_part = "lora" in key or "trainable_tokens" in key
            if not is_part and any(name in parts for name in _EMBEDDINGS):
                return int(weights.get_slice(key).get_shape()[0])
    return None


def refuse_other_base(adapter: Adapter, base: str) -> None:
    """Refuse an adapter that says it was trained on another model.

    Names are compared without owner, folder and revision.

    Raises
    ------
    CheckpointError
        If it does.
    """
    trained, loaded = _bare(adapter.base), _bare(base)
    if trained and trained.lower() != loaded.lower():
        msg = f"The adapter '{adapter.name}' was trained on '{trained}', but '{loaded}' is loaded."
        hint = f'cq.load_lm("hf:{adapter.base}", adapter="{adapter.folder}")'
        raise CheckpointError(msg, hint=hint)


def _bare(name: str) -> str:
    return name.partition("@")[0].replace("\\", "/").rstrip("/").rpartition("/")[2]


def fitting_tokenizer(
    adapter: Adapter,
    tokenizer: Any,  # noqa: ANN401 (a class of transformers)
    *,
    n_rows: int,
    load: Callable[[Path], Any],
) -> Any:  # noqa: ANN401
    """Give the tokenizer that base and adapter are used with.

    Parameters
    ----------
    adapter
        The adapter; it may bring a tokenizer of its own with tokens added to the base's.
    tokenizer
        The tokenizer of the base.
    n_rows
        Tokens that the base's network knows.
    load
        Loads the tokenizer of a folder.

    Raises
    ------
    CheckpointError
        If the tokenizers disagree, or the adapter has tokens without vectors for them.
    """
    added = read_added_genes(adapter.folder)
    if added is not None:
        grown = copy.deepcopy(tokenizer)
        add_tokens(grown, added.genes)
        return grown
    if not (adapter.folder / "tokenizer.json").is_file():
        if adapter.vocabulary_rows not in {None, n_rows}:
            msg = f"The adapter '{adapter.name}' has vectors of {adapter.vocabulary_rows:,} tokens "
            msg += f"and no tokenizer; the base has {n_rows:,}."
            raise CheckpointError(msg, hint="save the adapter's tokenizer beside it.")
        return tokenizer
    own = load(adapter.folder)
    _refuse_other_tokens(adapter, own.get_vocab(), tokenizer.get_vocab())
    needed = max(own.get_vocab().values()) + 1
    known = adapter.vocabulary_rows or n_rows
    if needed > known:
        msg = f"The adapter '{adapter.name}' adds tokens up to {needed:,}, and vectors are there "
        msg += f"for {known:,}."
        hint = "save the adapter with its embeddings: `save_embedding_layers=True`."
        raise CheckpointError(msg, hint=hint)
    return own


def _refuse_other_tokens(adapter: Adapter, own: Mapping[str, int], base: Mapping[str, int]) -> None:
    """Refuse a tokenizer that gives a token of the base another id, or lacks it.

    Raises
    ------
    CheckpointError
        If it does.
    """
    other = [token for token, place in base.items() if own.get(token) != place]
    if other:
        msg = (
            f"The tokenizer of the adapter '{adapter.name}' reads {len(other):,} tokens otherwise "
        )
        msg += f"than the base's, such as {min(other)!r}."
        raise CheckpointError(msg, hint="load the base that the adapter was trained on.")


def apply_adapter(
    adapter: Adapter,
    model: Any,  # noqa: ANN401 (a class of transformers)
    *,
    tokenizer: Any = None,  # noqa: ANN401 (a class of transformers)
    merges: bool = True,
) -> Any:  # noqa: ANN401
    """Put an adapter into a model.

    Parameters
    ----------
    adapter
        The adapter, checked.
    model
        The base; it is changed.
    tokenizer
        The base's own tokenizer, for an adapter that adds genes to it.
    merges
        Whether the adapter's weights are added to the base's, so that asking costs nothing more.

    Raises
    ------
    CheckpointError
        If its weights do not fit the base's.
    """
    peft = require("peft", extra="llm", why="to load an adapter")
    rows = adapter.vocabulary_rows
    added = read_added_genes(adapter.folder)
    if added is not None:
        rebuild(model, copy.deepcopy(tokenizer), added)
    if rows is not None and rows != model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(rows, mean_resizing=False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # PEFT asks transformers the old way
            whole = peft.PeftModel.from_pretrained(
                model, str(adapter.folder), local_files_only=True, use_safetensors=True
            )
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        first = str(error).strip().splitlines()[0]
        msg = f"The adapter '{adapter.name}' does not fit the base: {first}"
        raise CheckpointError(msg, hint="load the base that the adapter was trained on.") from error
    if not merges:
        return whole.base_model.model
    merged = whole.merge_and_unload()
    merged.requires_grad_(requires_grad=False)
    return merged.eval()
