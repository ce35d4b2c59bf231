"""Writing answers with a decoder: constraints compiled, ids written, texts read back."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from celloquy.lm._answer_sets import constraints_of, one_seed_each
from celloquy.lm._constrain import compile_constraint
from celloquy.lm._generate_draws import Unconstrained
from celloquy.lm._generate_rows import write_rows
from celloquy.lm._protocol import Generated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from celloquy.lm._constrain import Compiled
    from celloquy.lm._formats import PromptFormat
    from celloquy.lm._generate_draws import Written
    from celloquy.lm._network import CausalNetwork
    from celloquy.lm._protocol import Limits
    from celloquy.text import Constraint

_N_KEPT = 8
"""Compiled constraints that are kept for one model."""
_NO_LIMIT = 10**9
_kept: WeakKeyDictionary[PromptFormat, OrderedDict[Constraint, Compiled]] = WeakKeyDictionary()
_LOCK = threading.Lock()


def generate_answers(
    network: CausalNetwork,
    prompts: Sequence[NDArray[np.int32]],
    constraint: Constraint | Sequence[Constraint] | None = None,
    *,
    words: PromptFormat,
    seeds: Sequence[int],
    limits: Limits,
    contrast: Sequence[NDArray[np.int32]] = (),
    max_tokens: int | None = None,
) -> Generated:
    """Write an answer to every prompt.

    A prompt that several rows share is read once. Rows are written side by side; those that have
    ended leave. Only rows of the output head that the constraint can use are computed, and
    tokens that it forces are taken without asking. What a row draws depends on its prompt, its
    seed and its place in the answer, never on other rows. So in fp32 a batch of 1 and of 64
    give the same answers, but for the rare draw that a rounding error decides; in bf16 the
    random numbers are the same and answers may differ, because the logits do.

    Parameters
    ----------
    network
        A decoder without its head, and the head.
    prompts
        Token ids of each prompt.
    constraint
        What may be answered: one for all prompts, one a prompt, or anything.
    words
        How the model writes answers in tokens.
    seeds
        Seed of each answer.
    limits
        How tokens are drawn, and how many there may be.
    contrast
        Token ids of the prompt that each answer is guided away from; empty without guidance.
    max_tokens
        Tokens that a prompt and its answer may take together; `None` asks the model.

    Returns
    -------
    The answers. Their `logp` adds up each token's log-probability among the tokens that were
    allowed in its place, the end's included, at temperature 1 and before `top_k` and `top_p`;
    with guidance by the guided logits.

    Raises
    ------
    InputError
        If a prompt is empty or leaves no room for an answer, the constraint cannot be used
        with this tokenizer, or seeds or constraints are not as many as prompts.
    BackendError
        If one answer alone does not fit into memory.

    Notes
    -----
    Guidance is the classifier-free guidance of Sanchez et al. 2023 (arXiv:2306.17806): the
    network reads each answer behind its prompt and behind its contrast, and tokens are drawn by
    the contrast's logits plus `guidance_scale` times what the prompt adds to them.
    """
    one_seed_each(seeds, len(prompts))
    most = max_tokens or getattr(network.config, "max_position_embeddings", None) or _NO_LIMIT
    written = write_rows(
        network,
        prompts,
        constraints=compiled_for(constraint, words, n_prompts=len(prompts)),
        seeds=seeds,
        limits=limits,
        max_tokens=int(most),
        contrast=contrast,
    )
    return read_back(written, words)


def read_back(written: Written, words: PromptFormat) -> Generated:
    """Turn ids into texts."""
    ids = tuple(np.array(one, dtype=np.int32) for one in written.ids)
    texts = tuple(words.decode(one) for one in ids)
    return Generated(texts, ids, written.logp, tuple(written.reasons))


def compiled_for(
    constraint: Constraint | Sequence[Constraint] | None, words: PromptFormat, *, n_prompts: int
) -> list[Compiled]:
    """Compile the constraint of every prompt; each once for a model, while it is in use."""
    found: dict[int, Compiled] = {}
    listed = constraints_of(constraint, n_prompts)
    for one in listed:
        if id(one) not in found:
            found[id(one)] = Unconstrained(words.end_ids) if one is None else _compiled(one, words)
    return [found[id(one)] for one in listed]


def _compiled(constraint: Constraint, words: PromptFormat) -> Compiled:
    with _LOCK:
        known = _kept.setdefault(words, OrderedDict())
        if constraint not in known:
            known[constraint] = compile_constraint(constraint, words)
        known.move_to_end(constraint)
        while len(known) > _N_KEPT:
            known.popitem(last=False)
        return known[constraint]
