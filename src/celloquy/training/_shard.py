"""Weights cut over devices: torch's FSDP, layer by layer."""

from __future__ import annotations

from typing import Any

from celloquy.errors import InputError


def shard_model(loss: Any, *, device: str) -> None:  # noqa: ANN401 (a module of torch)
    """Cut the weights of a model over the processes, each layer by itself.

    Parameters
    ----------
    loss
        What gives the loss; the model stands inside it. It is changed in place.
    device
        Where this process computes.

    Raises
    ------
    InputError
        If the model has no list of layers.
    """
    import torch
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    kind = device.partition(":")[0]
    mesh = init_device_mesh(kind, (torch.distributed.get_world_size(),))
    lists = [
        module
        for module in loss.modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) > 1
    ]
    if not lists:
        msg = f"{type(loss.model).__name__!r} has no layers that can be cut over devices."
        raise InputError(msg, hint="write `shard = false` under [run].")
    for layer in (layer for layers in lists for layer in layers):
        fully_shard(layer, mesh=mesh)
    fully_shard(loss, mesh=mesh)
