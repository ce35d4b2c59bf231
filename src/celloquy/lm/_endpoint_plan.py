"""The token budget of a server, whose tokenizer is not here: estimated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from celloquy.errors import InputError
from celloquy.lm._endpoint_spend import estimate_tokens
from celloquy.lm._protocol import PromptPlan
from celloquy.text import pack, plain_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from celloquy.lm._protocol import TooLong
    from celloquy.text import Prompt


@dataclass(frozen=True, eq=False)
class EndpointPlan(PromptPlan):
    """Prompts as a server will get them. Its token numbers are estimates, its ids are all -1."""

    prompts: tuple[Prompt | str, ...] = ()
    """The prompts, after names were cut; length ``n``."""

    def take(self, rows: Sequence[int]) -> EndpointPlan:
        """Give the plan of some of the prompts."""
        some = super().take(rows)
        prompts = tuple(self.prompts[row] for row in rows)
        return EndpointPlan(some.texts, some.ids, some.n_names_cut, some.n_tokens_cut, prompts)


def plan_endpoint(
    prompts: Sequence[Prompt | str], *, max_tokens: int, too_long: TooLong = "refuse"
) -> EndpointPlan:
    """Fit prompts into an estimated token budget by leaving out gene names at the end.

    Parameters
    ----------
    prompts
        Prompts as segments, or plain texts; length ``n``.
    max_tokens
        Tokens that one prompt may take.
    too_long
        Only ``"refuse"``: a text cannot be cut to tokens that are not known.

    Raises
    ------
    InputError
        If a prompt does not fit, or texts are to be cut.
    """
    if too_long != "refuse":
        msg = f"A server's tokens are not known here, so `too_long={too_long!r}` cannot be done."
        raise InputError(msg, hint="shorten the texts.")
    kept: list[Prompt | str] = list(prompts)
    names_cut = np.zeros(len(kept), dtype=np.int32)
    over = [row for row, text in enumerate(_texts(kept)) if estimate_tokens(text) > max_tokens]
    named = {row: cast("Prompt", kept[row]) for row in over if not isinstance(kept[row], str)}
    packed = pack(
        list(named.values()),
        _ids_of,
        limit=max_tokens,
        cells=[f"prompt {row}" for row in named],
    )
    for row, prompt, n_cut in zip(named, packed.prompts, packed.n_cut, strict=True):
        kept[row], names_cut[row] = prompt, n_cut
    for row in over:
        text = kept[row]
        if isinstance(text, str):
            msg = (
                f"Prompt {row} takes about {estimate_tokens(text):,} tokens; {max_tokens:,} are "
                f"allowed. It begins {text[:40]!r}."
            )
            raise InputError(msg, hint="shorten it, or raise `EndpointOptions(max_tokens=…)`.")
    texts = _texts(kept)
    none_cut = np.zeros(len(kept), dtype=np.int32)
    return EndpointPlan(texts, tuple(map(_ids_of, texts)), names_cut, none_cut, tuple(kept))


def _texts(prompts: Sequence[Prompt | str]) -> tuple[str, ...]:
    return tuple(one if isinstance(one, str) else plain_text(one) for one in prompts)


def _ids_of(text: str) -> NDArray[np.int32]:
    return np.full(estimate_tokens(text), -1, dtype=np.int32)
