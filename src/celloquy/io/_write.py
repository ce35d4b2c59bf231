"""AnnData to h5ad or zarr files that are whole or absent."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celloquy._runtime import atomic_path
from celloquy.errors import InputError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from anndata import AnnData

ENDINGS = (".h5ad", ".zarr")


def write_h5ad(adata: AnnData, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write an AnnData to an ``.h5ad`` file or a ``.zarr`` store, whole or not at all.

    Parameters
    ----------
    adata
        What is written; not changed.
    path
        Where; the ending chooses the format. It may be the file that `adata` is backed by.
    overwrite
        Whether an existing file is replaced. It stays as it is until the new one is whole.

    Raises
    ------
    InputError
        If the ending is another, `path` exists already, its folder is missing or may not be
        written to, the disk is full, or a column cannot be stored.
    OSError
        If the operating system refused for another reason.
    RuntimeError
        If HDF5 failed for another reason.
    """
    path = Path(path)
    refuse_ending(path)
    from anndata._io.specs.registry import IORegistryError  # has no public name

    whole = adata.to_memory() if adata.isbacked else adata
    with atomic_path(path, overwrite=overwrite) as temporary:
        try:
            with os_errors_of_hdf5():
                _write(whole, temporary)
        except (IORegistryError, TypeError, ValueError) as error:
            msg = f"anndata cannot store a part of these data: {str(error).splitlines()[0]}"
            hint = "turn that part into text, numbers or categories."
            raise InputError(msg, hint=hint) from error


def refuse_ending(path: Path) -> None:
    """Refuse a name whose ending chooses no format of AnnData.

    Parameters
    ----------
    path
        Where an AnnData shall be written.

    Raises
    ------
    InputError
        If it ends in neither ``.h5ad`` nor ``.zarr``.
    """
    if path.suffix.lower() not in ENDINGS:
        msg = f"'{path.name}' ends in '{path.suffix}', and AnnData is written as h5ad or zarr."
        raise InputError(msg, hint=f"name it '{path.with_suffix('.h5ad').name}'.")


@contextmanager
def os_errors_of_hdf5() -> Iterator[None]:
    """Raise what the operating system refused as an OSError.

    HDF5 raises a RuntimeError where it closes a file that the disk did not take, and that
    error hides the one before it.

    Raises
    ------
    OSError
        If HDF5 tells an error number.
    RuntimeError
        If it tells none.
    """
    try:
        yield
    except RuntimeError as error:
        if "errno = " in str(error):
            raise OSError(str(error)) from error
        raise


def _write(adata: AnnData, path: Path) -> None:
    import anndata as ad

    if path.suffix.lower() != ".zarr":
        adata.write_h5ad(path)
        return
    # said here, because anndata 0.12 warns where the choice is left to it
    chosen: dict[str, Any] = {"zarr_write_format": 3, "auto_shard_zarr_v3": False}
    chosen = {key: value for key, value in chosen.items() if hasattr(ad.settings, key)}
    with warnings.catch_warnings(), ad.settings.override(**chosen):
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        adata.write_zarr(path)
