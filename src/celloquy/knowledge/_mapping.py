"""Gene names → gene names, with a stated answer to every collision."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from celloquy._runtime import closest
from celloquy.errors import InputError
from celloquy.knowledge._genes import GeneTable, OrthologTable, gene_table, ortholog_table
from celloquy.knowledge._identifiers import (
    clean_names,
    guess_organism,
    looks_like_ensembl,
    strip_version,
)
from celloquy.knowledge._report import N_EXAMPLES, GeneMap, MappingReport

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Target = Literal["keep", "symbol", "ensembl"]
Collisions = Literal["refuse", "sum", "keep"]
OneToMany = Literal["namesake", "best", "drop"]


class _Column(NamedTuple):
    """What one source column is found to be."""

    name: str
    """Its name, cleaned."""
    own_id: str
    """Its Ensembl id without version, ``""`` if it has none."""
    target: str
    """The name it is to have, ``""`` if there is none."""
    how: str
    """How that was found."""
    gene_id: str
    """Ensembl id of the gene it stands for, ``""`` if unknown."""


@dataclass(frozen=True)
class _Record:
    """What a report says beyond its counts."""

    to: str
    source: str
    notes: tuple[str, ...] = ()


def map_genes(
    names: Iterable[object],
    *,
    ids: Iterable[object] | None = None,
    to: Target = "keep",
    collisions: Collisions = "refuse",
    organism: str | None = None,
    drop_unmapped: bool = False,
    table: GeneTable | None = None,
) -> GeneMap:
    """Say which gene every column of a source stands for.

    Only names are needed, so a stream of any size is mapped before its first chunk.

    Parameters
    ----------
    names
        Name of every column: symbols, Ensembl ids with or without version, or both mixed.
    ids
        Ensembl ids of the columns where they are known, ``""`` elsewhere. An id is
        believed before a name, because symbols have changed hands.
    to
        ``"keep"`` leaves names as they are and needs no knowledge; ``"symbol"`` gives
        approved symbols; ``"ensembl"`` gives Ensembl ids without version.
    collisions
        What happens when several columns come to one name. ``"refuse"`` raises; ``"sum"``
        gives them one position, so that their values are added (:func:`collapse`);
        ``"keep"`` gives each a name of its own: the column that has the gene's own id, or
        else its own name, keeps the plain name, the others get their Ensembl id, their old
        name or a number as a suffix (``TBCE.ENSG00000285053``), whatever their order.
    organism
        ``"human"`` or ``"mouse"``; `None` reads it off the names' form.
    drop_unmapped
        Whether columns of unknown or ambiguous name are left out. Otherwise they keep
        their name. Columns without any name are always left out.
    table
        What is known of genes; `None` for what this machine knows (:func:`gene_table`).

    Returns
    -------
    The names, each once; the position of every column among them; and the report.

    Raises
    ------
    InputError
        If names collide and `collisions` is ``"refuse"``, `ids` has another length, an
        option has no such value, the organism cannot be told, or what is needed is not
        known on this machine.

    Examples
    --------
    >>> found = map_genes(["CD3E", "MS4A1", "CD3E"], collisions="sum")
    >>> found.names, found.columns.tolist()
    (('CD3E', 'MS4A1'), [0, 1, 0])
    >>> map_genes(["CD3E", "MS4A1", "CD3E"], collisions="keep").names
    ('CD3E', 'MS4A1', 'CD3E-1')
    """
    _check_option("to", to, ("keep", "symbol", "ensembl"))
    _check_option("collisions", collisions, ("refuse", "sum", "keep"))
    cleaned = clean_names(names)
    own_ids = _own_ids(cleaned, ids)
    if to == "keep":
        kept = _kept(tuple(cleaned), tuple(own_ids), collisions)
        report = kept.report  # what a caller may change is its own
        own = replace(report, mapped_by={**report.mapped_by}, examples={**report.examples})
        return replace(kept, columns=kept.columns.copy(), report=own)
    if to == "ensembl" and all(own_ids):
        columns = [
            _Column(name, own, own, "kept" if name == own else "id", own)
            for name, own in zip(cleaned, own_ids, strict=True)
        ]
        return _build(columns, _Record(to, ""), collisions, drop_unmapped=drop_unmapped)
    if table is None:
        table = gene_table(_organism(cleaned, own_ids, organism))
    _check_aliases(cleaned, own_ids, table)
    find = _symbol_of if to == "symbol" else _ensembl_of
    columns = [find(name, own, table) for name, own in zip(cleaned, own_ids, strict=True)]
    _check_organism(columns, table)
    notes = () if table.knows_former_names else (_FORMER_NAMES_UNKNOWN,)
    return _build(
        columns, _Record(to, table.source, notes), collisions, drop_unmapped=drop_unmapped
    )


_FORMER_NAMES_UNKNOWN = (
    "Aliases and previous symbols are not known on this machine, so retired names were left "
    "as they are (human ones come with `celloquy data get hgnc`)."
)


def map_orthologs(
    names: Iterable[object],
    *,
    ids: Iterable[object] | None = None,
    collisions: Collisions = "refuse",
    one_to_many: OneToMany = "namesake",
    drop_unmapped: bool = True,
    table: OrthologTable | None = None,
) -> GeneMap:
    """Say which human gene every column of a mouse source stands for.

    Parameters
    ----------
    names, ids
        Mouse symbols or Ensembl ids; see :func:`map_genes`.
    collisions
        What happens when several mouse genes have one human ortholog; see :func:`map_genes`.
    one_to_many
        What happens when a mouse gene has several. ``"namesake"`` takes the one of the same
        name (Cd3e → CD3E) if there is one and otherwise calls the gene ambiguous;
        ``"best"`` takes the one that most databases assert, or the first of them;
        ``"drop"`` calls all such genes ambiguous.
    drop_unmapped
        Whether genes without a human ortholog, and ambiguous ones, are left out. Otherwise
        they keep their mouse name.
    table
        The orthologs; `None` for those that this machine knows (:func:`ortholog_table`).

    Returns
    -------
    The human symbols, approved ones where HGNC is known; the position of every column
    among them; and the report.

    Raises
    ------
    InputError
        If genes collide and `collisions` is ``"refuse"``, an option has no such value,
        orthologs are not known, or names are Ensembl ids and the orthologs have symbols only.
    """
    _check_option("collisions", collisions, ("refuse", "sum", "keep"))
    _check_option("one_to_many", one_to_many, ("namesake", "best", "drop"))
    table = table or ortholog_table()
    cleaned = clean_names(names)
    own_ids = _own_ids(cleaned, ids)
    if not table.knows_ids and any(map(looks_like_ensembl, cleaned)):
        first = next(filter(looks_like_ensembl, cleaned))
        msg = f"Orthologs are known by symbol only ({table.source}); {first!r} is an Ensembl id."
        raise InputError(msg, hint="`celloquy data get orthologs` knows mouse Ensembl ids.")
    human = _human_if_known()
    columns = [
        _ortholog_of(name, own, table=table, human=human, one_to_many=one_to_many)
        for name, own in zip(cleaned, own_ids, strict=True)
    ]
    record = _Record("human", table.source)
    return _build(columns, record, collisions, drop_unmapped=drop_unmapped)


@lru_cache(maxsize=4)
def _kept(names: tuple[str, ...], own_ids: tuple[str, ...], collisions: str) -> GeneMap:
    """Map names to themselves; needs no table, and is kept for the next call on the same genes."""
    columns = [
        _Column(name, own, name or own, "kept" if name else "id", own)
        for name, own in zip(names, own_ids, strict=True)
    ]
    return _build(columns, _Record("keep", ""), collisions, drop_unmapped=False)


def _check_option(option: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        msg = f"`{option}` has no value {value!r}{closest(str(value), known)}."
        raise InputError(msg, hint=f"choose one of: {', '.join(known)}.")


def _own_ids(names: Sequence[str], ids: Iterable[object] | None) -> list[str]:
    # Ensembl id that each column states, in ids or as its name; "" where none.
    stated = clean_names(ids) if ids is not None else list(names)
    if len(stated) != len(names):
        msg = f"There are {len(names):,} gene names and {len(stated):,} ids."
        raise InputError(msg, hint="give one id a name, '' where it is unknown.")
    return [_id_in(gene) or _id_in(name) for gene, name in zip(stated, names, strict=True)]


def _id_in(name: str) -> str:
    """Ensembl id that a name is, without version; ``""`` if it is none."""
    return strip_version(name) if looks_like_ensembl(name) else ""


def _organism(names: Sequence[str], own_ids: Sequence[str], organism: str | None) -> str:
    # Give the organism that was named, or read it off the ids and names.
    if organism is not None:
        return organism
    guess = guess_organism(filter(None, own_ids)) or guess_organism(names)
    if guess == "mixed":
        msg = "The gene names speak for several organisms."
        hint = "split the genes by organism first, or pass `organism=` to map one of them."
        raise InputError(msg, hint=hint)
    if guess is None:
        msg = "The gene names do not tell the organism."
        raise InputError(msg, hint='pass `organism="human"` or `organism="mouse"`.')
    return guess


def _check_aliases(names: Sequence[str], own_ids: Sequence[str], table: GeneTable) -> None:
    # Refuse to judge symbols by a table that knows no former names, unless ids help.
    if table.knows_former_names or any(own_ids) or table.organism != "human":
        return
    if all(not name or name in table.by_symbol for name in names):
        return
    msg = "Aliases and previous symbols of genes are not known on this machine."
    raise InputError(msg, hint="`celloquy data get hgnc`, or `celloquy data add hgnc FILE`.")


def _check_organism(columns: Sequence[_Column], table: GeneTable) -> None:
    # Refuse names none of which is known and which look like another organism's.
    if not columns or any(column.how not in {"unknown", "ambiguous"} for column in columns):
        return
    guess = guess_organism(column.name for column in columns)
    if guess not in {None, table.organism}:
        msg = f"None of {len(columns):,} names is a {table.organism} gene; they look like {guess}."
        hint = "`cq.knowledge.to_human(adata)` maps mouse genes to their human orthologs."
        raise InputError(msg, hint=hint)


def _symbol_of(name: str, own: str, table: GeneTable) -> _Column:
    row, how = table.by_id.get(own, -1), "id"
    if row < 0:
        row, how = table.find(name)
    if row < 0:
        return _Column(name, own, strip_version(name) or own, how, own)
    return _Column(name, own, table.symbols[row], how, table.ids[row] or own)


def _ensembl_of(name: str, own: str, table: GeneTable) -> _Column:
    if own:
        return _Column(name, own, own, "symbol" if name == own else "id", own)
    row, how = table.find(name) if name else (-1, "unknown")
    gene = table.ids[row] if row >= 0 else ""
    return _Column(name, own, gene or name, how if gene or row < 0 else "unknown", gene)


def _human_if_known() -> GeneTable | None:
    """Give the human gene table where there is one; orthologs can do without."""
    try:
        return gene_table("human")
    except InputError:
        return None


def _ortholog_of(
    name: str,
    own: str,
    *,
    table: OrthologTable,
    human: GeneTable | None,
    one_to_many: OneToMany,
) -> _Column:
    found = table.to_human.get(own) or table.to_human.get(name) or ()
    if len(found) > 1:
        if one_to_many == "best":
            found = found[:1]
        elif one_to_many == "namesake" and name.upper() in found:
            found = (name.upper(),)
        else:
            return _Column(name, own, name or own, "ambiguous", own)
    if not found:
        return _Column(name, own, name or own, "unknown", own)
    symbol, gene = found[0], table.human_ids.get(found[0], "")
    row = human.find(gene or symbol)[0] if human else -1
    if human and row >= 0:
        symbol, gene = human.symbols[row], human.ids[row] or gene
    return _Column(name, own, symbol, "ortholog", gene)


def _build(
    columns: Sequence[_Column], record: _Record, collisions: str, *, drop_unmapped: bool
) -> GeneMap:
    # Give every column its position, settle collisions, and count what happened.
    left_out = {"unknown", "ambiguous"} if drop_unmapped else set()
    groups: dict[str, list[int]] = {}
    for number, column in enumerate(columns):
        if column.target and column.how not in left_out:
            groups.setdefault(column.target, []).append(number)
    colliding = [target for target, group in groups.items() if len(group) > 1]
    if colliding and collisions == "refuse":
        raise _collision(colliding, groups, columns)
    if colliding and collisions == "keep":
        groups = _apart(groups, columns)
    positions = [-1] * len(columns)
    first_come = sorted(groups.items(), key=lambda item: item[1][0])
    for position, (_, group) in enumerate(first_come):
        for number in group:
            positions[number] = position
    ids = tuple(_id_of(group, columns) for _, group in first_come)
    names = tuple(name for name, _ in first_come)
    return GeneMap(
        names=names,
        ids=ids if any(ids) else None,
        columns=np.array(positions, dtype=np.int32),
        report=_count(columns, names, positions, record),
    )


def _collision(
    colliding: Sequence[str], groups: dict[str, list[int]], columns: Sequence[_Column]
) -> InputError:
    some = "; ".join(
        f"{target!r} (columns {', '.join(f'{columns[i].name!r}' for i in groups[target][:3])})"
        for target in colliding[:3]
    )
    verb = "stands" if len(colliding) == 1 else "stand"
    plural = "" if len(colliding) == 1 else "s"
    msg = f"{len(colliding):,} gene name{plural} {verb} for several columns each: {some}."
    hint = '`collisions="sum"` (`--collisions sum`) adds their counts; `collisions="keep"` keeps '
    hint += "them apart."
    return InputError(msg, hint=hint)


def _apart(groups: dict[str, list[int]], columns: Sequence[_Column]) -> dict[str, list[int]]:
    """Give every column a name of its own that does not depend on the order of columns."""
    taken = set(groups)
    apart: dict[str, list[int]] = {}
    for target in sorted(groups):
        group = groups[target]
        if len(group) == 1:
            apart[target] = group
            continue
        ranked = sorted(group, key=lambda number: (*_claim(columns[number]), number))
        apart[target] = ranked[:1]
        for number in ranked[1:]:
            name = _suffixed(columns[number], taken)
            taken.add(name)
            apart[name] = [number]
    return apart


def _claim(column: _Column) -> tuple[bool, bool, bool, str, str]:
    """Order columns by their claim to the plain name: the gene's own id, its name, any id."""
    return (
        not column.own_id or column.own_id != column.gene_id,
        column.name != column.target,
        not column.own_id,
        column.own_id,
        column.name,
    )


def _suffixed(column: _Column, taken: set[str]) -> str:
    target, name = column.target, column.name
    if name.startswith((f"{target}.", f"{target}-")) and name not in taken:
        return name  # it has its suffix from an earlier mapping
    stem = target
    if column.own_id and column.own_id != target:
        stem = f"{target}.{column.own_id}"
    elif name and name != target:
        stem = f"{target}.{name}"
    name, number = stem, 0
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    return name


def _id_of(group: Sequence[int], columns: Sequence[_Column]) -> str:
    """Ensembl id of one gene: that of the table, which its columns share, else the least."""
    if len(group) == 1:
        return columns[group[0]].gene_id
    return min((columns[number].gene_id for number in group if columns[number].gene_id), default="")


def _count(
    columns: Sequence[_Column],
    names: tuple[str, ...],
    positions: Sequence[int],
    record: _Record,
) -> MappingReport:
    counts: Counter[str] = Counter(map(_outcome, columns))
    by = Counter(column.how for column in columns if _outcome(column) == "mapped")
    examples: dict[str, list[str]] = {}
    seen: set[int] = set()

    def show(outcome: str, old: str, new: str = "") -> None:
        some = examples.setdefault(outcome, [])
        if len(some) < N_EXAMPLES:
            some.append(f"{old or '(no name)'} → {new}" if new else old or "(no name)")

    for column, position in zip(columns, positions, strict=True):
        outcome = _outcome(column)
        if outcome != "unchanged":
            show(outcome, column.name, column.target if outcome == "mapped" else "")
        if position < 0:
            counts["dropped"] += 1
            show("dropped", column.name)
        elif position in seen:
            counts["merged"] += 1
            show("merged", column.name, column.target)
        elif names[position] != column.target:
            counts["kept_apart"] += 1
            show("kept_apart", column.name, names[position])
        seen.add(position)
    return MappingReport(
        to=record.to,
        source=record.source,
        n_vars=len(columns),
        n_names=len(names),
        **counts,
        mapped_by=dict(by),
        examples={outcome: tuple(some) for outcome, some in examples.items()},
        notes=record.notes,
    )


def _outcome(column: _Column) -> str:
    if not column.target:
        return "blank"
    if column.how in {"unknown", "ambiguous"}:
        return column.how
    return "unchanged" if column.name == column.target else "mapped"
