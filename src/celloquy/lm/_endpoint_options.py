"""How a server is asked, and what that may cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from celloquy.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

Api = Literal["chat", "completions"]
Scoring = Literal["auto", "exact", "schema"]


@dataclass(frozen=True)
class EndpointOptions:
    """How a server is asked, how long is waited, and what may be spent.

    Raises
    ------
    InputError
        If a number is out of its range, or a cap in money has no prices.
    """

    api: Api = "chat"
    """``"chat"`` sends messages, which the server renders with the model's own template;
    ``"completions"`` sends plain text, for models that were not trained to chat."""
    scoring: Scoring = "auto"
    """How closed sets are answered: ``"exact"`` by log-probabilities, one text an answer;
    ``"schema"`` by one answer that is checked; ``"auto"`` asks the server once which it can."""
    concurrency: int = 8
    """Requests under way at once."""
    attempts: int = 5
    """Tries of one request before giving up."""
    timeout: float = 120.0
    """Seconds within which one try must have answered whole."""
    deadline: float = 900.0
    """Seconds that all tries of one request may take, with the waiting between them."""
    pause: float = 1.0
    """Seconds before the second try; doubled each time, and drawn from half to all of it."""
    max_tokens: int = 32_768
    """Tokens that one prompt and its answer may take, as estimated; the server has its own."""
    thinking_tokens: int = 0
    """Tokens to allow on top of an answer, for models that think first."""
    price_in: float | None = None
    """Price of a million tokens sent, in any currency."""
    price_out: float | None = None
    """Price of a million tokens received, in the same currency."""
    max_cost: float | None = None
    """The most that may be spent, in that currency; needs both prices."""
    max_spent_tokens: int | None = None
    """The most tokens that may be sent and received together."""
    store: bool | Path | None = None
    """Whether answers are kept in the user's cache folder, or in a file of this path, so that
    nothing is paid for twice; `None` keeps those of other machines and those that have a price,
    as a server of one's own may get another model under the same name."""
    use_proxy: bool = False
    """Whether the proxy that the environment names is used; it would see what is sent."""

    def __post_init__(self) -> None:
        if self.api not in get_args(Api) or self.scoring not in get_args(Scoring):
            msg = f"`api` or `scoring` is not known: {self.api!r}, {self.scoring!r}."
            known = f"{', '.join(get_args(Api))}; {', '.join(get_args(Scoring))}"
            raise InputError(msg, hint=f"choose among {known}.")
        above = ("concurrency", "attempts", "timeout", "deadline", "max_tokens")
        least = ("pause", "thinking_tokens", "price_in", "price_out", "max_cost",
                 "max_spent_tokens")  # fmt: skip
        for name in (*above, *least):
            value = getattr(self, name)
            is_low = value is not None and (value < 0 or (value == 0 and name in above))
            if is_low or (value is not None and not math.isfinite(value)):
                msg = f"`{name}` must be {'above zero' if name in above else '0 or more'}; "
                msg += f"got {value}."
                raise InputError(msg, hint="leave it out to use the usual value.")
        if self.max_cost is not None and (self.price_in is None or self.price_out is None):
            msg = f"A cap of {self.max_cost:g} needs the prices of what is sent and received."
            raise InputError(msg, hint="pass `price_in` and `price_out`, a million tokens each.")
