"""Linear layers of four bits on a processor, as bitsandbytes computes them.

Where a processor multiplies bf16 numbers, bitsandbytes lays a layer out anew when it is first
asked. That is fast, but not every shape can be laid out, and such a layer gives no gradient.
"""

from __future__ import annotations

from typing import Any

from celloquy.errors import InputError

_BLOCK = 64
"""Weights that share a scale."""
_ROWS = 32
"""What the outputs of a layer that is laid out anew are a multiple of."""
_PACKS = "support_avx512bf16_for_cpu"
"""What a layer of bitsandbytes calls that it shall be laid out anew."""


def compute_unpacked(model: Any) -> None:  # noqa: ANN401 (of any family)
    """Let layers of four bits be computed as they lie, so that they give gradients.

    Parameters
    ----------
    model
        A network; changed in place. Other layers are left alone.
    """
    for layer in model.modules():
        if hasattr(layer, _PACKS):
            setattr(layer, _PACKS, False)


def suit_processor(model: Any) -> None:  # noqa: ANN401 (of any family)
    """Lay out anew only what can be, and refuse what would be computed wrongly.

    Parameters
    ----------
    model
        A network on a processor; changed in place.

    Raises
    ------
    InputError
        If rows of a layer's weights end inside a block: bitsandbytes 0.50 gives them the scales
        of other blocks then, and weights that are wrong by up to their whole size.
    """
    for name, layer in model.named_modules():
        if not hasattr(layer, _PACKS):
            continue
        if layer.in_features % _BLOCK:
            msg = (
                f"The layer '{name}' has {layer.in_features} inputs; bitsandbytes computes four "
                f"bits wrongly on a processor where they are no multiple of {_BLOCK}."
            )
            raise InputError(msg, hint="take another precision (`8bit`, `bf16`), or a GPU.")
        if layer.out_features % _ROWS:
            setattr(layer, _PACKS, False)
