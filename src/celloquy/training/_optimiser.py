"""AdamW with its schedule, and its tensors by name so that a run goes on exactly."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from celloquy.training._recipe_train import OptimiserPart


def learning_rate(part: OptimiserPart, step: int, *, n_steps: int) -> float:
    """Give the learning rate of a step, counted from 1.

    Examples
    --------
    >>> from celloquy.training._recipe_train import OptimiserPart
    >>> part = OptimiserPart(learning_rate=1.0, schedule="linear", warmup=0.2)
    >>> [round(learning_rate(part, step, n_steps=10), 3) for step in (1, 2, 3, 10)]
    [0.5, 1.0, 0.875, 0.0]
    """
    n_warm = round(part.warmup * (n_steps if part.warmup < 1 else 1))
    if step <= n_warm:
        return part.learning_rate * step / n_warm
    if part.schedule == "constant":
        return part.learning_rate
    done = (step - n_warm) / max(1, n_steps - n_warm)
    share = 1 - done if part.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
    return part.learning_rate * share


def make_optimiser(
    weights: Mapping[str, torch.nn.Parameter], part: OptimiserPart
) -> torch.optim.Optimizer:
    """Make AdamW in one fused operation; norms and biases are not pulled towards 0.

    Parameters
    ----------
    weights
        What is trained, by name.
    part
        How.
    """
    import torch

    groups = [
        {"params": [w for w in weights.values() if w.ndim >= 2], "weight_decay": part.weight_decay},
        {"params": [w for w in weights.values() if w.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=part.learning_rate,
        betas=(0.9, part.beta2),
        fused=True,
    )


def moments(
    optimiser: torch.optim.Optimizer, weights: Mapping[str, torch.nn.Parameter]
) -> dict[str, torch.Tensor]:
    """Give the optimiser's tensors by name of the weight and of the moment."""
    return {
        f"{name}/{kind}": whole(tensor)
        for name, weight in weights.items()
        for kind, tensor in optimiser.state[weight].items()
    }


def set_moments(
    optimiser: torch.optim.Optimizer,
    weights: Mapping[str, torch.nn.Parameter],
    found: Mapping[str, torch.Tensor],
) -> None:
    """Put back what :func:`moments` gave.

    Parameters
    ----------
    optimiser
        A new one, of the same weights.
    weights
        The weights by name.
    found
        The tensors.
    """
    for name, weight in weights.items():
        for kind in ("step", "exp_avg", "exp_avg_sq"):
            tensor = found.get(f"{name}/{kind}")
            if tensor is not None:
                like = tensor if kind == "step" else placed_like(tensor, weight)
                optimiser.state[weight][kind] = like.to(weight.device)


def whole(tensor: Any) -> torch.Tensor:  # noqa: ANN401 (a tensor, or one that is cut over devices)
    """Give a tensor whole, also where it is cut over devices; every process has to ask."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor  # type: ignore[no-any-return]


def placed_like(tensor: torch.Tensor, weight: Any) -> torch.Tensor:  # noqa: ANN401
    """Cut a whole tensor over devices as a weight is cut."""
    if not hasattr(weight, "device_mesh"):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    cut: torch.Tensor = distribute_tensor(
        tensor.to(weight.device), weight.device_mesh, weight.placements
    )
    return cut
