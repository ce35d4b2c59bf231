"""The files of a corpus: columns, the parts that are made source by source, and the shards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from celloquy.training._corpus_draw import keys_for
from celloquy.training._recipe_corpus import PARTS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from celloquy.training._corpus_tasks import CorpusTask
    from celloquy.training._objectives import Examples, Ragged

SCHEMA = 1
"""Version of the columns and of the record."""
_GENES = pa.list_(pa.list_(pa.int32()))
_WORD = pa.dictionary(pa.int16(), pa.string())
COLUMNS = pa.schema(
    [
        pa.field("task", _WORD),
        pa.field("template", pa.int16()),
        pa.field("values", pa.string()),
        pa.field("genes", _GENES),
        pa.field("answer", pa.string()),
        pa.field("answer_genes", _GENES),
        pa.field("prompt", pa.string()),
        pa.field("part", _WORD),
        pa.field("source", _WORD),
        pa.field("row", pa.int64()),
        pa.field("group", pa.string()),
    ]
)
"""Columns of the shards. ``genes`` has one list for each input that is filled with genes, in the
task's order, and one a cell where it is about several. Either ``answer`` or ``answer_genes`` is
there. ``prompt`` is the text of examples that another program wrote."""
TOGETHER = 256
"""Rows of a part that are read together."""
MADE = pa.schema([pa.field("order", pa.uint64()), *COLUMNS])


def rows_of(
    task: CorpusTask,
    examples: Examples,
    *,
    templates: NDArray[np.int16],
    source: str,
    rows: NDArray[np.int64],
    groups: pa.Array | None,
) -> pa.Table:
    """Give examples as rows with their place in the random order.

    Parameters
    ----------
    task, examples
        What is asked, and the columns.
    templates
        Template of each example.
    source
        Name of the file they come from.
    rows
        Row of each in that file.
    groups
        What each was split by; `None` where it was no word.
    """
    n = len(examples.drawn)
    none_of = {field.name: pa.nulls(n, field.type) for field in COLUMNS}
    columns: dict[str, Any] = {
        **none_of,
        "order": pa.array(keys_for(examples.drawn.keys, "order", task.name)),
        "task": _constant(task.name, n),
        "template": pa.array(templates),
        "values": examples.values,
        "genes": _nested(examples.genes, examples.lists),
        "part": pa.DictionaryArray.from_arrays(
            pa.array(examples.drawn.parts.astype(np.int16)), pa.array(list(PARTS))
        ),
        "source": _constant(source, n),
        "row": pa.array(rows.astype(np.int64)),
    }
    if examples.answers is not None:
        columns["answer"] = examples.answers
    if examples.answer_genes is not None and examples.answer_lists is not None:
        columns["answer_genes"] = _nested(examples.answer_genes, examples.answer_lists)
    if groups is not None:
        columns["group"] = groups
    return pa.Table.from_arrays([columns[name] for name in MADE.names], schema=MADE)


def _constant(text: str, n: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int16)), pa.array([text]))


def _nested(genes: Ragged, lists: NDArray[np.int64]) -> pa.ListArray:
    inner = pa.ListArray.from_arrays(
        pa.array(genes.offsets.astype(np.int32)), pa.array(genes.flat, pa.int32())
    )
    return pa.ListArray.from_arrays(pa.array(lists.astype(np.int32)), inner)


def write_part(tables: Sequence[pa.Table], path: Path) -> dict[str, dict[str, int]]:
    """Write rows by part and place in the random order; count them by part and task.

    Parameters
    ----------
    tables
        Rows of some tasks.
    path
        The Arrow file.
    """
    whole = pa.concat_tables([MADE.empty_table(), *tables]).unify_dictionaries().combine_chunks()
    parts = part_codes(whole)
    order = whole["order"].to_numpy()
    sorted_rows = whole.take(pa.array(np.lexsort((order, parts))))
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, whole.schema) as writer:
        writer.write_table(sorted_rows.combine_chunks(), max_chunksize=TOGETHER)
    counts: dict[str, dict[str, int]] = {}
    grouped = (
        whole.select(["part", "task"]).group_by(["part", "task"]).aggregate([([], "count_all")])
    )
    for row in grouped.to_pylist():
        counts.setdefault(row["part"], {})[row["task"]] = row["count_all"]
    return counts


def part_codes(table: pa.Table) -> NDArray[np.int64]:
    """Give the place of each row's part.

    Parameters
    ----------
    table
        Rows of a corpus.
    """
    found = pc.index_in(table["part"].cast(pa.string()), pa.array(list(PARTS)))
    codes: NDArray[np.int64] = found.to_numpy().astype(np.int64)
    return codes


def write_shard(table: pa.Table, path: Path) -> None:
    """Write rows as a Parquet file.

    Parameters
    ----------
    table
        The rows.
    path
        The file.
    """
    pq.write_table(
        table.combine_chunks(),
        path,
        row_group_size=10_000,
        compression="zstd",
        compression_level=1,
        use_dictionary=["task", "part", "source", "values", "answer", "group"],
        write_statistics=["template", "row"],
    )
