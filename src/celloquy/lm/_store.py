"""Vectors that were computed before, by what was embedded and with what: one SQLite file."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence
    from types import TracebackType

    from numpy.typing import NDArray

SCHEMA_VERSION = 1
MAX_BYTES = 2 << 30
"""Size at which the oldest vectors leave the store."""
_ASKED_AT_ONCE = 900
_CHECK_BYTES = 8
_WAIT_SECONDS = 60.0


def vector_key(recipe: str, ids: NDArray[np.int32]) -> bytes:
    """Key of one vector: BLAKE2b of how it was made and of its token ids, 16 bytes.

    Examples
    --------
    >>> ids = np.array([101, 102], dtype=np.int32)
    >>> vector_key("a", ids) == vector_key("a", ids), vector_key("a", ids) == vector_key("b", ids)
    (True, False)
    """
    return hashlib.blake2b(ids.tobytes(), digest_size=16, key=_short(recipe)).digest()


def _short(recipe: str) -> bytes:
    return hashlib.blake2b(recipe.encode(), digest_size=32).digest()


class VectorStore:
    """A file of vectors; several processes may read and write it at once.

    A vector is written whole or not at all, whatever kills the writer, and carries a checksum:
    one that does not match counts as absent. Use it as a context manager.

    Parameters
    ----------
    path
        The SQLite file, made if it is not there. A file that is no store of this version is
        replaced.
    max_bytes
        Size at which the oldest quarter of the vectors is dropped.
    """

    def __init__(self, path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES) -> None:
        self._path = Path(path)
        self._max_bytes = max_bytes
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._open()

    def __enter__(self) -> VectorStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self, *, is_broken: bool = False) -> None:
        """Close the file.

        Parameters
        ----------
        is_broken
            Whether to remove it too, so that it is made anew the next time.
        """
        self._file.close()
        if is_broken:
            self._remove()

    def _remove(self) -> None:
        self._path.unlink(missing_ok=True)
        self._path.with_name(f"{self._path.name}-journal").unlink(missing_ok=True)

    def _open(self) -> sqlite3.Connection:
        """Open the file; one that is broken or of another version is emptied.

        Raises
        ------
        sqlite3.DatabaseError
            If the file is locked, or the disk read-only or full: no fault of its content.
        """
        try:
            return self._opened()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            self._remove()
            return self._opened()

    def _opened(self) -> sqlite3.Connection:
        file = sqlite3.connect(self._path, timeout=_WAIT_SECONDS)
        try:
            (version,) = file.execute("PRAGMA user_version").fetchone()
            with file:
                if version not in {0, SCHEMA_VERSION}:
                    file.execute("DROP TABLE IF EXISTS vectors")
                file.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB UNIQUE, vector BLOB)")
                if version != SCHEMA_VERSION:
                    file.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        except sqlite3.Error:
            file.close()
            raise
        return file

    def __len__(self) -> int:
        return int(self._file.execute("SELECT count(*) FROM vectors").fetchone()[0])

    def find(self, keys: Sequence[bytes], n_dimensions: int) -> dict[bytes, NDArray[np.float32]]:
        """Give the vectors that are here, whole and of the right length.

        Parameters
        ----------
        keys
            Keys of :func:`vector_key`.
        n_dimensions
            Dimensions of a vector.
        """
        n_bytes = 4 * n_dimensions
        found = {}
        for start in range(0, len(keys), _ASKED_AT_ONCE):
            some = keys[start : start + _ASKED_AT_ONCE]
            marks = ",".join("?" * len(some))
            rows = self._file.execute(
                f"SELECT key, vector FROM vectors WHERE key IN ({marks})",  # marks only
                some,
            )
            for key, stored in rows:
                data = stored[:n_bytes]
                if len(stored) == n_bytes + _CHECK_BYTES and stored[n_bytes:] == _check(key, data):
                    found[key] = np.frombuffer(data, dtype="<f4").astype(np.float32, copy=False)
        return found

    def add(self, keys: Iterable[bytes], vectors: NDArray[np.float32]) -> None:
        """Write vectors; all of them or, if the process dies, none.

        Parameters
        ----------
        keys
            Keys of :func:`vector_key`.
        vectors
            One vector a key; shape ``(n, d)``.
        """
        lines = [vector.astype("<f4").tobytes() for vector in vectors]
        rows = ((key, line + _check(key, line)) for key, line in zip(keys, lines, strict=True))
        with self._file:
            self._file.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
        if self._size() > self._max_bytes:
            with self._file:
                self._file.execute(
                    "DELETE FROM vectors WHERE rowid IN "
                    "(SELECT rowid FROM vectors ORDER BY rowid LIMIT ?)",
                    (max(1, len(self) // 4),),
                )

    def _size(self) -> int:
        """Bytes in use."""
        asked = ("page_count", "freelist_count", "page_size")
        with closing(self._file.cursor()) as cursor:
            pages, free, size = (cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in asked)
        return int((pages - free) * size)


def _check(key: bytes, data: bytes) -> bytes:
    """Checksum of one vector under its key."""
    return hashlib.blake2b(data, digest_size=_CHECK_BYTES, key=key).digest()
