"""A projection as a folder: JSON and safetensors, whole or not at all."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy._runtime import atomic_path, refuse_existing, sha256_of
from celloquy.errors import CheckpointError
from celloquy.learn._projection import Projection

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

FORMAT, SCHEMA = "celloquy-projection", 1
RECORD, ARRAYS = "projection.json", "arrays.safetensors"
_AGAIN = "copy it again, or fit it anew."


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
            "format": FORMAT,
            "schema": SCHEMA,
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
        record["sha256"] = _digest(record)
        text = json.dumps(record, indent=1, ensure_ascii=False, sort_keys=True)
        (temporary / RECORD).write_text(text + "\n", encoding="utf-8")


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
    record = _read_record(folder)
    arrays = folder / ARRAYS
    if not arrays.is_file() or sha256_of(arrays) != record.get("files", {}).get(ARRAYS):
        msg = f"The projection '{folder.name}' is damaged: '{ARRAYS}' is not the one saved."
        raise CheckpointError(msg, hint=_AGAIN)
    try:
        return _assemble(record, load_file(arrays))
    except (KeyError, TypeError, ValueError) as error:
        msg = f"The projection '{folder.name}' is damaged: its parts do not fit together ({error})."
        raise CheckpointError(msg, hint=_AGAIN) from error


def _read_record(folder: Path) -> dict[str, Any]:
    """Read the JSON, and refuse what this version cannot use.

    Raises
    ------
    CheckpointError
        See :func:`load_projection`.
    """
    path = folder / RECORD
    if not path.is_file():
        msg = f"'{folder}' is no saved projection: it has no {RECORD}."
        raise CheckpointError(msg, hint="fit one: `celloquy fit-projection`.")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        msg = f"The projection '{folder.name}' is damaged: '{RECORD}' cannot be read."
        raise CheckpointError(msg, hint=_AGAIN) from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        msg = f"'{folder.name}' is no saved projection: its {RECORD} is of another format."
        raise CheckpointError(msg, hint="pass the folder that `save_projection` wrote.")
    schema = record.get("schema")
    if not isinstance(schema, int) or schema > SCHEMA:
        msg = f"'{folder.name}' was written in schema {schema}; this version reads up to {SCHEMA}."
        raise CheckpointError(msg, hint="upgrade celloquy: pip install --upgrade celloquy")
    expected = record.pop("sha256", None)
    if expected != _digest(record):
        msg = f"The projection '{folder.name}' is damaged: '{RECORD}' was changed after saving."
        raise CheckpointError(msg, hint=_AGAIN)
    return record


def _digest(record: Mapping[str, Any]) -> str:
    text = json.dumps(record, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


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
