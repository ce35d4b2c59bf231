"""A linear projection of vectors: what tells labels apart is kept, what batches add is shrunk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from celloquy._runtime import count_of
from celloquy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class Projection:
    """A fitted projection of vectors; ``str()`` of it reads well.

    A step of 1 along any direction is a standard deviation inside a label.
    """

    centre: NDArray[np.float64]
    """Mean of the labels' means, taken off first; shape ``(d,)``."""
    components: NDArray[np.float64]
    """Directions, those that separate labels most first; shape ``(n_components, d)``."""
    separation: NDArray[np.float64]
    """Variance of the labels' means along each direction, in units of the variance inside
    labels; shape ``(n_components,)``."""
    labels: tuple[str, ...]
    """Labels that it was fitted on."""
    batches: tuple[str, ...]
    """Batches that it was fitted on; empty where none were named."""
    shrinkage: float
    """Share of an even spread that was mixed into the spread inside labels."""
    n_cells: int
    """Cells that it was fitted on."""
    n_left_out: int = 0
    """Cells without a label or batch, or alone with their label: left out."""
    seed: int = 0
    """Seed of the draw of cells, where there were more than 50,000."""
    of: dict[str, str] = field(default_factory=dict)
    """What the vectors come from, such as ``{"lm": …, "revision": …}``; empty if unknown."""

    def __str__(self) -> str:
        """Say what was fitted on what."""
        batches = f" in {count_of(len(self.batches), 'batches')}" if self.batches else ""
        left = f"; {count_of(self.n_left_out, 'cells')} left out" if self.n_left_out else ""
        return (
            f"{count_of(self.components.shape[1], 'dimensions')} to {len(self.components):,}, from "
            f"{count_of(self.n_cells, 'cells')} of {len(self.labels):,} labels{batches}{left}"
        )

    @property
    def fingerprint(self) -> str:
        """Hash of what it does to vectors."""
        held = hashlib.blake2b(self.centre.tobytes(), digest_size=16)
        held.update(self.components.tobytes())
        return held.hexdigest()

    def transform(self, vectors: ArrayLike) -> NDArray[np.float32]:
        """Project vectors; each depends on itself alone; shape ``(n, n_components)``.

        Parameters
        ----------
        vectors
            Vectors of the encoder that it was fitted on; shape ``(n, d)``.

        Raises
        ------
        InputError
            If they are of another width, or hold infinite or missing values.
        """
        given = checked_vectors(vectors)
        if given.shape[1] != len(self.centre):
            msg = (
                f"The projection was fitted on vectors of {len(self.centre):,} dimensions; these "
                f"have {given.shape[1]:,}."
            )
            raise InputError(msg, hint="pass vectors of the encoder that it was fitted on.")
        # row by row the same sum, however many rows there are: a matrix product is not
        projected = np.einsum("nd,kd->nk", given - self.centre, self.components)
        return np.asarray(projected, dtype=np.float32)

    def require_same(self, of: Mapping[str, str]) -> None:
        """Refuse vectors of another encoder.

        Parameters
        ----------
        of
            What the vectors come from.

        Raises
        ------
        InputError
            If something differs, or nothing is known of those that it was fitted on.
        """
        if not self.of:
            msg = "The projection was fitted on vectors of which no record says who made them."
            raise InputError(msg, hint="apply it in Python: `projection.transform(vectors)`.")
        for name in sorted({*self.of, *of}, key=lambda name: (name != "lm", name)):
            mine, asked = self.of.get(name), of.get(name)
            if mine != asked:
                msg = f"The projection was fitted on vectors with {name} {mine!r}; these are with "
                msg += f"{asked!r}."
                hint = "encode with the same model and options, or fit a projection for these."
                raise InputError(msg, hint=hint)


def checked_vectors(vectors: ArrayLike) -> NDArray[np.float64]:
    """Give vectors in double precision.

    Raises
    ------
    InputError
        If they are no table of numbers, or hold infinite or missing values.
    """
    given = np.asarray(vectors, dtype=np.float64)
    if given.ndim != 2:
        msg = f"`vectors` has the shape {given.shape}; one row a cell is needed."
        raise InputError(msg, hint="pass an array of shape (n, d).")
    bad = np.flatnonzero(~np.isfinite(given).all(axis=1))
    if len(bad):
        msg = f"{len(bad):,} of {len(given):,} vectors hold infinite or missing values; the first "
        msg += f"is row {bad[0]:,}."
        raise InputError(msg, hint="leave those cells out, or look at how they were embedded.")
    return given
