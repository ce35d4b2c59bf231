"""Answers that were paid for, so that nothing is asked twice: one SQLite file."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping
    from types import TracebackType

SCHEMA_VERSION = 1
STORE_NAME = "answers.sqlite"
_WAIT_SECONDS = 60.0


def answer_key(url: str, body: Mapping[str, Any]) -> bytes:
    """Key of one answer: BLAKE2b of where and what was asked, 16 bytes; no words are kept."""
    asked = json.dumps([url, body], sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(asked.encode("utf-8", "replace"), digest_size=16).digest()


class AnswerStore:
    """A file of answers; several processes and threads may use it at once.

    An answer is written whole, as soon as it came. Prompts are not written, only their hashes.
    Use it as a context manager. A store that fails is left out, with one warning.

    Parameters
    ----------
    path
        The SQLite file, made if it is not there; one that is no store is left alone and not
        used. `None` keeps nothing.
    """

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self._lock = threading.Lock()
        self._file: sqlite3.Connection | None = None
        if path is not None:
            with self._going_on():
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                self._file = sqlite3.connect(path, timeout=_WAIT_SECONDS, check_same_thread=False)
                # a killed process loses nothing; only a machine that loses its power may
                self._file.execute("PRAGMA synchronous = OFF")
                self._file.execute(f"PRAGMA busy_timeout = {int(_WAIT_SECONDS * 1000)}")
                with self._file:
                    self._file.execute(
                        f"CREATE TABLE IF NOT EXISTS answers_{SCHEMA_VERSION} "
                        "(key BLOB PRIMARY KEY, answer TEXT NOT NULL)"
                    )

    def __enter__(self) -> AnswerStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def keeps(self) -> bool:
        """Whether answers are kept for the next time."""
        return self._file is not None

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def find(self, key: bytes) -> dict[str, Any] | None:
        """Give the answer that was kept under a key of :func:`answer_key`."""
        with self._going_on():
            if self._file is not None:
                asked = f"SELECT answer FROM answers_{SCHEMA_VERSION} WHERE key = ?"
                found = self._file.execute(asked, (key,)).fetchone()
                return None if found is None else dict(json.loads(found[0]))
        return None

    def add(self, key: bytes, answer: Mapping[str, Any]) -> None:
        """Keep an answer."""
        with self._going_on():
            if self._file is not None:
                with self._file:
                    self._file.execute(
                        f"INSERT OR REPLACE INTO answers_{SCHEMA_VERSION} VALUES (?, ?)",
                        (key, json.dumps(answer)),
                    )

    @contextmanager
    def _going_on(self) -> Iterator[None]:
        """Go on without the store if it fails."""
        try:
            with self._lock:
                yield
        except (sqlite3.Error, OSError, ValueError) as error:
            self.close()
            warnings.warn(
                f"Answers are not kept for the next time: {error}. "
                "`EndpointOptions(store=path)` keeps them elsewhere.",
                stacklevel=4,
            )
