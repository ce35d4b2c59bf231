"""Sentences of any number of cells, straight to Parquet, in memory bounded by a chunk."""

from __future__ import annotations

import json
import shutil
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from celloquy._runtime import (
    Drain,
    Part,
    Progress,
    Shard,
    ShardPlan,
    ShardResult,
    atomic_path,
    refuse_existing,
    run_shards,
)
from celloquy.errors import InputError
from celloquy.io import open_stream
from celloquy.text._arrow import KEY, cut_of, parquet_writer, record_of, rows_of, schema_of
from celloquy.text._fields import require_columns
from celloquy.text._obs_columns import ObsColumns
from celloquy.text._parquet_join import join_parquet
from celloquy.text._rank import RankBuffers
from celloquy.text._ranked import RankedCells
from celloquy.text._sentences import ALL_GENES, CellSentences, SentenceJob
from celloquy.text._styles import Style, get_style

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from anndata import AnnData

    from celloquy.io import CellStream
    from celloquy.text._gene_choice import GeneOptions

CHUNKS_A_GROUP = 10
"""The most chunks that make one row group."""
GROUP_BYTES = 32 * 2**20
"""Bytes from which on they make one even if they are fewer; up to three live at a time."""
CHUNKS_AT_ONCE = 3
"""Chunks between ranking and being rendered."""
PARTS = ".parts"
"""Ending of the folder that holds the parts of a file that is not whole yet."""


@dataclass(frozen=True)
class WriteOptions:
    """How sentences are written to files.

    Raises
    ------
    InputError
        If a size is below 1.
    """

    obs_columns: tuple[str, ...] | None = None
    """Columns of obs to write; `None` writes all. Those the style reads are always written."""
    values: bool = False
    """Whether the expression of every named gene is written, too."""
    overwrite: bool = False
    """Whether an existing file, or a folder of another run, is replaced."""
    chunk_size: int = 1_000
    """Cells read and ranked at once."""
    part_size: int = 100_000
    """Cells a part holds: what is done again at most after a run was killed."""
    progress: bool = False
    """Whether a line on stderr counts the cells."""

    def __post_init__(self) -> None:
        for name in ("chunk_size", "part_size"):
            if getattr(self, name) < 1:
                msg = f"`{name}` must be at least 1, got {getattr(self, name)}."
                raise InputError(msg, hint="leave it out for the default.")


@dataclass(frozen=True)
class WrittenSentences:
    """What was written."""

    path: Path
    n_obs: int
    """Cells."""
    n_genes_named: int
    """Genes named, over all cells."""
    n_genes_cut: int
    """Expressed genes that are not named, over all cells."""
    n_cells_cut: int
    """Cells with such genes."""


AS_PARQUET = WriteOptions()
"""All obs columns, no expression values, nothing overwritten."""


def write_sentences(  # noqa: PLR0913 (the arguments of `sentences`, where to, and how)
    source: AnnData | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    n_top_genes: int | None = 200,
    style: str | Style = "celloquy",
    obs_features: Sequence[str] = (),
    layer: str | None = None,
    use_raw: bool = False,
    genes: GeneOptions = ALL_GENES,
    files: WriteOptions = AS_PARQUET,
) -> WrittenSentences:
    """Write the sentences of all cells of a source to Parquet, in bounded memory.

    The columns are ``obs_name``, ``text``, ``genes`` (positions in the vocabulary),
    ``n_named``, ``n_cut`` and those of obs; vocabulary, options, source and versions lie as
    JSON in the file's metadata under ``celloquy``. `datasets.load_dataset("parquet", …)`
    opens the files, and :func:`celloquy.text.read_sentences` reads them back.

    A run that was killed is started again with the same arguments and goes on where it was:
    a file of more cells than `part_size` is gathered from a folder of parts beside it.

    Parameters
    ----------
    source, n_top_genes, style, obs_features, layer, use_raw, genes
        See :func:`celloquy.text.sentences`.
    out
        A name that ends in ``.parquet`` gives one file; any other, a folder of parts.
    files
        How the files are written.

    Raises
    ------
    InputError
        If `out` is taken, or something of the source cannot be used.
    """
    out, chosen = Path(out), get_style(style)
    is_file = out.suffix == ".parquet"
    if is_file:
        refuse_existing(out, overwrite=files.overwrite)
    with open_stream(source, layer=layer, use_raw=use_raw) as stream:
        job = SentenceJob.of(
            stream, source=source, n_top_genes=n_top_genes, style=chosen,
            obs_features=obs_features, genes=genes,
        )  # fmt: skip
        writing = _Writing(stream, job, files)
        counter = Progress(stream.n_obs, unit="cells") if files.progress else nullcontext()
        with counter as progress:
            writing.progress = progress
            if is_file and stream.n_obs <= files.part_size:
                with atomic_path(out, overwrite=files.overwrite) as temporary:
                    result = writing.write(Shard(0, 0, stream.n_obs, 0), temporary)
                found = [result.facts]
            else:
                folder = out.with_name(f".{out.name}{PARTS}") if is_file else out
                parts = run_shards(
                    writing.plan(), writing.write, folder=folder, overwrite=files.overwrite
                )
                found = [part.facts for part in parts]
                if is_file:
                    _gather(parts, out, overwrite=files.overwrite)
                    shutil.rmtree(folder)
            if progress is not None:
                progress.note(out.name)
    return WrittenSentences(out, **_summed(found))


class _Writing:
    """One job of writing: the open stream, what is asked of it, and its obs rows."""

    def __init__(self, stream: CellStream, job: SentenceJob, files: WriteOptions) -> None:
        self.stream, self.job, self.files = stream, job, files
        self.progress: Progress | None = None
        wanted = stream.obs_columns if files.obs_columns is None else files.obs_columns
        require_columns(wanted, stream.obs_columns)
        spoken = job.style.columns(job.obs_features)
        obs = stream.obs(tuple(dict.fromkeys((*wanted, *spoken))))
        self.schema = schema_of(obs, job.choice.vocabulary, values=files.values)
        self.obs_columns = ObsColumns.of(obs, self.schema)
        self.spoken: pd.DataFrame = obs[list(spoken)]
        self.buffers = [RankBuffers() for _ in range(CHUNKS_AT_ONCE)]

    def plan(self) -> ShardPlan:
        """Say what makes this job this job; a folder of another one is refused."""
        whole = record_of(self._sentences(0, _no_cells(self.job)))
        source = whole.pop("source")
        whole["vocabulary"] = whole["vocabulary"]["fingerprint"]
        config = {**whole, "values": self.files.values, "columns": self.schema.names}
        return ShardPlan.cut(
            self.stream.n_obs, shard_size=self.files.part_size, inputs=source, config=config
        )

    def write(self, shard: Shard, path: Path) -> ShardResult:
        """Write one part: ranked here, rendered and compressed by other threads."""
        totals = [cut_of(_no_cells(self.job))]
        with (
            parquet_writer(path, self.schema) as writer,
            Drain(path) as drain,
            ThreadPoolExecutor(1) as pool,
        ):
            waiting: deque[Future[None]] = deque()
            for group in _groups(self._batches(shard, totals)):
                table = pa.Table.from_batches(group, self.schema)
                waiting.append(pool.submit(writer.write_table, table, len(table)))
                if len(waiting) > 1:
                    waiting.popleft().result()
                    drain.flow()
            for future in waiting:
                future.result()
            cut = _summed(totals)
            record = {**record_of(self._sentences(0, _no_cells(self.job))), "cut": cut}
            writer.add_key_value_metadata({KEY: json.dumps(record)})
        return ShardResult(shard.stop - shard.start, cut)

    def _batches(self, shard: Shard, totals: list[dict[str, int]]) -> Iterator[pa.RecordBatch]:
        """Give the rows chunk by chunk, in order; add what each does not name to `totals`."""
        chunks = self.job.ranked(
            self.stream,
            start=shard.start,
            stop=shard.stop,
            chunk_size=self.files.chunk_size,
            buffers=self.buffers,
        )
        with ThreadPoolExecutor(CHUNKS_AT_ONCE) as pool:
            waiting: deque[Future[pa.RecordBatch]] = deque()
            for start, ranked in chunks:
                totals.append(cut_of(ranked))
                waiting.append(pool.submit(self._rows, start, ranked))
                if len(waiting) == CHUNKS_AT_ONCE:  # before its buffers are used again
                    yield self._done(waiting.popleft())
            while waiting:
                yield self._done(waiting.popleft())

    def _rows(self, start: int, ranked: RankedCells) -> pa.RecordBatch:
        beside = self.obs_columns.rows(start, start + ranked.n_obs)
        return rows_of(self._sentences(start, ranked), self.schema, beside)

    def _done(self, rendered: Future[pa.RecordBatch]) -> pa.RecordBatch:
        batch = rendered.result()
        if self.progress is not None:
            self.progress.advance(batch.num_rows)
        return batch

    def _sentences(self, start: int, ranked: RankedCells) -> CellSentences:
        obs = self.spoken.iloc[start : start + ranked.n_obs]
        return CellSentences(ranked, obs, self.job.style, self.job.obs_features, self.job.record)


def _groups(batches: Iterator[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """Gather chunks into row groups."""
    group: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        group.append(batch)
        size += batch.nbytes
        if len(group) == CHUNKS_A_GROUP or size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _no_cells(job: SentenceJob) -> RankedCells:
    none = np.empty(0, np.int32)
    start = np.zeros(1, np.int64)
    return RankedCells(none, start, np.empty(0, np.float32), none, job.choice.vocabulary)


def _summed(counts: Sequence[Any]) -> dict[str, int]:
    return {name: sum(int(count[name]) for count in counts) for name in counts[0]}


def _gather(parts: Sequence[Part], out: Path, *, overwrite: bool) -> None:
    """Put the parts' row groups into one file, in order."""
    record = json.loads(pq.read_metadata(parts[0].path).metadata[KEY])
    record["cut"] = _summed([part.facts for part in parts])
    with atomic_path(out, overwrite=overwrite) as temporary:
        join_parquet([part.path for part in parts], temporary, {KEY: json.dumps(record).encode()})
