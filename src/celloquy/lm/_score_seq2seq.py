"""Exact log P(answer | prompt) by an encoder-decoder: a prompt is encoded once for all answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from celloquy.lm._batches import Runner
from celloquy.lm._score import CPU_TOKENS, GPU_TOKENS, empty_scores, refuse_lengths, tries_of
from celloquy.lm._score_tree import Steps, step_logp
from celloquy.lm._trie import ROOT, TokenTrie

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray

    from celloquy.lm._batches import TokenBatch
    from celloquy.lm._protocol import Scores
    from celloquy.lm._score import OneSet

NODES_AT_ONCE = 512
"""Nodes of one tree; larger sets of answers are read in parts that follow each other."""
_NO_LIMIT = 10**9  # relative positions have no end


def score_answers_seq2seq(
    model: Any,  # noqa: ANN401 (a class of transformers)
    prompts: Sequence[NDArray[np.int32]],
    answers: OneSet | Sequence[OneSet],
    *,
    best_only: bool = False,
    token_budget: int | None = None,
) -> Scores:
    """Give log P(answer | prompt) of allowed answers, exactly.

    Each prompt is encoded once; the decoder reads the answers as a tree, whose nodes look at
    their own beginnings and at the encoded prompt.

    Parameters
    ----------
    model
        A T5 with its head (``AutoModelForSeq2SeqLM``), in evaluation mode.
    prompts
        Token ids of each prompt.
    answers
        Token ids of each allowed answer: one set for all prompts, or one set a prompt.
    best_only
        Give the likeliest answer only; the others' log-probabilities are then ``-inf``. All
        answers are read all the same, so this saves no time.
    token_budget
        Padded tokens of prompts in one batch; `None` chooses by the device. It falls when memory
        is short.

    Raises
    ------
    InputError
        If a prompt or an answer is empty, two answers have the same tokens, or the number of sets
        is not that of the prompts.
    """
    import torch

    tries = tries_of(answers, len(prompts))
    refuse_lengths(prompts, tries, longest=_NO_LIMIT)
    scores = empty_scores(tries)
    network = Decoder(model)
    parts = {id(trie): _parts(trie) for trie in tries}

    def forward(batch: TokenBatch) -> list[NDArray[np.float64]]:
        with torch.inference_mode():
            return network.score(batch, [parts[id(tries[row])] for row in batch.rows])

    def keep(batch: TokenBatch, found: list[NDArray[np.float64]]) -> None:
        for row, logp in zip(batch.rows, found, strict=True):
            best = int(logp.argmax())
            scores.best[row] = best
            chosen = slice(best, best + 1) if best_only else slice(len(logp))
            scores.logp[row, chosen] = logp[chosen]

    on_cpu = model.device.type == "cpu"
    at_once = token_budget or (CPU_TOKENS if on_cpu else GPU_TOKENS)
    if prompts:
        Runner(at_once, longest=_NO_LIMIT, is_threaded=on_cpu).each(prompts, forward, keep)
    return scores


@dataclass(frozen=True, eq=False)
class Part:
    """Some answers of a set, as a tree of their own."""

    trie: TokenTrie
    """The tree."""
    answers: NDArray[np.int64]
    """Which answers of the set; shape ``(n_answers,)``."""


def _parts(trie: TokenTrie) -> list[Part]:
    """Split a set of answers into trees of a bounded size, like beginnings together."""
    order, parts, start = np.argsort(trie.ends), [], 0
    inner = np.zeros(len(trie), dtype=np.int64)
    inner[trie.inner] = 1
    sizes = np.cumsum(inner)[trie.ends[order]]  # inner nodes up to the end of each answer
    while start < len(order):
        room = sizes[start] + NODES_AT_ONCE
        stop = max(start + 1, int(np.searchsorted(sizes, room)))
        some = order[start:stop]
        parts.append(Part(TokenTrie.of([trie.tokens[trie.way(i)] for i in some]), some))
        start = stop
    return parts


@dataclass(eq=False)
class Decoder:
    """A T5 whose decoder reads trees of tokens."""

    model: Any
    """The model with its head."""

    @property
    def config(self) -> Any:  # noqa: ANN401 (a class of transformers)
        """Settings of the model."""
        return self.model.config

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Give the logits of all tokens, in float32."""
        if self.config.scale_decoder_outputs:
            hidden = hidden * self.config.d_model**-0.5
        return cast("torch.Tensor", self.model.lm_head(hidden)).float()

    def score(self, batch: TokenBatch, parts: list[list[Part]]) -> list[NDArray[np.float64]]:
        """Give log P of every answer of each prompt of a batch."""
        import torch
        from transformers import DynamicCache

        device = self.model.device
        mask = torch.from_numpy(batch.mask).to(device)
        ids = torch.from_numpy(batch.ids).to(device)
        encoded = self.model.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        across = DynamicCache()  # the prompt's keys and values, made by the first tree
        found = [np.empty(sum(len(part.answers) for part in some)) for some in parts]
        for number in range(max(map(len, parts))):
            now = [some[min(number, len(some) - 1)] for some in parts]
            logp = self._tree([part.trie for part in now], encoded, mask, across)
            for whole, part, values in zip(found, now, logp, strict=True):
                whole[part.answers] = values
        return found

    def _tree(
        self,
        tries: list[TokenTrie],
        encoded: torch.Tensor,
        mask: torch.Tensor,
        across: Any,  # noqa: ANN401 (a class of transformers)
    ) -> list[NDArray[np.float64]]:
        """Give log P of every answer of one tree a prompt."""
        import torch
        from transformers import DynamicCache, EncoderDecoderCache

        n, width = len(tries), 1 + max(len(trie.inner) for trie in tries)
        ids = np.full((n, width), self.config.decoder_start_token_id, dtype=np.int64)
        depths = np.zeros((n, width), dtype=np.int64)
        may_see = np.zeros((n, width, width), dtype=np.bool_)
        may_see[:, :, 0] = True
        steps = []
        for row, trie in enumerate(tries):
            read = np.concatenate([[ROOT], trie.inner]).astype(np.int32)
            ids[row, 1 : len(read)] = trie.tokens[trie.inner]
            depths[row, 1 : len(read)] = trie.depths[trie.inner]
            place = np.zeros(len(trie), dtype=np.int64)
            place[trie.inner] = np.arange(1, len(read))
            ways = trie.ways[trie.inner]
            line, _ = is_node = np.nonzero(ways >= 0)
            may_see[row, line + 1, place[ways[is_node]]] = True
            steps.append(Steps.from_nodes(trie, read))
        device = encoded.device
        output = self.model.decoder(
            input_ids=torch.from_numpy(ids).to(device),
            attention_mask=self._mask(
                torch.from_numpy(may_see).to(device), torch.from_numpy(depths).to(device)
            ),
            encoder_hidden_states=encoded,
            encoder_attention_mask=mask,
            past_key_values=EncoderDecoderCache(DynamicCache(), across),
            use_cache=True,
        )
        found = step_logp(self, output.last_hidden_state, steps, tries)
        logp = []
        for trie, step, values in zip(tries, steps, found, strict=True):
            of_node = np.zeros(len(trie))
            of_node[step.nodes] = values
            logp.append(trie.add_up(of_node)[trie.ends])
        return logp

    def _mask(self, may_see: torch.Tensor, depths: torch.Tensor) -> torch.Tensor:
        """Make the additive mask of a tree; shape ``(n, heads, q, k)``.

        T5 adds a bias by the distance of two tokens, which it counts along the row of tokens. The
        mask adds the difference to the distance along the tree.
        """
        import torch

        attention = self.model.decoder.block[0].layer[0].SelfAttention
        width = depths.shape[1]
        bucket = attention._relative_position_bucket(
            depths[:, None, :] - depths[:, :, None],
            bidirectional=False,
            num_buckets=attention.relative_attention_num_buckets,
            max_distance=attention.relative_attention_max_distance,
        )
        along_tree = attention.relative_attention_bias(bucket).permute(0, 3, 1, 2)
        along_row = attention.compute_bias(width, width, device=depths.device)
        lowest = torch.finfo(along_tree.dtype).min
        mask = (along_tree - along_row).masked_fill_(~may_see[:, None], lowest)
        return cast("torch.Tensor", mask)
