"""What a fitted object is saved as: plain settings and named arrays, never code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class State:
    """Settings that JSON can hold, and arrays that safetensors can hold."""

    config: dict[str, Any]
    """Settings; ``config["name"]`` says what it is the state of."""
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    """Fitted arrays by name."""

    @property
    def name(self) -> str:
        """What it is the state of, as its registry knows it."""
        return str(self.config["name"])

    def part(self, key: str) -> State:
        """Give the state that was joined in under `key`."""
        start = f"{key}."
        arrays = {k.removeprefix(start): v for k, v in self.arrays.items() if k.startswith(start)}
        return State(self.config[key], arrays)

    @staticmethod
    def join(config: Mapping[str, Any], parts: Mapping[str, State]) -> State:
        """Put the states of parts together, each under its key.

        Examples
        --------
        >>> joined = State.join({"name": "whole"}, {"left": State({"name": "leaf", "k": 3})})
        >>> joined.config
        {'name': 'whole', 'left': {'name': 'leaf', 'k': 3}}
        >>> joined.part("left").name
        'leaf'
        """
        arrays = {f"{key}.{k}": v for key, part in parts.items() for k, v in part.arrays.items()}
        return State({**config, **{key: part.config for key, part in parts.items()}}, arrays)
