"""Every error that celloquy raises on purpose.

::

    CelloquyError
    ├── InputError (ValueError)            what was given cannot be used
    ├── MissingExtraError (ImportError)    an optional package is not installed
    ├── DownloadError (RuntimeError)       a table could not be fetched; may be worth another try
    ├── BackendError (RuntimeError)        a language model could not run; may be worth another try
    ├── AnswerError (ValueError)           a language model's answer cannot be used
    └── CheckpointError (RuntimeError)     saved weights or a saved reference cannot be used

A message says what was found and where. A ``hint`` gives the one next step; it is also
attached as a note (PEP 678), so that a traceback shows it.
"""

from __future__ import annotations

__all__ = [
    "AnswerError",
    "BackendError",
    "CelloquyError",
    "CheckpointError",
    "DownloadError",
    "InputError",
    "MissingExtraError",
]


class CelloquyError(Exception):
    """Base of every error that celloquy raises on purpose.

    Parameters
    ----------
    message
        What was found, with the value and where.
    hint
        The one next step.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        if hint is not None:
            self.add_note(f"hint: {hint}")


class InputError(CelloquyError, ValueError):
    """What was given (a file, a matrix, an option) cannot be used."""


class MissingExtraError(CelloquyError, ImportError):
    """An optional package is needed and not installed."""


class _PassingError(CelloquyError, RuntimeError):
    def __init__(self, message: str, *, hint: str | None = None, retryable: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.retryable = retryable


class DownloadError(_PassingError):
    """A table could not be fetched; ``retryable`` says whether another try may help."""


class BackendError(_PassingError):
    """A language model could not run; ``retryable`` says whether another try may help."""


class AnswerError(CelloquyError, ValueError):
    """A language model's answer cannot be used."""


class CheckpointError(CelloquyError, RuntimeError):
    """Saved weights, or a saved reference, cannot be used."""
