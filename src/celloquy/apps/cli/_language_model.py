"""The language model that a command asks, with what it may cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from celloquy.lm import LanguageModel


def open_lm(
    name: str | None,
    *,
    allow_remote: str | None = None,
    price_in: float | None = None,
    price_out: float | None = None,
    max_cost: float | None = None,
    device: str = "auto",
    precision: str = "fp32",
    allow_download: bool = False,
) -> LanguageModel:
    """Load the language model of a command; a server gets its prices and its cap.

    Parameters
    ----------
    name
        As :func:`celloquy.lm.load_lm` takes it; `None` takes the model that comes with the package.
    allow_remote
        Host that prompts may be sent to.
    price_in, price_out, max_cost
        As :class:`celloquy.lm.EndpointOptions` takes them; of no effect on other backends.
    device, precision
        Where and how a local model runs.
    allow_download
        Whether a model of the hub may be fetched.
    """
    from celloquy.lm import EndpointOptions, default_lm, load_endpoint, load_lm

    name = default_lm() if name is None else name
    backend, _, place = name.partition(":")
    if backend == "openai" and place:
        options = EndpointOptions(price_in=price_in, price_out=price_out, max_cost=max_cost)
        return load_endpoint(place, allow_remote=allow_remote, options=options)
    return load_lm(
        name, device=device, precision=precision, allow_remote=allow_remote,
        allow_download=allow_download,
    )  # fmt: skip
