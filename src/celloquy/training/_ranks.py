"""The processes of one run: one alone, or several that ``torchrun`` started."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celloquy._runtime import pick_device

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Ranks:
    """Which process this is, of how many."""

    rank: int
    """Its number, from 0."""
    world: int
    """How many there are."""
    device: str
    """Where this one computes."""

    @property
    def is_first(self) -> bool:
        """Say whether this is the process that writes files."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.world > 1:
            import torch.distributed as dist

            dist.barrier()

    def summed(self, number: float) -> float:
        """Add up a number over all processes."""
        if self.world == 1:
            return number
        import torch
        import torch.distributed as dist

        total = torch.tensor(number, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return float(total)

    def gathered(self, part: list[Any]) -> list[Any]:
        """Join the lists of all processes, in the order of the processes."""
        if self.world == 1:
            return part
        import torch.distributed as dist

        parts: list[Any] = [None] * self.world
        dist.all_gather_object(parts, part)
        return [one for some in parts for one in some]


@contextmanager
def join_ranks(device: str = "auto") -> Iterator[Ranks]:
    """Join the other processes of a run, if ``torchrun`` started several; leave them at the end.

    Parameters
    ----------
    device
        Where to compute; of several GPUs each process takes its own.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    chosen = pick_device(device)
    if world == 1:
        yield Ranks(0, 1, chosen)
        return
    import torch
    import torch.distributed as dist

    local = int(os.environ.get("LOCAL_RANK", "0"))
    is_gpu = chosen.startswith("cuda")
    if is_gpu:
        chosen = f"cuda:{local}"
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if is_gpu else "gloo")
    try:
        yield Ranks(dist.get_rank(), world, chosen)
    finally:
        dist.destroy_process_group()
