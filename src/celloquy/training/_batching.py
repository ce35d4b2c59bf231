"""Which examples form a step, and how they lie in a batch: planned ahead, the same every time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from celloquy._runtime import rng_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch
    from numpy.typing import NDArray

    from celloquy.training._tokens import TokenFile

GRANULE = 4
"""Examples of like length that stay together; steps are drawn from such groups."""
WINDOW = 50
"""Steps among whose examples those of like length are found."""


def epoch_steps(
    lengths: NDArray[np.int64], *, batch_size: int, seed: int, epoch: int, groups: bool
) -> list[NDArray[np.int64]]:
    """Deal the examples of one epoch to steps.

    Each example comes once. With `groups`, a shuffled window of steps is sorted by length, cut
    into granules of `GRANULE` examples, and the granules are dealt anew: batches then need
    little padding, and a step still holds short and long examples. The plan depends on nothing
    but what is given here: not on devices, nor on how many examples fit at once.

    Parameters
    ----------
    lengths
        Tokens of each example, shape ``(n,)``.
    batch_size
        Examples of a step.
    seed, epoch
        What the order depends on.
    groups
        Whether examples of like length are put together.

    Returns
    -------
    Examples of each step; the last step may have fewer.
    """
    rng = rng_for(seed, "epoch", epoch)
    order = rng.permutation(len(lengths))
    if groups:
        width = WINDOW * batch_size
        windows = [order[at : at + width] for at in range(0, len(order), width)]
        order = np.concatenate([_dealt(rows, lengths, rng) for rows in windows])
    return [order[at : at + batch_size] for at in range(0, len(order), batch_size)]


def _dealt(
    rows: NDArray[np.int64], lengths: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Sort by length, and shuffle granules; the incomplete one stays last."""
    by_length = rows[np.argsort(lengths[rows], kind="stable")]
    n_whole = len(rows) // GRANULE * GRANULE
    odd = rng.permutation(len(rows))[: len(rows) - n_whole]
    whole = np.delete(by_length, odd).reshape(-1, GRANULE)
    return np.concatenate([rng.permutation(whole).ravel(), by_length[odd]])


def micro_batches(
    rows: NDArray[np.int64],
    lengths: NDArray[np.int64],
    *,
    at_once: int,
    rank: int = 0,
    world: int = 1,
) -> list[tuple[NDArray[np.int64], bool]]:
    """Cut a step into batches for one device, the longest first.

    Parameters
    ----------
    rows
        Examples of the step.
    lengths
        Tokens of every example.
    at_once
        Examples of a batch.
    rank, world
        Which device this is, and how many there are.

    Returns
    -------
    Examples of each batch, and whether they count. Every device gets as many batches as the
    others, because they wait for each other: where there are too few, one comes that does not
    count.
    """
    by_length = rows[np.argsort(-lengths[rows], kind="stable")]
    at_once = min(at_once, -(-len(rows) // world))
    cuts = [by_length[at : at + at_once] for at in range(0, len(rows), at_once)]
    n_each = -(-len(cuts) // world)
    mine = [(cut, True) for cut in cuts[rank::world]]
    return mine + [(cuts[-1], False)] * (n_each - len(mine))


@dataclass(eq=False)
class Batch:
    """Examples as tensors: tokens, what is learned of them, and how much it counts."""

    rows: NDArray[np.int64]
    """Which examples."""
    ids: torch.Tensor
    """Token ids of prompts and answers (of an encoder-decoder: prompts); shape ``(n, t)``."""
    positions: torch.Tensor
    """Place of each token in its example; shape ``(n, t)``."""
    answers: torch.Tensor | None
    """What the decoder of an encoder-decoder reads; shape ``(n, a)``; else `None`."""
    asked: torch.Tensor
    """Places, in the flattened output, after which a token is learned; shape ``(m,)``."""
    targets: torch.Tensor
    """The tokens that are learned; shape ``(m,)``."""
    weights: torch.Tensor
    """How much each counts; shape ``(m,)``."""

    def to(self, device: str) -> Batch:
        """Move the tensors to a device."""
        if device == "cpu":
            return self
        moved = (self.ids, self.positions, self.asked, self.targets, self.weights)
        ids, positions, asked, targets, weights = (one.to(device) for one in moved)
        answers = None if self.answers is None else self.answers.to(device)
        return Batch(self.rows, ids, positions, answers, asked, targets, weights)


def make_batch(
    tokens: TokenFile, rows: NDArray[np.int64], *, learns_all: bool = False, multiple: int = 1
) -> Batch:
    """Lay examples side by side for a decoder, padded on the right.

    Parameters
    ----------
    tokens
        The examples.
    rows
        Which of them.
    learns_all
        Whether tokens of the prompt are learned, too.
    multiple
        Lengths are rounded up to a multiple of this.
    """
    import torch

    length = -(-int(tokens.lengths[rows].max()) // multiple) * multiple
    ids = np.zeros((len(rows), length), dtype=np.int64)
    asked, targets, weights = [], [], []
    for line, (row, (found, n_prompt)) in enumerate(_examples(tokens, rows)):
        ids[line, : len(found)] = found
        first = 1 if learns_all else n_prompt
        learned = np.arange(max(first, 1), len(found))
        asked.append(line * length + learned - 1)
        targets.append(found[learned])
        weights.append(np.full(len(learned), tokens.columns["weight"][row]))
    positions = torch.arange(length).expand(len(rows), -1)
    return Batch(rows, torch.from_numpy(ids), positions, None, *_flat(asked, targets, weights))


def make_packed(tokens: TokenFile, rows: NDArray[np.int64], *, learns_all: bool = False) -> Batch:
    """Lay examples one after the other in one row; places begin anew with each example.

    No mask goes with them: transformers reads from the places where examples begin, and lets no
    token see another example. With a mask of ones it would not.

    Parameters
    ----------
    tokens, rows, learns_all
        See :func:`make_batch`.
    """
    import torch

    all_ids, places, asked, targets, weights = [], [], [], [], []
    start = 0
    for row, (found, n_prompt) in _examples(tokens, rows):
        learned = np.arange(1 if learns_all else max(n_prompt, 1), len(found))
        all_ids.append(found.astype(np.int64))
        places.append(np.arange(len(found)))
        asked.append(start + learned - 1)
        targets.append(found[learned])
        weights.append(np.full(len(learned), tokens.columns["weight"][row]))
        start += len(found)
    ids = torch.from_numpy(np.concatenate(all_ids))[None]
    positions = torch.from_numpy(np.concatenate(places))[None]
    return Batch(rows, ids, positions, None, *_flat(asked, targets, weights))


def make_seq2seq(
    tokens: TokenFile, rows: NDArray[np.int64], *, start_id: int, multiple: int = 1
) -> Batch:
    """Lay prompts and answers side by side for an encoder-decoder; all of an answer is learned.

    Places of padding in the prompt are -1.

    Parameters
    ----------
    tokens, rows, multiple
        See :func:`make_batch`.
    start_id
        The token before every answer.
    """
    import torch

    n_prompt = -(-int(tokens.columns["prompt"][rows].max()) // multiple) * multiple
    n_answer = int(tokens.columns["answer"][rows].max())
    ids = np.zeros((len(rows), n_prompt), dtype=np.int64)
    positions = np.full((len(rows), n_prompt), -1, dtype=np.int64)
    answers = np.full((len(rows), n_answer), start_id, dtype=np.int64)
    asked, targets, weights = [], [], []
    for line, (row, (found, length)) in enumerate(_examples(tokens, rows)):
        answer = found[length:]
        ids[line, :length], positions[line, :length] = found[:length], np.arange(length)
        answers[line, 1 : len(answer)] = answer[:-1]
        asked.append(line * n_answer + np.arange(len(answer)))
        targets.append(answer)
        weights.append(np.full(len(answer), tokens.columns["weight"][row]))
    read, places, said = (torch.from_numpy(one) for one in (ids, positions, answers))
    return Batch(rows, read, places, said, *_flat(asked, targets, weights))


def n_learned(
    tokens: TokenFile, rows: NDArray[np.int64], *, learns_all: bool = False
) -> tuple[int, float]:
    """Count the tokens that are learned of some examples, and add up their weights."""
    counts = tokens.columns["answer"][rows].astype(np.int64)
    if learns_all:
        counts += np.maximum(tokens.columns["prompt"][rows].astype(np.int64) - 1, 0)
    return int(counts.sum()), float((counts * tokens.columns["weight"][rows]).sum())


def _examples(
    tokens: TokenFile, rows: NDArray[np.int64]
) -> Iterator[tuple[int, tuple[NDArray[np.int32], int]]]:
    return ((int(row), tokens.row(int(row))) for row in rows)


def _flat(
    asked: Sequence[NDArray[np.int64]],
    targets: Sequence[NDArray[np.int32]],
    weights: Sequence[NDArray[np.float32]],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    import torch

    return (
        torch.from_numpy(np.concatenate(asked).astype(np.int64)),
        torch.from_numpy(np.concatenate(targets).astype(np.int64)),
        torch.from_numpy(np.concatenate(weights).astype(np.float32)),
    )
