"""Checkpoints: what a run goes on from, in safetensors, whole or not there.

A checkpoint is a folder with the trained weights, the optimiser's moments and a manifest with
their SHA-256. Both files are tensors by name, so nothing is a pickle. Randomness needs no state:
every step draws from the seed and its own number.
"""

from __future__ import annotations

import errno
import json
import re
import shutil
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celloquy._runtime import atomic_path, sha256_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch

WEIGHTS, MOMENTS, MANIFEST = "weights.safetensors", "optimiser.safetensors", "manifest.json"
_NAME = re.compile(r"step-(\d+)")
_CODE = re.compile(r"os error (\d+)")


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint."""

    folder: Path
    """Where it lies."""
    step: int
    """Steps that were done."""
    state: dict[str, Any]
    """What the run knew then: its best step, and how many evaluations were worse since."""


def write_checkpoint(
    folder: Path,
    step: int,
    *,
    weights: Mapping[str, torch.Tensor],
    moments: Mapping[str, torch.Tensor],
    state: Mapping[str, Any],
) -> Checkpoint:
    """Write a checkpoint under a temporary name, and rename it when it is whole.

    Parameters
    ----------
    folder
        The folder of checkpoints; made if it is missing.
    step
        Steps that were done.
    weights
        The trained weights by name.
    moments
        The optimiser's tensors by name.
    state
        What else the run knows; plain values.
    """
    folder.mkdir(exist_ok=True)
    place = folder / f"step-{step:07d}"
    with atomic_path(place, overwrite=True) as temporary:
        temporary.mkdir()
        _save(temporary / WEIGHTS, weights)
        _save(temporary / MOMENTS, moments)
        hashes = {name: sha256_of(temporary / name) for name in (WEIGHTS, MOMENTS)}
        manifest = {"schema": 1, "step": step, "state": dict(state), "sha256": hashes}
        (temporary / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return Checkpoint(place, step, dict(state))


def _save(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write tensors; a disk that is full is told as the system tells it.

    Raises
    ------
    OSError
        If the file cannot be written.
    SafetensorError
        If safetensors refuses for another reason.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    plain = {name: one.detach().cpu().contiguous() for name, one in tensors.items()}
    try:
        save_file(plain, path)
    except SafetensorError as error:
        found = _CODE.search(str(error))
        if found is None:
            raise
        code = int(found[1])
        raise OSError(code, errno.errorcode.get(code, "unknown"), str(path)) from error


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """Find the newest checkpoint that is whole; a damaged one is passed over with a warning.

    Parameters
    ----------
    folder
        The folder of checkpoints; it may be missing.
    """
    for place in sorted(folder.glob("step-*"), reverse=True):
        if not _NAME.fullmatch(place.name):
            continue
        damage, found = _read(place)
        if found is not None:
            return found
        warnings.warn(
            f"The checkpoint '{place}' is damaged ({damage}); the one before it is taken.",
            stacklevel=2,
        )
    return None


def open_checkpoint(folder: Path, step: int) -> Checkpoint | None:
    """Open the checkpoint of a step; `None` if it is not there or not whole."""
    return _read(folder / f"step-{step:07d}")[1]


def _read(place: Path) -> tuple[str, Checkpoint | None]:
    """Read a checkpoint if its files are those that were written; else say what is wrong."""
    try:
        manifest = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
        for name, expected in manifest["sha256"].items():
            if sha256_of(place / name) != expected:
                return f"{name} is not what was written", None
        return "", Checkpoint(place, int(manifest["step"]), manifest["state"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{type(error).__name__}: {error}", None


def load_tensors(checkpoint: Checkpoint, name: str) -> dict[str, torch.Tensor]:
    """Load the tensors of a file of a checkpoint."""
    from safetensors.torch import load_file

    found: dict[str, torch.Tensor] = load_file(checkpoint.folder / name)
    return found


def remove_old(folder: Path, *, keep: int, best: int | None) -> None:
    """Remove all but the newest checkpoints and the best one.

    Parameters
    ----------
    folder
        The folder of checkpoints.
    keep
        How many of the newest stay.
    best
        The step of the best one.
    """
    places = sorted(p for p in folder.glob("step-*") if _NAME.fullmatch(p.name))
    for place in places[:-keep]:
        if best is None or place.name != f"step-{best:07d}":
            shutil.rmtree(place)
