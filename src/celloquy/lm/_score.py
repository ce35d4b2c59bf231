"""Exact log P(answer | prompt) of every allowed answer: a prompt is read once for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from celloquy.errors import InputError
from celloquy.lm._batches import Runner
from celloquy.lm._protocol import Scores
from celloquy.lm._score_best import find_best
from celloquy.lm._score_tree import Reading, Steps, step_logp
from celloquy.lm._trie import ROOT, TokenTrie

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray

    from celloquy.lm._batches import TokenBatch
    from celloquy.lm._network import CausalNetwork
    from celloquy.lm._score_best import Search

    Ids = Sequence[int] | NDArray[np.int32]
    OneSet = Sequence[Ids]

CPU_TOKENS, GPU_TOKENS = 4_096, 16_384
"""Padded tokens of prompts in one batch, unless the caller knows its memory."""
NODES_AT_ONCE = {"cpu": 256}
"""Nodes of one tree that are read together, by device; on others, as many as the budget lets."""
_NO_ROOM = 10**9


def score_answers(
    network: CausalNetwork,
    prompts: Sequence[NDArray[np.int32]],
    answers: OneSet | Sequence[OneSet],
    *,
    best_only: bool = False,
    token_budget: int | None = None,
) -> Scores:
    """Give log P(answer | prompt) of allowed answers, exactly.

    Each prompt is read once. On top of its keys and values, the answers are read as a tree, so
    that what several begin with is read once and the last token of an answer not at all. Logits
    are computed for the end of the prompt and for nodes that something follows, never for the
    rest of the prompt. A prompt's result does not depend on the others.

    Parameters
    ----------
    network
        A decoder without its head, and the head.
    prompts
        Token ids of each prompt.
    answers
        Token ids of each allowed answer, as they follow right after the prompt: one set for all
        prompts, or one set a prompt.
    best_only
        Search the likeliest answer only. It is the same one, found by reading less; the others'
        log-probabilities are then ``-inf``.
    token_budget
        Padded tokens of prompts in one batch; `None` chooses by the device. It falls when memory
        is short.

    Raises
    ------
    InputError
        If a prompt or an answer is empty, two answers have the same tokens, the number of sets is
        not that of the prompts, or a prompt and its answers are longer than the model reads.
    """
    import torch

    tries = tries_of(answers, len(prompts))
    longest = int(getattr(network.config, "max_position_embeddings", None) or _NO_ROOM)
    refuse_lengths(prompts, tries, longest=longest)
    scores = empty_scores(tries)
    on_cpu = network.device == "cpu"
    at_once = token_budget or (CPU_TOKENS if on_cpu else GPU_TOKENS)

    def forward(batch: TokenBatch) -> list[NDArray[np.float64]]:
        with torch.inference_mode():
            reading, last = Reading.of(network, batch, [tries[row] for row in batch.rows])
            if best_only:
                return [_best_alone(one) for one in find_best(network, reading, last)]
            return _all(network, reading, last, token_budget=at_once)

    def keep(batch: TokenBatch, found: list[NDArray[np.float64]]) -> None:
        for row, logp in zip(batch.rows, found, strict=True):
            scores.logp[row, : len(logp)] = logp
            scores.best[row] = logp.argmax()

    runner = Runner(at_once, longest=longest, is_threaded=on_cpu)
    if prompts:
        runner.each(prompts, forward, keep)
    return scores


def _all(
    network: CausalNetwork, reading: Reading, last: torch.Tensor, *, token_budget: int
) -> list[NDArray[np.float64]]:
    """Give log P of every answer of each prompt.

    A large tree is read in parts. A part looks at its prompt and at itself; the few nodes before
    it that it needs are read again, so that the others are not looked past by every node.
    """
    tries = reading.tries
    logp = [np.zeros(len(trie)) for trie in tries]
    at_once = max(1, token_budget // len(tries))
    at_once = min(at_once, NODES_AT_ONCE.get(network.device, at_once))
    most = max(len(trie.inner) for trie in tries)
    root = np.array([ROOT], dtype=np.int32)
    for start in range(-at_once, most, at_once):  # the first part is the end of the prompt
        again = [root[:0]] * len(tries)
        if start < 0:
            nodes, hidden = [root] * len(tries), last[:, None]
        else:
            reading.forget_nodes()
            new = [trie.inner[start : start + at_once] for trie in tries]
            again = [_before(trie, some) for trie, some in zip(tries, new, strict=True)]
            nodes = [np.concatenate(both) for both in zip(again, new, strict=True)]
            hidden = reading.extend(nodes)
        steps = [
            Steps.from_nodes(trie, some).after(len(old))
            for trie, some, old in zip(tries, nodes, again, strict=True)
        ]
        found = step_logp(network, hidden, steps, tries)
        for whole, step, part in zip(logp, steps, found, strict=True):
            whole[step.nodes] = part
    return [trie.add_up(one)[trie.ends] for trie, one in zip(tries, logp, strict=True)]


def _before(trie: TokenTrie, part: NDArray[np.int32]) -> NDArray[np.int32]:
    """Give the nodes that a part of the tree, in depth-first order, needs before its first."""
    if not len(part):
        return part
    return trie.ways[part[0], : trie.depths[part[0]] - 1]


def _best_alone(search: Search) -> NDArray[np.float64]:
    """Give the log-probability of the best answer, and -inf for the others."""
    logp = np.full(len(search.trie.ends), -np.inf)
    logp[search.best] = search.best_logp
    return logp


def tries_of(answers: OneSet | Sequence[OneSet], n_prompts: int) -> list[TokenTrie]:
    """Build the tree of each prompt; prompts with the same answers share one.

    Raises
    ------
    InputError
        If the number of sets is not that of the prompts.
    """
    if not len(answers) or _is_one_set(answers):
        return [TokenTrie.of(cast("OneSet", answers))] * n_prompts
    sets = list(cast("Sequence[OneSet]", answers))
    if len(sets) != n_prompts:
        msg = f"There are {len(sets):,} sets of answers for {n_prompts:,} prompts."
        raise InputError(msg, hint="pass one set of answers for all prompts, or one a prompt.")
    made: dict[tuple[tuple[int, ...], ...], TokenTrie] = {}
    known: dict[int, TokenTrie] = {}  # a set given again is mostly the same object
    for one in sets:
        if id(one) not in known:
            key = tuple(tuple(map(int, answer)) for answer in one)
            known[id(one)] = made[key] = made.get(key) or TokenTrie.of(key)
    return [known[id(one)] for one in sets]


def _is_one_set(answers: OneSet | Sequence[OneSet]) -> bool:
    """Say whether these are answers, and not sets of answers."""
    first = next((one for one in answers if len(one)), ())
    return len(first) == 0 or isinstance(first[0], (int, np.integer))


def refuse_lengths(
    prompts: Sequence[NDArray[np.int32]], tries: Sequence[TokenTrie], *, longest: int
) -> None:
    """Refuse prompts without tokens, and those that do not fit with their answers.

    Raises
    ------
    InputError
        Always then, with the number of the first such prompt.
    """
    for row, (ids, trie) in enumerate(zip(prompts, tries, strict=True)):
        if not len(ids):
            msg = f"Prompt {row + 1} of {len(prompts):,} has no tokens."
            raise InputError(msg, hint="a prompt has at least one token.")
        most = int(trie.n_tokens.max())
        if len(ids) + most > longest:
            msg = (
                f"Prompt {row + 1} of {len(prompts):,} takes {len(ids):,} tokens and its longest "
                f"answer {most:,}; the model reads {longest:,}."
            )
            raise InputError(msg, hint="name fewer genes, or use a model that reads more.")


def empty_scores(tries: Sequence[TokenTrie]) -> Scores:
    """Make scores to be filled: token counts are there, log-probabilities are -inf."""
    n_answers = max((len(trie.ends) for trie in tries), default=0)
    n_tokens = np.zeros((len(tries), n_answers), dtype=np.int32)
    for line, trie in zip(n_tokens, tries, strict=True):
        line[: len(trie.ends)] = trie.n_tokens
    return Scores(
        np.full(n_tokens.shape, -np.inf), n_tokens, np.full(len(tries), -1, dtype=np.int32)
    )
