"""`check`: look at a source as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celloquy.checks._columns import column_problems, suggest_columns, telling_columns
from celloquy.checks._names import (
    cell_name_problems,
    gene_name_problems,
    is_transposed,
    transposed_problem,
)
from celloquy.checks._report import HEADINGS, CheckReport, Problem, Slot
from celloquy.checks._slots import USABLE, read_other_slots, sampled_kind, way_out
from celloquy.checks._symbols import overlap_problems, symbol_problems
from celloquy.checks._values import tally_chunks, value_facts, value_problems
from celloquy.errors import InputError
from celloquy.io import open_stream
from celloquy.knowledge import guess_organism

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from anndata import AnnData

    from celloquy.checks._kinds import SlotKind
    from celloquy.io import CellStream

MOST_CELLS = 50_000
"""Sources of so many cells are read whole; of larger ones a sample is looked at."""


def check(
    source: AnnData | str | os.PathLike[str],
    *,
    layer: str | None = None,
    use_raw: bool = False,
    reference: AnnData | str | os.PathLike[str] | Iterable[str] | None = None,
    n_sampled: int = 2_000,
    seed: int = 0,
) -> CheckReport:
    """Say what is in a source of cells, what is wrong with it, and how to mend it.

    Every slot is looked at, so that the report can say which one to choose; nothing is
    switched or mended. The kind of a slot is told from cells spread over the source. Missing,
    negative and infinite values, empty cells and genes are searched in all cells of a source
    of up to 50,000 cells and in the spread cells of a larger one; `CheckReport.n_seen` says
    in how many.

    Parameters
    ----------
    source
        An AnnData, or a path of any kind that :func:`celloquy.io.open_stream` opens; not
        changed.
    layer
        Layer that the report is about; `None` takes X.
    use_raw
        Whether the report is about ``raw.X`` instead.
    reference
        Labelled cells, a path to them, or gene names: the genes shared with it are counted.
    n_sampled
        Cells to tell kinds from.
    seed
        Chooses these cells.

    Returns
    -------
    The report: ``str()`` of it reads well, ``to_dict()`` is for machines, ``ok`` says that no
    verb would refuse the slot.

    Raises
    ------
    InputError
        If the source cannot be opened, has no such slot, or `n_sampled` is below 1.

    Examples
    --------
    >>> import anndata as ad, numpy as np
    >>> adata = ad.AnnData(np.array([[3.0, 0.0, 9.0], [0.0, 2.0, 1.0]], dtype="float32"))
    >>> adata.var_names = ["CD3E", "MS4A1", "IL7R"]
    >>> report = check(adata)
    >>> report.ok, report.kind.kind, report.organism
    (True, 'counts', 'human')
    """
    if n_sampled < 1:
        msg = f"`n_sampled` must be at least 1, got {n_sampled}."
        raise InputError(msg, hint="leave it out to look at 2,000 cells.")
    with open_stream(source, layer=layer, use_raw=use_raw) as stream:
        obs_names = stream.obs().index
        problems = _size_problems(stream)
        kind = sampled_kind(stream, n_sampled=n_sampled, seed=seed)
        others = read_other_slots(source, chosen=stream.slot, n_sampled=n_sampled, seed=seed)
        organism = guess_organism(stream.var.index)
        facts: dict[str, float] = {}
        n_seen = 0
        if not problems:
            found = is_transposed(obs_names, stream.var.index)
            problems += [transposed_problem(found)] if found else []
            value_found, facts, n_seen = _values(stream, kind, n_sampled=n_sampled, seed=seed)
            problems += _with_way_out(value_found, others)
            problems += _kind_problems(kind, others, slot=stream.slot)
            problems += gene_name_problems(stream.var)
            problems += symbol_problems(stream.var.index, organism=organism)
            problems += cell_name_problems(obs_names)
        if reference is not None:
            overlap, facts["reference_overlap"] = overlap_problems(stream.var.index, reference)
            problems += overlap
        obs = stream.obs(telling_columns(stream.obs_columns))
        suggestions = suggest_columns(obs)
        problems += column_problems(obs, suggestions)
        return CheckReport(
            source=stream.source,
            slot=stream.slot,
            n_obs=stream.n_obs,
            n_vars=stream.n_vars,
            n_seen=n_seen,
            organism=organism,
            slots=(Slot(stream.slot, kind, stream.n_vars, is_chosen=True), *others),
            problems=_worst_first(problems),
            suggestions=suggestions,
            facts=facts,
        )


def _values(
    stream: CellStream, kind: SlotKind, *, n_sampled: int, seed: int
) -> tuple[list[Problem], dict[str, float], int]:
    """Count over all cells of a small source, over spread cells of a large one."""
    is_whole = stream.n_obs <= MOST_CELLS
    chunks = stream.chunks() if is_whole else [stream.sample(n_sampled, seed=seed)]
    tally = tally_chunks(chunks, var=stream.var, kind=kind)
    return value_problems(tally, var=stream.var, is_whole=is_whole), value_facts(tally), tally.n_obs


def _size_problems(stream: CellStream) -> list[Problem]:
    problems = []
    if stream.n_obs == 0:
        message = f"'{stream.source}' has no cells."
        problems.append(Problem("no-cells", "refuse", message, "pass a file with cells"))
    if stream.n_vars == 0:
        message = f"{stream.slot} of '{stream.source}' has no genes."
        problems.append(Problem("no-genes", "refuse", message, "choose another slot"))
    return problems


def _with_way_out(problems: list[Problem], others: tuple[Slot, ...]) -> list[Problem]:
    """Give refused values the slot that would work, where they have no mend of their own."""
    otherwise = "go back to the file before it was scaled, or to its counts"
    return [
        problem
        if problem.mend is not None or problem.severity != "refuse"
        else Problem(
            problem.code,
            problem.severity,
            problem.message,
            way_out(others, otherwise=otherwise),
            problem.count,
            problem.examples,
        )
        for problem in problems
    ]


def _kind_problems(kind: SlotKind, others: tuple[Slot, ...], *, slot: str) -> list[Problem]:
    if kind.kind in USABLE or kind.kind == "scaled" or kind.confidence == 0:
        return []
    message = (
        f"What {slot} holds is unknown ({kind.evidence}). Cells can be ranked by it, but it "
        "cannot be brought to one scale with other data."
    )
    mend = way_out(others, otherwise="pass counts if you have them")
    return [Problem("unknown-kind", "warn", message, mend)]


def _worst_first(problems: list[Problem]) -> tuple[Problem, ...]:
    order = list(HEADINGS)
    return tuple(sorted(problems, key=lambda problem: order.index(problem.severity)))
