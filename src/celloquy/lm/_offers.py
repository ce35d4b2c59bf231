"""What a language model does not offer, and which backend does."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from celloquy.errors import InputError

if TYPE_CHECKING:
    from celloquy.lm._protocol import Capability, Limits

_VERBS = {
    "embed": "give vectors",
    "score": "score answers",
    "generate": "write answers",
}
_WHO_CAN = {
    "embed": "`st:minilm` gives vectors, and so does a decoder (`hf:…`).",
    "score": "a decoder or an encoder-decoder (`hf:…`) scores answers.",
    "generate": "a decoder or an encoder-decoder (`hf:…`) writes answers.",
}


def refuse_verb(name: str, verb: Capability, *, why: str = "") -> NoReturn:
    """Say that a language model cannot be asked for this, and name a backend that can.

    Parameters
    ----------
    name
        How the model was asked for.
    verb
        What was asked of it.
    why
        The reason, as the end of a sentence.

    Raises
    ------
    InputError
        Always.
    """
    msg = f"'{name}' does not {_VERBS[verb]}{why and ': ' + why}."
    raise InputError(msg, hint=_WHO_CAN[verb])


def refuse_guidance(name: str, limits: Limits) -> None:
    """Say that a language model cannot be guided, if that is asked for.

    Parameters
    ----------
    name
        How the model was asked for.
    limits
        How answers are to be drawn.

    Raises
    ------
    InputError
        If the guidance scale is not 1.
    """
    if limits.guidance_scale != 1:
        msg = f"'{name}' cannot be guided (`guidance_scale={limits.guidance_scale:g}`)."
        raise InputError(msg, hint="leave `guidance_scale` at 1, or take a decoder (`hf:…`).")
