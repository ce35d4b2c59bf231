"""What is spent: estimated before, counted after, and never over the cap."""

from __future__ import annotations

import math
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from celloquy.errors import BackendError

if TYPE_CHECKING:
    from celloquy.lm._endpoint_options import EndpointOptions

_PLAIN = re.compile(r"[a-z ]")
_PLAIN_A_TOKEN = 4.0
_OTHER_A_TOKEN = 1.6
MESSAGE_TOKENS = 8
"""Tokens that the marks of one message take, at most."""


def estimate_tokens(text: str) -> int:
    """Estimate the tokens of a text without its tokenizer, rather too many than too few.

    Four lower-case letters and spaces make a token, and so do 1.6 bytes of anything else:
    gene names fall into short pieces.

    Examples
    --------
    >>> estimate_tokens("which cell type is this"), estimate_tokens("CD79A MS4A1")
    (6, 7)
    """
    plain = len(_PLAIN.findall(text))
    other = len(text.encode("utf-8", "replace")) - plain
    return math.ceil(plain / _PLAIN_A_TOKEN + other / _OTHER_A_TOKEN)


@dataclass(frozen=True)
class Tokens:
    """Tokens sent and received."""

    sent: int = 0
    received: int = 0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(self.sent + other.sent, self.received + other.received)

    def __sub__(self, other: Tokens) -> Tokens:
        return Tokens(self.sent - other.sent, self.received - other.received)

    @property
    def total(self) -> int:
        """Both together."""
        return self.sent + self.received


class Spend:
    """Tokens and money that one connection has used.

    What a request may take at most is set aside before it is sent, so that requests under way
    at once cannot pass the cap together; afterwards the server's own count takes its place.

    Parameters
    ----------
    options
        Prices and caps.
    keeps
        Whether what is answered is kept for the next run, for messages.
    """

    def __init__(self, options: EndpointOptions, *, keeps: bool = True) -> None:
        self._options, self._keeps = options, keeps
        self._lock = threading.Lock()
        self._set_aside = Tokens()
        self.used = Tokens()
        """Tokens used so far, as the server counts them where it does."""
        self.n_paid = 0
        """Requests that were answered by the server."""

    def cost_of(self, tokens: Tokens) -> float | None:
        """Price of tokens; `None` without prices."""
        price_in, price_out = self._options.price_in, self._options.price_out
        if price_in is None and price_out is None:
            return None
        return (tokens.sent * (price_in or 0) + tokens.received * (price_out or 0)) / 1e6

    @property
    def cost(self) -> float | None:
        """Money spent so far; `None` without prices."""
        return self.cost_of(self.used)

    def set_aside(self, most: Tokens, *, what: str) -> None:
        """Set aside what a request may take at most.

        Raises
        ------
        BackendError
            If that would pass a cap; what is answered already is kept.
        """
        with self._lock:
            after = self.used + self._set_aside + most
            refusal = self._over(after, what)
            if refusal is not None:
                raise refusal
            self._set_aside += most

    def settle(self, most: Tokens, used: Tokens, *, is_answered: bool) -> None:
        """Count what a request used instead of what was set aside for it."""
        with self._lock:
            self._set_aside -= most
            self.used += used
            self.n_paid += is_answered

    def _over(self, after: Tokens, what: str) -> BackendError | None:
        options = self._options
        cost, cap = self.cost_of(after), options.max_cost
        kept = f"; {self.n_paid:,} answers of this run are kept." if self._keeps else "."
        if cap is not None and cost is not None and cost > cap:
            msg = f"The spend cap of {cap:g} could be passed at {what}: {self.cost:.4g} is spent."
            return BackendError(msg, hint=f"raise `max_cost` (`--max-cost`) and run again{kept}")
        if options.max_spent_tokens is not None and after.total > options.max_spent_tokens:
            msg = (
                f"The cap of {options.max_spent_tokens:,} tokens could be passed at {what}: "
                f"{self.used.total:,} are spent."
            )
            return BackendError(msg, hint=f"raise `max_spent_tokens` and run again{kept}")
        return None
