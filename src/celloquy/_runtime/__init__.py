"""What every other package stands on; knows nothing of cells, genes or models."""

from __future__ import annotations

from celloquy._runtime._cache_folder import cache_folder
from celloquy._runtime._counts import count_of
from celloquy._runtime._devices import pick_device, pick_precision, processor
from celloquy._runtime._drain import Drain
from celloquy._runtime._extras import is_installed, require
from celloquy._runtime._files import (
    atomic_path,
    is_full,
    left_over,
    refuse_existing,
    remove_left_over,
    sha256_of,
)
from celloquy._runtime._memory import kept_memory
from celloquy._runtime._progress import Progress
from celloquy._runtime._registry import Registry, closest
from celloquy._runtime._seeds import rng_for
from celloquy._runtime._shards import (
    Part,
    Shard,
    ShardPlan,
    ShardResult,
    finished_parts,
    run_shards,
)

__all__ = [
    "Drain",
    "Part",
    "Progress",
    "Registry",
    "Shard",
    "ShardPlan",
    "ShardResult",
    "atomic_path",
    "cache_folder",
    "closest",
    "count_of",
    "finished_parts",
    "is_full",
    "is_installed",
    "kept_memory",
    "left_over",
    "pick_device",
    "pick_precision",
    "processor",
    "refuse_existing",
    "remove_left_over",
    "require",
    "rng_for",
    "run_shards",
    "sha256_of",
]
