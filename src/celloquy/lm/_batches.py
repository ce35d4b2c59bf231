"""Prompts of like length side by side: batches by token budget, and what to do without memory."""

from __future__ import annotations

import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from celloquy.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

T = TypeVar("T")
B = TypeVar("B")
LENGTH_STEP = 16
"""Lengths are rounded up to a multiple of this, so that few shapes occur and kernels are reused."""
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True, eq=False)
class TokenBatch:
    """Prompts that go through a model together, padded on the right."""

    rows: NDArray[np.int64]
    """Which prompts; shape ``(n,)``."""
    ids: NDArray[np.int64]
    """Token ids, padded on the right; shape ``(n, tokens)``."""
    mask: NDArray[np.bool_]
    """Whether a token is real; shape ``(n, tokens)``."""

    def halves(self) -> tuple[TokenBatch, TokenBatch]:
        """Split it in two, each half only as long as it needs to be."""
        middle = len(self.rows) // 2
        return self._part(slice(None, middle)), self._part(slice(middle, None))

    def _part(self, part: slice) -> TokenBatch:
        length = _rounded(int(self.mask[part].sum(axis=1).max()), self.ids.shape[1])
        return TokenBatch(self.rows[part], self.ids[part, :length], self.mask[part, :length])


def _rounded(length: int, most: int) -> int:
    return min(-(-length // LENGTH_STEP) * LENGTH_STEP, most)


def batches(
    ids: Sequence[NDArray[np.int32]], *, token_budget: int, longest: int, padding_id: int = 0
) -> list[TokenBatch]:
    """Put prompts of like length together, at most `token_budget` padded tokens a batch.

    The longest come first, so that a shortage of memory shows at once. A prompt longer than the
    budget is a batch of its own.

    Parameters
    ----------
    ids
        Token ids of each prompt; at least one each.
    token_budget
        Tokens of one batch, padding included.
    longest
        Tokens that the model reads: padding does not go past them.
    padding_id
        What stands in padded places; it is never looked at.
    """
    lengths = np.array([len(one) for one in ids], dtype=np.int64)
    order = np.argsort(-lengths, kind="stable")
    made, start = [], 0
    while start < len(order):
        length = _rounded(int(lengths[order[start]]), longest)
        rows = order[start : start + max(1, token_budget // length)]
        padded = np.full((len(rows), length), padding_id, dtype=np.int64)
        for line, row in zip(padded, rows, strict=True):
            line[: lengths[row]] = ids[row]
        made.append(TokenBatch(rows, padded, np.arange(length) < lengths[rows, None]))
        start += len(rows)
    return made


@dataclass
class Runner:
    """Runs batches through a model, several at a time on a processor, and halves them at need."""

    token_budget: int
    """Padded tokens that a batch may hold; falls when memory is short."""
    longest: int
    """Tokens that the model reads."""
    padding_id: int = 0
    """What stands in padded places."""
    is_threaded: bool = False
    """Whether batches run side by side, each on one core: no core waits for another."""
    _has_warned: bool = field(default=False, repr=False)

    def run(
        self,
        ids: Sequence[NDArray[np.int32]],
        forward: Callable[[TokenBatch], NDArray[np.float32]],
        *,
        n_dimensions: int,
    ) -> NDArray[np.float32]:
        """Give the vectors of prompts, in the order of the prompts; shape ``(n, d)``."""
        vectors = np.empty((len(ids), n_dimensions), dtype=np.float32)

        def keep(batch: TokenBatch, values: NDArray[np.float32]) -> None:
            vectors[batch.rows] = values

        self.each(ids, forward, keep)
        return vectors

    def each(
        self,
        ids: Sequence[NDArray[np.int32]],
        forward: Callable[[TokenBatch], T],
        keep: Callable[[TokenBatch, T], None],
    ) -> None:
        """Run batches of prompts, the longest first, and hand on what each gave.

        Parameters
        ----------
        ids
            Token ids of each prompt; at least one each.
        forward
            Runs one batch. It is called again with halves of the batch if memory was short.
        keep
            Takes a batch and its result, in the order in which batches end.
        """
        asked = self.token_budget

        def fill(batch: TokenBatch) -> None:
            for part, values in self._forward(batch, forward):
                keep(part, values)

        with _ONE_AT_A_TIME:
            todo = batches(
                ids,
                token_budget=self._spread(ids),
                longest=self.longest,
                padding_id=self.padding_id,
            )
            with workers(self.is_threaded and len(todo) > 1) as pool:
                if pool is None:
                    for batch in todo:
                        fill(batch)
                else:
                    list(pool.map(fill, todo))
        if self.token_budget < asked and not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"Memory was short: batches of {asked:,} tokens were halved to "
                f"{self.token_budget:,}. The results are the same.",
                stacklevel=4,
            )

    def _spread(self, ids: Sequence[NDArray[np.int32]]) -> int:
        """Give the budget of a batch: smaller if there would be fewer batches than cores."""
        if not self.is_threaded:
            return self.token_budget
        import torch

        share = sum(_rounded(len(one), self.longest) for one in ids) // torch.get_num_threads()
        return max(LENGTH_STEP, min(self.token_budget, share))

    def _forward(
        self, batch: TokenBatch, forward: Callable[[TokenBatch], T]
    ) -> Iterator[tuple[TokenBatch, T]]:
        """Run a batch; without memory, its halves.

        Raises
        ------
        BackendError
            If one prompt alone does not fit into memory.
        """
        is_one = len(batch.rows) == 1
        if is_one or batch.ids.size <= self.token_budget:
            values = if_memory(forward, batch)
            if values is not None:
                yield batch, values
                return
            if is_one:
                msg = f"One prompt of {batch.mask.sum():,} tokens does not fit into memory."
                hint = 'use a smaller model, `device="cpu"`, or shorter prompts.'
                raise BackendError(msg, hint=hint)
            self.token_budget = min(self.token_budget, max(1, batch.ids.size // 2))
        for half in batch.halves():
            yield from self._forward(half, forward)


def if_memory(forward: Callable[[B], T], batch: B) -> T | None:
    """Run a batch; `None` if memory was short.

    Raises
    ------
    RuntimeError
        If torch failed for another reason.
    """
    try:
        return forward(batch)
    except MemoryError:
        return None
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None


def is_out_of_memory(error: RuntimeError) -> bool:
    """Say whether an error means that memory was short, as torch says it on each device."""
    text = str(error).lower()
    return type(error).__name__ == "OutOfMemoryError" or any(
        words in text for words in _OUT_OF_MEMORY
    )


@contextmanager
def workers(are_wanted: bool) -> Iterator[ThreadPoolExecutor | None]:  # noqa: FBT001 — one switch
    """Give as many workers as torch has threads, each with one; then set torch back."""
    import torch

    n_threads = torch.get_num_threads()
    if not are_wanted or n_threads == 1:
        yield None
        return
    try:
        with ThreadPoolExecutor(
            n_threads, f"embed-{os.getpid()}", initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            yield pool
    finally:
        torch.set_num_threads(n_threads)
