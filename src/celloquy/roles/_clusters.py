"""Clusters named by a language model from their markers, reconciled with labels of their cells."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy._runtime import count_of
from celloquy.errors import InputError
from celloquy.io import Results, add_results, refuse_taken, write_annotated
from celloquy.knowledge import is_mitochondrial, is_ribosomal
from celloquy.learn import UNKNOWN, choose_cells, cluster_markers, label_codes
from celloquy.roles._asking import as_lm, as_task, record_of_lm, said_of_server
from celloquy.roles._cells import ReadOptions, obs_column, open_cells
from celloquy.roles._cluster_names import Naming
from celloquy.roles._cluster_table import cells_of, evidence_table
from celloquy.roles._labels import read_labels
from celloquy.roles._organism import with_organism
from celloquy.roles._parents import read_parents
from celloquy.roles._reference import gather
from celloquy.roles._targets import is_adata, path_of, refuse_targets
from celloquy.roles.predictor import Annotation

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from celloquy.lm import LanguageModel
    from celloquy.roles._cells import OpenCells
    from celloquy.roles._labels import Labels
    from celloquy.roles._predict_options import Parents
    from celloquy.roles._targets import Source
    from celloquy.tasks import Task

    Markers = dict[str, list[str]]


@dataclass(frozen=True)
class ClusterOptions:
    """How clusters are named.

    Raises
    ------
    InputError
        If a number is out of its range.
    """

    fields: Mapping[str, str] = field(default_factory=dict)
    """Inputs of the task besides the markers: ``{"tissue": "blood", "organism": "human"}``."""
    task: Task | str | os.PathLike[str] = "cluster_cell_type"
    """What is asked; a task with an input of genes."""
    template: int = 0
    """Which of the task's templates is used."""
    n_markers: int = 20
    """The most markers of a cluster that the model is told."""
    n_evidence: int = 100
    """The most markers of a cluster that the panel is compared with."""
    max_cells: int = 10_000
    """Cells that markers are found on at most, chosen evenly over the clusters by `seed`."""
    leave_out_housekeeping: bool = True
    """Whether mitochondrial and ribosomal genes are no markers."""
    free_text: bool = False
    """Whether the model names clusters in its own words although there are labels."""
    min_score: float = 0.5
    """Clusters whose likeliest label has a smaller probability are "unknown" to the model."""
    parents: Parents | None = None
    """Child to parent, or a table of them: a type and its parent agree on the parent."""
    key_added: str | None = None
    """Name of the column of names; `None` makes it ``<clusters>_celloquy``."""
    seed: int = 0
    """Chooses the cells that markers are found on."""
    read: ReadOptions = field(default_factory=ReadOptions)
    """Where expression and gene names are read from."""

    def __post_init__(self) -> None:
        for name in ("n_markers", "n_evidence", "max_cells"):
            if getattr(self, name) < 1:
                msg = f"`{name}` must be at least 1, got {getattr(self, name)}."
                raise InputError(msg, hint="leave it out for the default.")


@dataclass(frozen=True, eq=False)
class NamedClusters:
    """Names of clusters, and the evidence for each."""

    key: str
    """Name of the column of names in obs."""
    table: pd.DataFrame
    """One row a cluster: its `name`, who `decided_by`, whether markers and cells `agree`
    ("yes", "no", or "" where only one was asked), what each of the two said, the panel's view
    and the markers."""
    cells: pd.DataFrame
    """One row a cell: the name of its cluster, the probability of that name if a language model
    gave it one, and who decided; indexed by cell name."""
    record: dict[str, Any]
    """Options, model and task; also in ``uns[key]``."""

    @property
    def disagreements(self) -> pd.DataFrame:
        """The clusters on which markers and cells do not agree."""
        return self.table[self.table["agree"] == "no"]

    def __str__(self) -> str:
        n_named = int((self.table["name"] != UNKNOWN).sum())
        others = ", the others unknown" if n_named < len(self.table) else ""
        lines = [f"{len(self.table)} clusters · {n_named} named{others}"]
        lines += [
            f"  {row['cluster']}: {row['name']} ({count_of(row['n_cells'], 'cells')}; "
            f"{row['decided_by']})"
            for row in self.table.to_dict("records")
        ]
        if len(self.disagreements):
            lines.append(f"markers and cells disagree on {len(self.disagreements)}:")
        lines += [
            f"  {row['cluster']}: {row['by_markers']!r} by its markers ({row['markers']}), "
            f"{row['by_cells']!r} by {row['share']:.0%} of its cells; the panel: "
            f"{row['panel_says'] or 'nothing'}"
            for row in self.disagreements.to_dict("records")
        ]
        return "\n".join(lines)


def name_clusters(
    source: Source,
    *,
    clusters: str,
    lm: LanguageModel | str,
    labels: Labels | None = None,
    per_cell: str | Annotation | None = None,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    options: ClusterOptions | None = None,
) -> NamedClusters:
    """Let a language model name clusters from their markers, and reconcile with their cells.

    A fast labeller knows each cell; a language model knows genes and tissues. Where the two
    say the same, that is the name. Where one is the parent of the other, the parent is. Else
    the one with the larger share of the marker panel's genes among the cluster's markers is;
    where the panel cannot tell, the cells' name is, if at least 80 % of them have it; else the
    cluster is "unknown". Disagreements are listed with the evidence.

    Parameters
    ----------
    source
        Cells: an AnnData, which gets the columns in place, or a file, which is left as it is.
    clusters
        Column of obs with the clusters, at least two of them.
    lm
        A loaded language model, or what :func:`celloquy.load_lm` takes. It is told the
        markers and the fields of the options, nothing of single cells.
    labels
        The labels to choose from, or a text file with one a line. `None` takes those of
        `per_cell`; without these the model names clusters in its own words, which are then
        looked up in the marker panel and the Cell Ontology and marked if they are unknown
        there.
    per_cell
        Labels of cells: what :func:`annotate` gave, whose columns are then written too, or a
        column of obs. `None` names clusters by markers alone.
    out
        Copy of the file `source` to write with the columns added; only for files.
    overwrite
        Whether `out`, and columns and a record of the same name, are replaced.
    options
        Everything else.

    Returns
    -------
    The names, with the evidence of each.

    Raises
    ------
    InputError
        If a column is missing or taken, there are fewer than two clusters, or model and task
        do not fit.

    Notes
    -----
    Markers are found on a seeded sample (:func:`celloquy.learn.cluster_markers`).
    """
    options = options or ClusterOptions()
    key = options.key_added or f"{clusters}_celloquy"
    columns = [key, f"{key}_score", f"{key}_decided_by"]
    annotated = {} if not isinstance(per_cell, Annotation) or out is None else _written(per_cell)
    targets = {"obs": [*columns, *annotated], "uns": [key, *([per_cell.key] if annotated else [])]}  # type: ignore[union-attr]
    refuse_targets(source, targets, out=out, overwrite=overwrite)
    parents = {} if options.parents is None else read_parents(options.parents)
    with open_cells(source, verb="annotate", read=options.read) as opened:
        if out is not None:
            refuse_taken(opened.stream, targets, overwrite=overwrite)
        members = obs_column(opened.stream, clusters).astype(object)
        opened.warn_of_ensembl_ids(None)
        said = _labels_of_cells(opened, per_cell)
        naming = _naming(options, lm, labels, said, genes=opened.genes.names)
        markers = find_markers(opened, members, options)
        index = opened.stream.obs().index
        record = _record(opened, naming, options, clusters=clusters, per_cell=per_cell)
        measured = opened.genes.names
    told = {name: genes[: options.n_markers] for name, genes in markers.items()}
    named = naming.ask(told)
    table = evidence_table(
        named, markers, members, said, measured=measured, parents=parents, told=told
    )
    cells = cells_of(key, table, members, index)
    record["lm"] |= said_of_server(naming.lm)
    found = NamedClusters(key, table, cells, record)
    results = Results(
        obs={**annotated, **{name: cells[name] for name in columns}},
        uns={key: {**record, "table": table}, **_record_of(per_cell if annotated else None)},
    )
    if out is not None:
        write_annotated(path_of(source), out, results=results, overwrite=overwrite)
    elif is_adata(source):
        add_results(source, results)
    return found


def plan_clusters(
    source: Source,
    *,
    clusters: str,
    lm: LanguageModel | str,
    labels: Labels | None = None,
    options: ClusterOptions | None = None,
) -> str:
    """Show the first prompt that :func:`name_clusters` would ask, and to whom; nothing is asked.

    Parameters
    ----------
    source, clusters, lm, labels, options
        See :func:`name_clusters`.

    Returns
    -------
    The prompt, or the exact request to a server with the cost of all.
    """
    options = options or ClusterOptions()
    with open_cells(source, verb="annotate", read=options.read) as opened:
        members = obs_column(opened.stream, clusters).astype(object)
        opened.warn_of_ensembl_ids(None)
        naming = _naming(options, lm, labels, None, genes=opened.genes.names)
        markers = find_markers(opened, members, options)
    told = {name: genes[: options.n_markers] for name, genes in markers.items() if genes}
    return naming.shown(told)


def find_markers(opened: OpenCells, members: pd.Series[Any], options: ClusterOptions) -> Markers:
    """Find the markers of each cluster on a sample of its cells.

    Raises
    ------
    InputError
        If there are fewer than two clusters.
    """
    rows = np.flatnonzero(members.notna().to_numpy())
    names = [str(name) for name in members.iloc[rows]]
    if len(set(names)) < 2:
        n = len(set(names))
        msg = f"`obs` column {str(members.name)!r} has {n} clusters, and two are needed."
        raise InputError(msg, hint="markers tell a cluster from the others.")
    kinds, codes = label_codes(names)
    chosen = choose_cells(codes, max_cells=options.max_cells, seed=options.seed)
    block, _ = gather(opened, rows[chosen], None)
    usable = None
    if options.leave_out_housekeeping:
        genes = block.vocabulary.names
        usable = ~(is_mitochondrial(genes) | is_ribosomal(genes))
    most = max(options.n_markers, options.n_evidence)
    found = cluster_markers(block, [names[i] for i in chosen], n_markers=most, usable=usable)
    by_cluster = found.groupby("cluster", sort=False)["gene"].agg(list).to_dict()
    order = sorted(
        kinds, key=lambda name: (not name.isdecimal(), len(name) * name.isdecimal(), name)
    )
    return {name: by_cluster.get(name, []) for name in order}


def _naming(
    options: ClusterOptions,
    lm: LanguageModel | str,
    labels: Labels | None,
    said: pd.Series[Any] | None,
    *,
    genes: Sequence[str],
) -> Naming:
    """Put model, task and labels together."""
    chosen = None if labels is None else read_labels(labels)
    if chosen is None and said is not None and not options.free_text:
        known = [str(label) for label in said.cat.categories if label != UNKNOWN]
        chosen = tuple(known) if len(known) > 1 else None
    task = as_task(options.task)
    fields = with_organism(options.fields, task, genes)
    naming = Naming(
        task, as_lm(lm), chosen, fields, options.template, options.min_score, options.seed
    )
    naming.check()
    return naming


def _labels_of_cells(opened: OpenCells, per_cell: str | Annotation | None) -> pd.Series[Any] | None:
    """Give the label of each cell, "unknown" where it has none.

    Raises
    ------
    InputError
        If an annotation is of other cells.
    """
    if per_cell is None:
        return None
    if isinstance(per_cell, str):
        given = obs_column(opened.stream, per_cell)
        words = given.astype(object).where(given.notna(), UNKNOWN).astype(str)
        return words.astype("category")
    if len(per_cell.table) != opened.stream.n_obs or not per_cell.table.index.equals(
        opened.stream.obs().index
    ):
        msg = f"The annotation is of {len(per_cell.table):,} cells, and not of these."
        raise InputError(msg, hint="annotate the same file first.")
    return per_cell.labels


def _written(annotation: Annotation) -> dict[str, pd.Series[Any]]:
    return {str(name): annotation.table[name] for name in annotation.table}


def _record_of(annotation: Annotation | str | None) -> dict[str, dict[str, Any]]:
    return {annotation.key: annotation.record} if isinstance(annotation, Annotation) else {}


def _record(
    opened: OpenCells,
    naming: Naming,
    options: ClusterOptions,
    *,
    clusters: str,
    per_cell: str | Annotation | None,
) -> dict[str, Any]:
    """Say what is done, in plain values that h5ad can hold."""
    numbers = {
        name: getattr(options, name)
        for name in ("n_markers", "n_evidence", "max_cells", "leave_out_housekeeping", "seed",
                     "min_score", "template")
    }  # fmt: skip
    column = per_cell.key if isinstance(per_cell, Annotation) else per_cell or ""
    return {
        "verb": "name_clusters",
        "celloquy": version("celloquy"),
        "slot": opened.stream.slot,
        "kind": opened.kind.kind,
        "clusters": clusters,
        "per_cell": column,
        "task": {"name": naming.task.name, "sha256": naming.task.sha256},
        "lm": record_of_lm(naming.lm),
        "fields": dict(naming.fields),
        "labels": list(naming.labels or ()),
        "calibrated": False,
        **numbers,
    }
