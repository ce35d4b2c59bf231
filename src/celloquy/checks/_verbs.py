"""The same checks inside every verb: cheap, and each refusal with its way out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from celloquy.checks._kinds import Kind, SlotKind, slot_kind
from celloquy.checks._names import is_transposed
from celloquy.checks._slots import USABLE, read_other_slots, way_out
from celloquy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import scipy.sparse as sp

    from celloquy.checks._report import CheckReport, Slot
    from celloquy.checks._slots import Source
    from celloquy.io import CellStream

__all__ = ["check_for_verb", "refuse_problems", "require_slot"]

N_SAMPLED = 2_000


def check_for_verb(
    stream: CellStream,
    *,
    verb: str,
    needs: Literal["rankable", "expression"] = "rankable",
    source: Source | None = None,
    gene_names: Sequence[str] | None = None,
    n_sampled: int = N_SAMPLED,
    seed: int = 0,
) -> SlotKind:
    """Refuse cells that a verb cannot use, and say what would work.

    Looks at the names and at the values of a few cells spread over the source; a kernel that
    meets a negative or missing value elsewhere has still to refuse it.

    Parameters
    ----------
    stream
        The opened cells; left open.
    verb
        Name of the verb for the message, such as ``"sentences"``.
    needs
        ``"rankable"``: values that order the genes of a cell, whatever their scale.
        ``"expression"``: values that can be brought to one scale, so a known kind.
    source
        What `stream` was opened from; its other slots are then looked at for the hint.
    gene_names
        Names that the verb uses, one a gene; `None` takes those of ``var``'s index.
    n_sampled
        Cells to look at.
    seed
        Chooses them.

    Returns
    -------
    What the slot holds.

    Raises
    ------
    InputError
        If there are no cells or genes, the matrix is transposed, gene names are all blank or
        all repeated, a value is negative, missing or infinite, nothing is expressed, or the
        kind is unknown where expression is needed.
    """
    _refuse_shape(stream, verb)
    names = stream.var.index if gene_names is None else pd.Index(list(gene_names))
    _refuse_names(stream, names, verb)
    sample = stream.sample(n_sampled, seed=seed).to_csr()
    kind = slot_kind(sample)
    others = _Others(source, stream.slot, n_sampled=n_sampled, seed=seed)
    _refuse_values(sample, kind, stream=stream, verb=verb, others=others)
    if needs == "expression" and kind.kind not in USABLE:
        msg = (
            f"{stream.slot} of '{stream.source}' holds values of an unknown scale "
            f"({kind.evidence}), and `{verb}` compares them with other cells'."
        )
        raise InputError(msg, hint=others.way_out("pass counts or log1p values."))
    return kind


def require_slot(
    stream: CellStream,
    *,
    verb: str,
    kinds: Collection[Kind] = USABLE,
    source: Source | None = None,
    n_sampled: int = N_SAMPLED,
    seed: int = 0,
) -> SlotKind:
    """Refuse a slot that does not hold one of some kinds.

    Parameters
    ----------
    stream
        The opened cells; left open.
    verb
        Name of the verb for the message.
    kinds
        Kinds that will do.
    source
        What `stream` was opened from; its other slots are then looked at for the hint.
    n_sampled
        Cells to look at.
    seed
        Chooses them.

    Returns
    -------
    What the slot holds: one of `kinds`.

    Raises
    ------
    InputError
        If it holds anything else.
    """
    kind = slot_kind(stream.sample(n_sampled, seed=seed).to_csr())
    if kind.kind in kinds:
        return kind
    msg = (
        f"{stream.slot} of '{stream.source}' holds {kind.kind} values ({kind.evidence}); "
        f"`{verb}` needs {' or '.join(kinds)}."
    )
    others = _Others(source, stream.slot, n_sampled=n_sampled, seed=seed)
    raise InputError(msg, hint=others.way_out("pass such a slot.", kinds=kinds))


def refuse_problems(report: CheckReport) -> None:
    """Raise the first problem for which a verb would refuse the source.

    Raises
    ------
    InputError
        With the problem's message and its mend, if there is such a problem.
    """
    for problem in report.problems:
        if problem.severity == "refuse":
            raise InputError(problem.message, hint=problem.mend)


class _Others:
    """The slots that were not chosen; looked at only if a refusal has to name one."""

    def __init__(self, source: Source | None, chosen: str, *, n_sampled: int, seed: int) -> None:
        self._source, self._chosen = source, chosen
        self._n_sampled, self._seed = n_sampled, seed

    def way_out(self, otherwise: str, *, kinds: Collection[Kind] = USABLE) -> str:
        slots: tuple[Slot, ...] = ()
        if self._source is not None:
            slots = read_other_slots(
                self._source, chosen=self._chosen, n_sampled=self._n_sampled, seed=self._seed
            )
        fitting = tuple(slot for slot in slots if slot.kind.kind in kinds)
        return way_out(fitting, otherwise=otherwise)


def _refuse_shape(stream: CellStream, verb: str) -> None:
    if stream.n_obs == 0:
        msg = f"'{stream.source}' has no cells, so there is nothing for `{verb}` to do."
        raise InputError(msg, hint="pass a file with cells.")
    if stream.n_vars == 0:
        msg = f"{stream.slot} of '{stream.source}' has no genes."
        raise InputError(msg, hint="choose another slot with `layer=` or `use_raw=True`.")


def _refuse_names(stream: CellStream, names: pd.Index, verb: str) -> None:
    found = is_transposed(stream.obs().index, names)
    if found is not None:
        msg = f"'{stream.source}' is transposed, genes by cells: {found}."
        raise InputError(msg, hint="`adata = adata.T.copy()` turns it.")
    if len(names) > 1 and names.duplicated(keep=False).all():
        msg = f"Every gene name of '{stream.source}' repeats, such as {str(names[0])!r}."
        raise InputError(msg, hint="put the right names into `adata.var_names`.")
    if not any(str(name).strip() for name in names):
        msg = f"No gene of '{stream.source}' has a name, and `{verb}` names genes."
        raise InputError(msg, hint="put the gene names into `adata.var_names`.")


def _refuse_values(
    sample: sp.csr_matrix, kind: SlotKind, *, stream: CellStream, verb: str, others: _Others
) -> None:
    where = f"{stream.slot} of '{stream.source}'"
    values = sample.data.astype(np.float64)
    if not np.isfinite(values).all():
        n_bad = int((~np.isfinite(values)).sum())
        msg = f"{where} holds missing or infinite values: {n_bad:,} in {sample.shape[0]:,} cells."
        raise InputError(msg, hint=others.way_out("find out where they come from; 0 is no NaN."))
    if (values < 0).any():
        msg = f"{where} holds {kind.kind} values: {kind.evidence}. `{verb}` needs none below 0."
        raise InputError(msg, hint=others.way_out("pass counts or log1p values."))
    if not (values > 0).any():
        msg = f"{where} expresses nothing: all {sample.shape[0]:,} cells looked at are empty."
        raise InputError(msg, hint=others.way_out("`celloquy check` shows every slot."))
