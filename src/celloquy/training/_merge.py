"""One whole model of a run: the base with what was learned, as transformers saves it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celloquy._runtime import atomic_path, refuse_existing, require
from celloquy.errors import CheckpointError
from celloquy.lm._adapters import apply_adapter, fitting_tokenizer, open_adapter
from celloquy.lm._folder import find_folder, revision_of
from celloquy.lm._hf_files import (
    HFOptions,
    checked,
    further_files,
    load_model,
    load_tokenizer,
    quiet,
)
from celloquy.lm._reading import GENES, READING
from celloquy.training._ready import refuse_unread
from celloquy.training._run import RunFolder
from celloquy.training._train import result_of

if TYPE_CHECKING:
    import os
    from collections.abc import Collection

SHARD_SIZE = "2GB"
"""The most bytes of one file of weights (CH-10)."""


def merge(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    dtype: str = "fp32",
    read_by: Collection[str] = (),
    overwrite: bool = False,
) -> Path:
    """Write the model of a finished run as one folder that ``cq.load_lm("hf:…")`` reads.

    An adapter is added to the weights of its base; a model whose weights were all trained is
    written as it is. The folder holds safetensors in files of at most 2 GB, the tokenizer, and the
    run's model card. vLLM serves it, and llama.cpp's converter makes a GGUF file of it, where they
    know its network and tokenizer: `read_by` refuses what they do not.

    Parameters
    ----------
    run
        The run folder.
    out
        Where the model shall be.
    dtype
        ``"fp32"`` keeps all digits; ``"bf16"`` halves the files.
    read_by
        Programs that shall read it, too (``"vLLM"``, ``"llama.cpp"``); a model that one of them
        does not know is refused.
    overwrite
        Whether a folder that is there is replaced.

    Returns
    -------
    The folder.

    Raises
    ------
    InputError
        If the run has not ended, a program of `read_by` does not know such a model, or `out`
        exists and `overwrite` is false.
    CheckpointError
        If the base is not the one that was trained.
    """
    folder, out = RunFolder(Path(run)), Path(out)
    refuse_existing(out, overwrite=overwrite, holds=("config.json", "modules.json"))
    result = result_of(folder)
    record = folder.record()
    is_encoder = record["recipe"]["objective"] == "pairs"
    with atomic_path(out, overwrite=overwrite) as temporary:
        if is_encoder:
            shutil.copytree(result.model, temporary)
        else:
            temporary.mkdir()
            _write(record, result.model, temporary, dtype=dtype)
        for program in read_by:
            refuse_unread(temporary, program)
        for name in (READING, GENES):
            if not is_encoder and (result.model / name).is_file():
                shutil.copy(result.model / name, temporary / name)
        card = folder.folder / "README.md"
        if card.is_file():
            shutil.copy(card, temporary / "README.md")
    return out


def _write(record: dict[str, Any], trained: Path, out: Path, *, dtype: str) -> None:
    """Load the base with its adapter, or the whole model, and save it."""
    transformers = require("transformers", extra="train", why="to save a language model")
    options = HFOptions("cpu", dtype, "auto")
    if not (trained / "adapter_config.json").is_file():
        _, is_seq2seq = checked(trained)
        tokenizer = load_tokenizer(trained)
        model = load_model(trained, options, is_seq2seq=is_seq2seq)
    else:
        base = find_folder(record["recipe"]["model"]["base"], backend="hf")
        files, is_seq2seq = checked(base)
        _refuse_other(base, files, record["result"]["base_revision"])
        # digits are cut once, after the adapter was added
        model = load_model(base, HFOptions("cpu", "fp32", "auto"), is_seq2seq=is_seq2seq)
        adapter = open_adapter(str(trained))
        n_rows = int(model.get_input_embeddings().weight.shape[0])
        own = load_tokenizer(base)
        tokenizer = fitting_tokenizer(adapter, own, n_rows=n_rows, load=load_tokenizer)
        model = apply_adapter(adapter, model, tokenizer=own).to(_dtype(dtype))
    with quiet(transformers):
        model.save_pretrained(out, max_shard_size=SHARD_SIZE)
        tokenizer.save_pretrained(out)


def _refuse_other(base: Path, files: list[Path], trained_on: str) -> None:
    """Refuse a base whose files changed since the run.

    Raises
    ------
    CheckpointError
        If they did.
    """
    if revision_of(base, [*files, *further_files(base)]) != trained_on:
        msg = (
            f"The base '{base}' is not the one that the adapter was trained on: its files changed."
        )
        raise CheckpointError(msg, hint="put the former files back.")


def _dtype(name: str) -> Any:  # noqa: ANN401 (torch is not imported here)
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16}[name]
