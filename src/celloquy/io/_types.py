"""Names for what has no common type: nodes of files, columns, matrices."""

from __future__ import annotations

from typing import Any, TypeAlias

Node: TypeAlias = Any
"""A group or dataset of h5py, a group or array of zarr."""
Column: TypeAlias = Any
"""A column of a table: a numpy array, or an array type of pandas."""
Matrix: TypeAlias = Any
"""What AnnData takes for a matrix: dense or sparse, in memory or in a file."""
