"""Cell2Sentence's folder of cell sentences as a source: ranks without expression."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from celloquy._runtime import closest, sha256_of
from celloquy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from celloquy.text import Vocabulary
    from celloquy.training._corpus_sources import GeneUnion
    from celloquy.training._recipe_corpus import SourcePart

STATE = "state.json"
NAME, SENTENCE = "cell_name", "cell_sentence"
"""Columns that every folder of Cell2Sentence has (AF-25)."""
_BATCH = 10_000


def is_sentence_folder(path: str) -> bool:
    """Say whether a path is a folder that the library `datasets` saved."""
    folder = Path(path)
    return (folder / STATE).is_file() or (folder / "dataset_dict.json").is_file()


class SentenceFolder:
    """Cells as sentences that another program wrote.

    Parameters
    ----------
    part
        What the recipe says of the folder.
    union
        The genes of all sources; those of this one are added.
    is_known
        Whether they were added before.

    Raises
    ------
    InputError
        If it holds several data sets, is damaged, or has no cell sentences.
    """

    def __init__(self, part: SourcePart, *, union: GeneUnion, is_known: bool = False) -> None:
        self._path = Path(part.path)
        self._table = read_arrow_folder(self._path)
        if SENTENCE not in self._table.column_names:
            msg = f"'{self._path.name}' has no column {SENTENCE!r}"
            msg += f"{closest(SENTENCE, self._table.column_names)}."
            raise InputError(msg, hint=f"it has: {', '.join(self._table.column_names)}.")
        self.n_obs = len(self._table)
        self.names = () if is_known else self._read_names()
        self.own_names = self.names
        self.choice = True
        union.columns(self.names, np.empty(0, np.int32))

    def _read_names(self) -> tuple[str, ...]:
        """Read the names of all genes, sorted."""
        words: set[str] = set()
        for start in range(0, self.n_obs, _BATCH):
            found = pc.unique(self._words(start, min(start + _BATCH, self.n_obs)).flatten())
            words.update(found.to_pylist())
        return tuple(sorted(words - {""}))

    def _words(self, start: int, stop: int) -> pa.ListArray:
        texts = self._table[SENTENCE].slice(start, stop - start).combine_chunks()
        return pc.utf8_split_whitespace(texts.cast(pa.string()))

    def obs(self, columns: Sequence[str]) -> pd.DataFrame:
        """Read columns, indexed by cell name.

        Parameters
        ----------
        columns
            Names of the columns.

        Raises
        ------
        InputError
            If there is no such column.
        """
        for column in columns:
            if column not in self._table.column_names:
                msg = f"'{self._path.name}' has no column {column!r}"
                msg += f"{closest(column, self._table.column_names)}."
                raise InputError(msg, hint=f"it has: {', '.join(self._table.column_names)}.")
        names = [str(i) for i in range(self.n_obs)]
        if NAME in self._table.column_names:
            names = self._table[NAME].to_pylist()
        frame: pd.DataFrame = self._table.select(list(columns)).to_pandas()
        return frame.set_axis(pd.Index(names, dtype=object), axis=0)

    def fingerprint(self) -> dict[str, Any]:
        """Say what makes this folder this folder."""
        files = sorted(self._path.glob("*.arrow"))
        return {
            "source": self._path.name,
            "slot": SENTENCE,
            "n_obs": self.n_obs,
            "n_vars": len(self.names),
            "sha256": {file.name: sha256_of(file) for file in files},
        }

    def ranked(
        self, start: int, stop: int, vocabulary: Vocabulary, *, n_top_genes: int | None
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], None]:
        """Give the genes of cells `start` to `stop`: places in the vocabulary, and offsets."""
        words = self._words(start, stop)
        lengths = np.diff(words.offsets.to_numpy()).astype(np.int64)
        if n_top_genes is not None:
            place = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
            flat = words.flatten().filter(pa.array(place < n_top_genes))
            lengths = np.minimum(lengths, n_top_genes)
        else:
            flat = words.flatten()
        names = pa.array(vocabulary.names, pa.string())
        genes = pc.index_in(flat, names).to_numpy(zero_copy_only=False).astype(np.int32)
        return genes, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), None

    def close(self) -> None:
        """Close the files."""
        self._table = self._table.slice(0, 0)


def read_arrow_folder(path: Path) -> pa.Table:
    """Read a folder that the library `datasets` saved, mapped into memory.

    Parameters
    ----------
    path
        The folder.

    Raises
    ------
    InputError
        If it holds several data sets, or is damaged.
    """
    if not (path / STATE).is_file():
        inner = sorted(one.name for one in path.iterdir() if (one / STATE).is_file())
        msg = f"'{path.name}' holds {len(inner)} data sets: {', '.join(inner) or 'none'}."
        raise InputError(
            msg, hint=f"name one of them, such as '{path.name}/{(inner or ['train'])[0]}'."
        )
    try:
        state = json.loads((path / STATE).read_text("utf-8"))
        files = [path / entry["filename"] for entry in state["_data_files"]]
        parts = [pa.ipc.open_stream(pa.memory_map(str(file))).read_all() for file in files]
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowInvalid) as error:
        msg = f"'{path.name}' is not a whole folder of `datasets`: {error}"
        raise InputError(msg, hint="save it again with `save_to_disk`.") from error
    if not parts:
        msg = f"'{path.name}' holds no file of examples."
        raise InputError(msg, hint="save it again with `save_to_disk`.")
    return pa.concat_tables(parts)
