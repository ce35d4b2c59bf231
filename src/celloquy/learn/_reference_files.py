"""A reference as a folder: JSON, safetensors and Parquet, whole or not at all."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from shutil import copymode
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from celloquy._runtime import atomic_path, refuse_existing, sha256_of
from celloquy.errors import CheckpointError
from celloquy.learn._block import CellBlock
from celloquy.learn._model import Model
from celloquy.learn._neighbours import NeighbourIndex
from celloquy.learn._predictions import Thresholds
from celloquy.learn._recipe import Recipe
from celloquy.learn._reference import Reference
from celloquy.learn._representation import representation_from_state
from celloquy.learn._sealed import AGAIN, Sealed
from celloquy.learn._state import State
from celloquy.text import Vocabulary

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

RECORD = "reference.json"
SEALED = Sealed(
    "reference", RECORD, "celloquy-reference", schema=1,
    made_by="`--save-reference FOLDER`",
)  # fmt: skip
_ARRAYS, _GENES, _CELLS = "arrays.safetensors", "genes.parquet", "cells.parquet"
_PARTS = ("model", "space")


def save_reference(
    reference: Reference, folder: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """Write a fitted reference to a folder of its own.

    The folder holds ``reference.json`` (settings, thresholds, versions, SHA-256 of the
    other files), ``arrays.safetensors``, ``genes.parquet`` and ``cells.parquet``. It
    appears whole or not at all.

    Parameters
    ----------
    reference
        What is saved.
    folder
        The folder to write; its parent must exist.
    overwrite
        Whether an existing folder is replaced.

    Raises
    ------
    InputError
        If `folder` exists and `overwrite` is false, or holds no reference, or it cannot be
        written.
    """
    states = {part: getattr(reference, part).state() for part in _PARTS}
    joined = State.join({}, states)
    vocabulary = reference.vocabulary
    refuse_existing(Path(folder), overwrite=overwrite, holds=(RECORD,))
    with atomic_path(folder, overwrite=overwrite) as temporary:
        temporary.mkdir()
        arrays = {**joined.arrays, **_cell_arrays(reference)}
        _write_arrays(temporary / _ARRAYS, arrays)
        genes = {"name": vocabulary.names, "id": vocabulary.ids or ("",) * len(vocabulary)}
        pd.DataFrame(genes, dtype="str").to_parquet(temporary / _GENES)
        copymode(temporary / _GENES, temporary / _ARRAYS)  # safetensors shuts others out
        labels = np.array(reference.labels, dtype=object)[reference.codes]
        cells = pd.DataFrame({"name": reference.cell_names, "label": labels}, dtype="str")
        cells.to_parquet(temporary / _CELLS)
        record = {
            "labels": list(reference.labels),
            "counts": reference.counts,
            "n_seen": reference.n_seen,
            "kind": reference.cells.kind,
            "has_ids": vocabulary.ids is not None,
            "recipe": reference.recipe.to_dict(),
            "parts": joined.config,
            "thresholds": _thresholds_record(reference.thresholds),
            "temperature": reference.temperature,
            "provenance": reference.provenance,
            "versions": {name: version(name) for name in ("celloquy", "numpy", "scikit-learn")},
            "files": {name: sha256_of(temporary / name) for name in (_ARRAYS, _GENES, _CELLS)},
        }
        SEALED.write(temporary, record)


def _write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as safetensors, whose error of a full disk is no OSError.

    Raises
    ------
    OSError
        If the operating system refused.
    SafetensorError
        If safetensors failed for another reason.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    try:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)
    except SafetensorError as error:
        found = re.search(r"\(os error (\d+)\)", str(error))
        if found is None:
            raise
        raise OSError(int(found[1]), str(error)) from error


def load_reference(folder: str | os.PathLike[str]) -> Reference:
    """Read a reference that :func:`save_reference` wrote; every file's hash is checked.

    Raises
    ------
    CheckpointError
        If the folder is no reference, was written by a newer version, or a file is
        missing, damaged or does not fit the others.
    """
    from safetensors.numpy import load_file

    folder = Path(folder)
    record = SEALED.read(folder)
    _check_files(folder, record)
    try:
        return _assemble(
            record,
            load_file(folder / _ARRAYS),
            pd.read_parquet(folder / _GENES),
            pd.read_parquet(folder / _CELLS),
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        msg = f"The reference '{folder.name}' is damaged: its parts do not fit together ({error})."
        raise CheckpointError(msg, hint=AGAIN) from error


def _check_files(folder: Path, record: dict[str, Any]) -> None:
    for name in (_ARRAYS, _GENES, _CELLS):
        if not (folder / name).is_file():
            msg = f"The reference '{folder.name}' is damaged: '{name}' is missing."
            raise CheckpointError(msg, hint=AGAIN)
        if sha256_of(folder / name) != record["files"].get(name):
            msg = f"The reference '{folder.name}' is damaged: '{name}' is not the one saved."
            raise CheckpointError(msg, hint=AGAIN)


def _thresholds_record(thresholds: Thresholds) -> dict[str, float | None]:
    furthest = thresholds.max_distance
    return {
        "min_score": thresholds.min_score,
        "max_distance": furthest if np.isfinite(furthest) else None,
    }


def _cell_arrays(reference: Reference) -> dict[str, NDArray[Any]]:
    """Give the cells' arrays, their values in the smallest type that holds them exactly."""
    matrix = reference.cells.expression
    arrays: dict[str, NDArray[Any]] = {
        "index.vectors": reference.index.reference,
        "cells.codes": reference.codes,
        "cells.values": _narrow(matrix.data),
        "cells.columns": matrix.indices.astype(np.int32),
        "cells.ends": matrix.indptr.astype(np.int64),
    }
    if reference.cells.text is not None:
        arrays["cells.text"] = reference.cells.text
    return arrays


def _narrow(values: NDArray[Any]) -> NDArray[Any]:
    for dtype in (np.uint8, np.uint16, np.float32):
        if bool((values >= 0).all()) and bool((values <= 65_535).all() or dtype == np.float32):
            with np.errstate(invalid="ignore"):
                narrow = values.astype(dtype)
            if np.array_equal(narrow, values):
                return narrow
    return values


def _assemble(
    record: dict[str, Any],
    arrays: dict[str, NDArray[Any]],
    genes: pd.DataFrame,
    cells: pd.DataFrame,
) -> Reference:
    ids = tuple(map(str, genes["id"])) if record["has_ids"] else None
    vocabulary = Vocabulary(tuple(map(str, genes["name"])), ids)
    values = arrays["cells.values"]
    values = values if values.dtype == np.float64 else values.astype(np.float32)
    expression = sp.csr_matrix(
        (values, arrays["cells.columns"], arrays["cells.ends"]),
        shape=(len(cells), len(vocabulary)),
    )
    expression.check_format(full_check=True)
    block = CellBlock(expression, record["kind"], vocabulary, text=arrays.get("cells.text"))
    whole = State(record["parts"], arrays)
    labels = tuple(record["labels"])
    codes = arrays["cells.codes"]
    if codes.shape != (len(cells),) or not ((codes >= 0) & (codes < len(labels))).all():
        msg = "codes of other labels"
        raise ValueError(msg)
    furthest = record["thresholds"]["max_distance"]
    return Reference(
        labels=labels,
        recipe=Recipe(**record["recipe"]),
        cells=block,
        codes=codes,
        cell_names=tuple(map(str, cells["name"])),
        n_seen=record["n_seen"],
        model=Model.from_state(whole.part("model")),
        space=representation_from_state(whole.part("space")),
        index=NeighbourIndex(arrays["index.vectors"]),
        thresholds=Thresholds(
            record["thresholds"]["min_score"], np.inf if furthest is None else furthest
        ),
        temperature=record["temperature"],
        provenance=record["provenance"],
    )
