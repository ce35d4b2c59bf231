"""What a server turned out not to take."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Body = dict[str, Any]

TOO_LONG = ("context", "too long", "maximum length", "exceeds")
"""Words of a refusal because of too many tokens."""
_WARNED = {
    "temperature": "draws as it pleases",
    "seed": "draws anew each time",
    "top_p": "draws among all tokens",
}


class Manners:
    """What a server turned out not to take; learnt from its refusals, kept for the next call."""

    def __init__(self) -> None:
        self.left_out: set[str] = set()
        self.renamed: dict[str, str] = {}

    def applied(self, body: Body) -> Body:
        """Leave out and rename what the server does not take."""
        kept = {name: value for name, value in body.items() if name not in self.left_out}
        return {self.renamed.get(name, name): value for name, value in kept.items()}

    def learn(self, body: Body, said: str) -> bool:
        """Learn from a refusal; say whether another try makes sense."""
        if "max_completion_tokens" in said and "max_tokens" in body:
            self.renamed["max_tokens"] = "max_completion_tokens"
            return True
        for name, effect in _WARNED.items():
            if name in said and name in body:
                if name not in self.left_out:
                    self.left_out.add(name)
                    text = f"The server does not take `{name}`, and {effect}."
                    warnings.warn(text, stacklevel=2)
                return True
        if "response_format" in body and not any(word in said.lower() for word in TOO_LONG):
            self.left_out.add("response_format")
            return True
        return False
