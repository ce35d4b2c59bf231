"""Feature types of Cell Ranger's files: genes are kept, antibodies and guides are not."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from celloquy.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

GENES = "Gene Expression"


def kept_features(
    var: pd.DataFrame, *, source: str
) -> tuple[pd.DataFrame, NDArray[np.bool_], tuple[str, ...]]:
    """Keep the rows of `var` that are genes, say which others there were.

    Returns
    -------
    The genes, which rows of `var` they are, and notes for the stream.

    Raises
    ------
    InputError
        If no feature is a gene.
    """
    if "feature_types" not in var:
        return var, np.ones(len(var), bool), ()
    types = var["feature_types"].to_numpy(object)
    kept = np.asarray(types == GENES, bool)
    if kept.all():
        return var, kept, ()
    counts = {name: int((types == name).sum()) for name in dict.fromkeys(types) if name != GENES}
    others = ", ".join(f"{count:,} '{name}'" for name, count in counts.items())
    if not kept.any():
        msg = f"'{source}' holds no feature of type '{GENES}', only {others}."
        raise InputError(msg, hint="pass the file of the gene expression library.")
    note = f"'{source}' holds {int(kept.sum()):,} genes and {others}; only genes are read."
    warnings.warn(note, stacklevel=2)
    return var[kept], kept, (note,)
