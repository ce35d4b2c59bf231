"""A projection as a folder: JSON and safetensors, whole or not at all."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy._runtime import atomic_path, refuse_existing, sha256_of
from celloquy.errors import CheckpointError
from celloquy.learn._projection import Projection
from celloquy.learn._sealed import AGAIN, Sealed

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

RECORD, ARRAYS = "projection.json", "arrays.safetensors"
SEALED = Sealed(
    "projection", RECORD, "celloquy-projection", schema=1, made_by="`celloquy fit-projection`"
)


def save_projection(
    projection: Projection, folder: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """Write a projection to a folder of its own; equal projections give equal bytes.

    Parameters
    ----------
    projection
        What was fitted.
    folder
        The folder to write: ``projection.json`` (labels, batches, encoder, hashes) and
        ``arrays.safetensors``. Its parent must exist.
    overwrite
        Whether an existing folder of a projection is replaced.

    Raises
    ------
    InputError
        If `folder` exists and `overwrite` is false, holds no projection, or cannot be written.
    """
    from safetensors.numpy import save

    refuse_existing(Path(folder), overwrite=overwrite, holds=(RECORD,))
    arrays = {
        "centre": projection.centre,
        "components": np.ascontiguousarray(projection.components),
        "separation": np.ascontiguousarray(projection.separation),
    }
    with atomic_path(folder, overwrite=overwrite) as temporary:
        temporary.mkdir()
        # not `save_file`: its error of a full disk is no OSError
        (temporary / ARRAYS).write_bytes(save(arrays))
        record = {
            "labels": list(projection.labels),
            "batches": list(projection.batches),
            "shrinkage": projection.shrinkage,
            "n_cells": projection.n_cells,
            "n_left_out": projection.n_left_out,
            "seed": projection.seed,
            "of": projection.of,
            "versions": {name: version(name) for name in ("celloquy", "numpy", "scikit-learn")},
            "files": {ARRAYS: sha256_of(temporary / ARRAYS)},
        }
        SEALED.write(temporary, record)


def load_projection(folder: str | os.PathLike[str]) -> Projection:
    """Read a projection that :func:`save_projection` wrote; hashes are checked.

    Raises
    ------
    CheckpointError
        If the folder is no projection, was written by a newer version, or a file is missing,
        damaged or does not fit the other.
    """
    from safetensors.numpy import load_file

    folder = Path(folder)
    record = SEALED.read(folder)
    arrays = folder / ARRAYS
    if not arrays.is_file() or sha256_of(arrays) != record.get("files", {}).get(ARRAYS):
        msg = f"The projection '{folder.name}' is damaged: '{ARRAYS}' is not the one saved."
        raise CheckpointError(msg, hint=AGAIN)
    try:
        return _assemble(record, load_file(arrays))
    except (KeyError, TypeError, ValueError) as error:
        msg = f"The projection '{folder.name}' is damaged: its parts do not fit together ({error})."
        raise CheckpointError(msg, hint=AGAIN) from error


def _assemble(record: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Projection:
    """Build the projection.

    Raises
    ------
    ValueError
        If the arrays are of other shapes than each other's.
    """
    centre, components, separation = (
        arrays[name] for name in ("centre", "components", "separation")
    )
    if components.shape != (*separation.shape, *centre.shape):
        msg = f"components of {components.shape} for {centre.shape} and {separation.shape}"
        raise ValueError(msg)
    return Projection(
        centre=centre,
        components=components,
        separation=separation,
        labels=tuple(map(str, record["labels"])),
        batches=tuple(map(str, record["batches"])),
        shrinkage=float(record["shrinkage"]),
        n_cells=int(record["n_cells"]),
        n_left_out=int(record["n_left_out"]),
        seed=int(record["seed"]),
        of={str(name): str(value) for name, value in dict(record["of"]).items()},
    )
