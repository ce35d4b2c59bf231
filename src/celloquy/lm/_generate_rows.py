"""Answers of a decoder, written row by row side by side: each as if it were alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

import numpy as np

from celloquy.errors import BackendError, InputError
from celloquy.lm._attend import RowStep, read_step, takes_row_steps
from celloquy.lm._batches import if_memory, workers
from celloquy.lm._constrain import N_FORCED
from celloquy.lm._generate_cache import RowCache, bytes_a_token
from celloquy.lm._generate_draws import Writing, Written

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import ThreadPoolExecutor

    import torch
    from numpy.typing import NDArray

    from celloquy.lm._constrain import Compiled
    from celloquy.lm._network import CausalNetwork
    from celloquy.lm._protocol import Limits

MOST_ROWS = 64
"""Answers that are written side by side on a processor; four times as many on a GPU."""
MOST_BYTES = 3 * 2**30
"""Memory that keys and values of a batch may take, unless the caller says the tokens."""
PREFILL_TOKENS = 4_096
"""Padded tokens of prompts that are read together."""
FEW_ROWS = 16
"""Rows that a processor reads in about the time of one."""
SPARSE = 0.5
"""A batch is packed when this share of its rows or less is still being written."""


def write_rows(
    network: CausalNetwork,
    prompts: Sequence[NDArray[np.int32]],
    *,
    constraints: Sequence[Compiled],
    seeds: Sequence[int],
    limits: Limits,
    max_tokens: int,
    contrast: Sequence[NDArray[np.int32]] = (),
) -> Written:
    """Write an answer to every prompt, as token ids; see :func:`generate_answers`.

    Parameters
    ----------
    network
        A decoder without its head, and the head.
    prompts
        Token ids of each prompt.
    constraints
        What may be answered to each prompt.
    seeds
        Seed of each answer.
    limits
        How tokens are drawn, and how many there may be.
    max_tokens
        Tokens that a prompt and its answer may take together.
    contrast
        Token ids of the prompt that each answer is guided away from; empty without guidance.

    Raises
    ------
    InputError
        If a prompt is empty or leaves no room for an answer.
    BackendError
        If one answer alone does not fit into memory.
    """
    n, texts = len(prompts), [*prompts, *contrast]
    by_side = (2 if contrast else 1, n)
    sides = rooms_for(texts, limits=limits, max_tokens=max_tokens).reshape(by_side)
    rooms = sides.min(axis=0)
    written = Written.empty(n)
    own = np.array([seed % 2**64 for seed in seeds], dtype=np.uint64)
    lengths = np.array([len(text) for text in texts], dtype=np.int64).reshape(by_side).sum(axis=0)
    by_steps = takes_row_steps(network)
    with workers(by_steps and n >= FEW_ROWS) as pool:
        for constraint in {id(one): one for one in constraints}.values():
            rows = np.array([i for i in range(n) if constraints[i] is constraint], dtype=np.int64)
            wave = _Wave(network, texts, constraint, limits, own, max_tokens, written, by_steps)
            constraint.start(rooms[rows].min(keepdims=True))  # refuses before anything is written
            likely = rooms if constraint.likely is None else np.minimum(rooms, constraint.likely)
            _write_all(
                wave, rows, rooms=rooms, totals=lengths + len(sides) * likely,
                budget=_Budget(network), pool=pool,
            )  # fmt: skip
    return written


def _write_all(
    wave: _Wave,
    order: NDArray[np.int64],
    *,
    rooms: NDArray[np.int64],
    totals: NDArray[np.int64],
    budget: _Budget,
    pool: ThreadPoolExecutor | None,
) -> None:
    """Write some rows, the longest first, as many at once as fit; each core has rows of its own.

    Raises
    ------
    BackendError
        If one answer alone does not fit into memory.
    """
    n_threads = 1 if pool is None else pool._max_workers
    while len(order):
        order = order[np.argsort(-totals[order], kind="stable")]
        size = budget.rows(int(totals[order[0]]), len(order))
        parts = [order[i:size:n_threads] for i in range(min(size, n_threads))]
        each = map if pool is None else pool.map
        done = list(each(partial(wave.write, rooms=rooms), parts))
        failed = [part for part, is_done in zip(parts, done, strict=True) if not is_done]
        if failed and size == 1:
            msg = f"One answer after {len(wave.prompts[order[0]]):,} tokens exceeds the memory."
            hint = 'use a smaller model, `device="cpu"`, or a shorter prompt.'
            raise BackendError(msg, hint=hint)
        if failed:
            budget.most = size // 2
        order = np.concatenate([*failed, order[size:]])


def rooms_for(
    prompts: Sequence[NDArray[np.int32]], *, limits: Limits, max_tokens: int
) -> NDArray[np.int64]:
    """Count the tokens that each answer may take.

    Raises
    ------
    InputError
        If a prompt is empty or leaves no room.
    """
    lengths = np.array([len(prompt) for prompt in prompts], dtype=np.int64)
    for row in np.flatnonzero((lengths == 0) | (lengths >= max_tokens))[:1]:
        if not lengths[row]:
            msg = f"Prompt {row} of {len(prompts)} has no token, so no answer can follow it."
            raise InputError(msg, hint="leave out empty prompts.")
        msg = (
            f"Prompt {row} takes {lengths[row]:,} tokens and leaves no room for an answer; the "
            f"model reads {max_tokens:,}."
        )
        raise InputError(msg, hint="shorten the prompt: fewer genes, or `lm.plan` to cut them.")
    return np.minimum(limits.max_new_tokens, max_tokens - lengths)


class _Budget:
    """How many answers are written side by side; it falls when memory is short."""

    def __init__(self, network: CausalNetwork) -> None:
        self.tokens = max(1, MOST_BYTES // bytes_a_token(network))
        self.most = MOST_ROWS if network.device == "cpu" else 4 * MOST_ROWS

    def rows(self, tokens_a_row: int, n: int) -> int:
        """Give the number of rows of the next batch; batches of the rest are about equal."""
        most = max(1, self.tokens // (tokens_a_row + N_FORCED))
        most = min(most, self.most)
        return -(-n // -(-n // most))


@dataclass(eq=False)
class _Wave:
    """Writes one batch of answers under one constraint."""

    network: CausalNetwork
    prompts: Sequence[NDArray[np.int32]]
    """Those of all answers, and then, with guidance, those that they are guided away from."""
    constraint: Compiled
    limits: Limits
    seeds: NDArray[np.uint64]
    max_tokens: int
    written: Written
    by_steps: bool
    """Whether the new tokens of all rows stand end to end."""

    def __post_init__(self) -> None:
        import torch

        tokens = self.constraint.tokens
        rows = None if tokens is None else torch.from_numpy(tokens).to(self.network.device)
        self.head = self.network.head(rows)
        self.n_sides = len(self.prompts) // len(self.seeds)

    def _lines(self, rows: NDArray[np.int64], n: int) -> NDArray[np.int64]:
        """Give the lines of some of `n` rows: their own, then those of their contrasts."""
        return np.concatenate([rows + side * n for side in range(self.n_sides)])

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Give the logits of the rows that stand on some lines, guided where there are two."""
        found = self.head(hidden)
        if self.n_sides == 1:
            return found
        own, other = found.chunk(2)
        return other + self.limits.guidance_scale * (own - other)

    def write(self, rows: NDArray[np.int64], rooms: NDArray[np.int64]) -> bool:
        """Write the answers of some rows; false if memory was short and nothing was kept."""
        import torch

        n_forced = N_FORCED
        if self.network.device == "cpu" and not self.by_steps:
            n_forced = min(N_FORCED, max(0, FEW_ROWS // len(rows) - 1))
        writing = Writing(
            self.constraint, rooms[rows], self.seeds[rows], self.limits, n_forced=n_forced
        )

        steps = self._row_steps if self.by_steps else self._steps

        def work(_: object) -> bool:
            with torch.inference_mode():
                steps(writing, rows)
            return True

        is_done = bool(if_memory(work, rows))
        if is_done:
            self.written.take(rows, writing)
        return is_done

    def _steps(self, writing: Writing, rows: NDArray[np.int64]) -> None:
        import torch

        device = self.network.device
        hidden, cache, lengths = self._prefill(rows, int(writing.rooms.max()))
        active = np.arange(len(rows))
        pending = writing.begin(self._logits(hidden))
        while True:
            stays = ~writing.has_ended[active]
            if not stays.any():
                return
            if stays.mean() <= SPARSE:
                lines = self._lines(np.flatnonzero(stays), len(active))
                cache.keep(torch.from_numpy(lines).to(device))
                active, lengths, pending = active[stays], lengths[lines], pending[stays]
            told = np.tile(pending, (self.n_sides, 1))
            counts = (told >= 0).sum(axis=1)
            ids = torch.from_numpy(np.maximum(told[:, : counts.max()], 0)).to(device)
            places = lengths[:, None] + np.arange(ids.shape[1])
            last = torch.from_numpy(np.maximum(counts - 1, 0)).to(device)
            lengths = lengths + counts
            found = self._read(ids, torch.from_numpy(places).to(device), cache)
            found = found[torch.arange(len(found), device=device), last]
            pending = writing.go_on(active, self._logits(found))

    def _row_steps(self, writing: Writing, rows: NDArray[np.int64]) -> None:
        """Write on a processor: the new tokens of all rows end to end, none of them padding."""
        import torch

        hidden, cache, lengths = self._prefill(rows, int(writing.rooms.max()))
        active = np.arange(len(rows))
        pending = writing.begin(self._logits(hidden))
        while True:
            stays = ~writing.has_ended[active]
            if not stays.any():
                return
            active, pending = active[stays], pending[stays]
            lines = self._lines(active, len(rows))
            counts = np.tile((pending >= 0).sum(axis=1), self.n_sides)
            ends = np.cumsum(counts)
            within = np.arange(ends[-1]) - np.repeat(ends - counts, counts)
            step = RowStep(np.repeat(lines, counts), np.repeat(lengths[lines], counts) + within)
            lengths[lines] += counts
            ids = np.tile(pending[pending >= 0], self.n_sides)
            found = read_step(self.network, ids, step, cache)
            pending = writing.go_on(active, self._logits(found[torch.from_numpy(ends - 1)]))

    def _prefill(
        self, rows: NDArray[np.int64], room: int
    ) -> tuple[torch.Tensor, RowCache, NDArray[np.int64]]:
        """Read the prompts, each once; give what follows, their keys and values, and lengths."""
        import torch

        device = self.network.device
        prompts = [self.prompts[line] for line in self._lines(rows, len(self.seeds))]
        lengths = np.array([len(prompt) for prompt in prompts], dtype=np.int64)
        cache = RowCache(len(prompts), int(lengths.max()) + room + N_FORCED)
        hidden: torch.Tensor | None = None
        for texts, lines, text_of in distinct(prompts):
            held = self.network.new_cache()
            ends = torch.tensor([len(text) - 1 for text in texts], device=device)
            found = self.network.hidden(
                torch.from_numpy(padded_texts(texts)).to(device), cache=held
            )
            found = found[torch.arange(len(texts), device=device), ends]
            to, of = torch.from_numpy(lines).to(device), torch.from_numpy(text_of).to(device)
            cache.fill(held, to, of)
            if hidden is None:
                hidden = found.new_empty((len(prompts), found.shape[1]))
            hidden[to] = found[of]
        return cast("torch.Tensor", hidden), cache, lengths

    def _read(self, ids: torch.Tensor, places: torch.Tensor, cache: RowCache) -> torch.Tensor:
        """Read the next tokens of each row; what is beyond a row's own tokens is never seen."""
        import torch

        n_seen = int(places[:, -1].max()) + 1
        columns = torch.arange(n_seen, device=ids.device)
        cache.expect(places, n_seen)
        return self.network.hidden(
            ids,
            positions=places.clamp(max=self.max_tokens - 1),
            may_see=columns[None, None, :] <= places[:, :, None],
            key_positions=columns.expand(len(ids), n_seen),
            cache=cache,
        )


def distinct(
    texts: Sequence[NDArray[np.int32]],
) -> Iterator[tuple[list[NDArray[np.int32]], NDArray[np.int64], NDArray[np.int64]]]:
    """Give each distinct text once, a few of like length together.

    Yields
    ------
    Texts, the rows that have one of them, and which.
    """
    number: dict[bytes, int] = {}
    of = np.array([number.setdefault(text.tobytes(), len(number)) for text in texts])
    firsts = np.unique(of, return_index=True)[1]
    order = sorted(range(len(firsts)), key=lambda i: -len(texts[int(firsts[i])]))
    while order:
        n = max(1, PREFILL_TOKENS // len(texts[int(firsts[order[0]])]))
        some, order = order[:n], order[n:]
        place = np.full(len(firsts), -1, dtype=np.int64)
        place[some] = np.arange(len(some))
        rows = np.flatnonzero(place[of] >= 0)
        yield [texts[int(firsts[i])] for i in some], rows, place[of[rows]]


def padded_texts(texts: Sequence[NDArray[np.int32]]) -> NDArray[np.int64]:
    """Put texts side by side, padded on the right; shape ``(n, longest)``."""
    ids = np.zeros((len(texts), max(map(len, texts))), dtype=np.int64)
    for line, text in zip(ids, texts, strict=True):
        line[: len(text)] = text
    return ids
