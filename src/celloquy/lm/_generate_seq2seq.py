"""Writing answers with an encoder-decoder: each prompt is encoded once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy.errors import BackendError, InputError
from celloquy.lm._answer_sets import one_seed_each
from celloquy.lm._batches import if_memory
from celloquy.lm._generate import compiled_for, read_back
from celloquy.lm._generate_draws import Writing, Written
from celloquy.lm._generate_rows import MOST_ROWS, distinct, padded_texts
from celloquy.lm._score_seq2seq import Decoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray

    from celloquy.lm._constrain import Compiled
    from celloquy.lm._formats import PromptFormat
    from celloquy.lm._protocol import Generated, Limits
    from celloquy.text import Constraint


def generate_answers_seq2seq(
    model: Any,  # noqa: ANN401 (a class of transformers)
    prompts: Sequence[NDArray[np.int32]],
    constraint: Constraint | Sequence[Constraint] | None = None,
    *,
    words: PromptFormat,
    seeds: Sequence[int],
    limits: Limits,
    most_rows: int = MOST_ROWS,
) -> Generated:
    """Write an answer to every prompt; see :func:`celloquy.lm._generate.generate_answers`.

    Parameters
    ----------
    model
        A T5 with its head, in evaluation mode.
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
    most_rows
        Answers that are written side by side; falls when memory is short.

    Raises
    ------
    InputError
        If a prompt is empty, the constraint cannot be used with this tokenizer or in so many
        tokens, or seeds or constraints are not as many as prompts.
    BackendError
        If one answer alone does not fit into memory.
    """
    n = len(prompts)
    one_seed_each(seeds, n)
    if any(len(prompt) == 0 for prompt in prompts):
        row = next(row for row, prompt in enumerate(prompts) if len(prompt) == 0)
        msg = f"Prompt {row} of {n} has no token, so no answer can follow it."
        raise InputError(msg, hint="leave out empty prompts.")
    constraints = compiled_for(constraint, words, n_prompts=n)
    own = np.array([seed % 2**64 for seed in seeds], dtype=np.uint64)
    written, size = Written.empty(n), most_rows
    for one in {id(c): c for c in constraints}.values():
        rows = [row for row in range(n) if constraints[row] is one]
        rows.sort(key=lambda row: -len(prompts[row]))
        while rows:
            wave = np.array(rows[:size], dtype=np.int64)
            writing = _write(model, [prompts[row] for row in wave], one, (own[wave], limits))
            if writing is not None:
                written.take(wave, writing)
                rows = rows[size:]
            elif size == 1:
                msg = f"One answer to {len(prompts[rows[0]]):,} tokens exceeds the memory."
                raise BackendError(msg, hint='use a smaller model, or `device="cpu"`.')
            else:
                size = max(1, min(size, len(wave)) // 2)
    return read_back(written, words)


def _write(
    model: Any,  # noqa: ANN401
    prompts: list[NDArray[np.int32]],
    constraint: Compiled,
    drawing: tuple[NDArray[np.uint64], Limits],
) -> Writing | None:
    """Write one batch of answers; `None` if memory was short."""
    import torch

    seeds, limits = drawing
    rooms = np.full(len(prompts), limits.max_new_tokens, dtype=np.int64)
    writing = Writing(constraint, rooms, seeds, limits, n_forced=0)

    def work(_: object) -> bool:
        with torch.inference_mode():
            _steps(model, prompts, writing)
        return True

    return writing if if_memory(work, prompts) else None


def _steps(model: Any, prompts: list[NDArray[np.int32]], writing: Writing) -> None:  # noqa: ANN401
    import torch
    from transformers import DynamicCache, EncoderDecoderCache

    device, network = model.device, Decoder(model)
    encoded, mask = _encoded(model, prompts)
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    tokens = writing.constraint.tokens
    columns = None if tokens is None else torch.from_numpy(tokens).to(device)
    active = np.arange(len(prompts))
    ids = np.full((len(prompts), 1), model.config.decoder_start_token_id, dtype=np.int64)
    is_first = True
    while True:
        hidden = model.decoder(
            input_ids=torch.from_numpy(np.maximum(ids, 0)).to(device),
            encoder_hidden_states=encoded,
            encoder_attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state[:, -1]
        logits = network.logits(hidden)
        logits = logits if columns is None else logits[:, columns]
        ids = writing.begin(logits) if is_first else writing.go_on(active, logits)
        is_first = False
        stays = ~writing.has_ended[active]
        if not stays.any():
            return
        if not stays.all():
            kept = torch.from_numpy(np.flatnonzero(stays)).to(device)
            active, ids, encoded, mask = active[stays], ids[stays], encoded[kept], mask[kept]
            cache.batch_select_indices(kept)


def _encoded(
    model: Any,  # noqa: ANN401
    prompts: list[NDArray[np.int32]],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Encode the prompts, each once; give what the decoder looks at, and which of it is real."""
    import torch

    longest = max(map(len, prompts))
    shape = (len(prompts), longest, model.config.d_model)
    encoded = torch.zeros(shape, dtype=model.dtype, device=model.device)
    mask = torch.zeros(shape[:2], dtype=torch.bool, device=model.device)
    for texts, rows, text_of in distinct(prompts):
        ids = torch.from_numpy(padded_texts(texts)).to(model.device)
        lengths = torch.tensor([len(text) for text in texts], device=model.device)
        real = torch.arange(ids.shape[1], device=model.device) < lengths[:, None]
        found = model.encoder(input_ids=ids, attention_mask=real).last_hidden_state
        to, of = torch.from_numpy(rows).to(model.device), torch.from_numpy(text_of)
        of = of.to(model.device)
        encoded[to, : ids.shape[1]] = found[of]
        mask[to, : ids.shape[1]] = real[of]
    return encoded, mask
