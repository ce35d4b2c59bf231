"""The files of a corpus: columns, parts in the order of their sources, then shards in none.

Examples are made source by source and written as parts that are sorted by a key of chance. Each
shard then takes its span of keys out of every part: the shards together are one random order of
all examples, and no more than a shard is in memory.
"""

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
_TOGETHER = 1_024
"""Rows of a part that are read together."""
_MADE = pa.schema([pa.field("order", pa.uint64()), *COLUMNS])


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
    return pa.Table.from_arrays([columns[name] for name in _MADE.names], schema=_MADE)


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
    whole = pa.concat_tables([_MADE.empty_table(), *tables]).unify_dictionaries().combine_chunks()
    parts = _codes(whole, "part", PARTS)
    order = whole["order"].to_numpy()
    sorted_rows = whole.take(pa.array(np.lexsort((order, parts))))
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, whole.schema) as writer:
        writer.write_table(sorted_rows.combine_chunks(), max_chunksize=_TOGETHER)
    counts: dict[str, dict[str, int]] = {}
    grouped = (
        whole.select(["part", "task"]).group_by(["part", "task"]).aggregate([([], "count_all")])
    )
    for row in grouped.to_pylist():
        counts.setdefault(row["part"], {})[row["task"]] = row["count_all"]
    return counts


def _codes(table: pa.Table, column: str, words: Sequence[str]) -> NDArray[np.int64]:
    """Give the place of each row's word among some words."""
    found = pc.index_in(table[column].cast(pa.string()), pa.array(list(words)))
    codes: NDArray[np.int64] = found.to_numpy().astype(np.int64)
    return codes


class MadeParts:
    """Finished parts: of each, a shard reads the rows of its span of keys, and a few around them.

    Parts are read, not mapped into memory: of a mapped file, each page that was looked at stays.

    Parameters
    ----------
    paths
        Their files.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._spans = [(path, _spans(path)) for path in paths]

    def count(self, part: int) -> int:
        """Count the examples of a part."""
        return sum(int(spans[:, part, 0].sum()) for _, spans in self._spans)

    def shard(self, part: int, number: int, n_shards: int) -> pa.Table:
        """Give the examples of one span of keys, in their random order.

        Parameters
        ----------
        part
            Place of the part.
        number, n_shards
            Which of how many spans.
        """
        low = np.uint64(number * 2**64 // n_shards)
        high = np.uint64((number + 1) * 2**64 // n_shards - 1)
        taken = [_MADE.empty_table()]
        for path, spans in self._spans:
            n, lowest, highest = spans[:, part].T
            found = np.flatnonzero((n > 0) & (lowest <= high) & (highest >= low))
            if not len(found):
                continue
            with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
                for batch in map(reader.get_batch, found):
                    rows = pa.Table.from_batches([batch])
                    orders = rows["order"].to_numpy()
                    here = (
                        (orders >= low) & (orders <= high) & (_codes(rows, "part", PARTS) == part)
                    )
                    taken.append(rows.filter(pa.array(here)))
        whole = pa.concat_tables(taken).unify_dictionaries().combine_chunks()
        del taken
        place = np.argsort(whole["order"].to_numpy(), kind="stable")
        return whole.take(pa.array(place)).drop_columns(["order"])


def _spans(path: Path) -> NDArray[np.uint64]:
    """Give rows, lowest and highest key of each batch and part; shape ``(batches, 3, 3)``."""
    columns = [_MADE.get_field_index(name) for name in ("order", "part")]
    options = pa.ipc.IpcReadOptions(included_fields=columns)
    with pa.OSFile(str(path)) as file, pa.ipc.open_file(file, options=options) as reader:
        found = np.zeros((reader.num_record_batches, len(PARTS), 3), np.uint64)
        for number in range(len(found)):
            rows = pa.Table.from_batches([reader.get_batch(number)])
            orders, parts = rows["order"].to_numpy(), _codes(rows, "part", PARTS)
            for part in np.unique(parts):
                own = orders[parts == part]
                found[number, part] = len(own), own.min(), own.max()
    return found


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
