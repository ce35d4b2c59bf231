"""The gradient of one step: its examples in batches that fit, each counted by its tokens."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from celloquy._runtime import rng_for
from celloquy.errors import BackendError
from celloquy.lm._batches import if_memory
from celloquy.training._batching import (
    make_batch,
    make_packed,
    make_seq2seq,
    micro_batches,
    n_learned,
)

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from celloquy.training._batching import Batch
    from celloquy.training._model import TrainedModel
    from celloquy.training._ranks import Ranks
    from celloquy.training._recipe_train import TrainRecipe
    from celloquy.training._tokens import TokenFile

GPU_MULTIPLE = 8
"""Lengths on a GPU are rounded up to a multiple of this."""


@dataclass(eq=False)
class Gradients:
    """Adds up gradients, the same whatever fits at once and however many devices there are."""

    recipe: TrainRecipe
    """What is done."""
    trained: TrainedModel
    """The model."""
    loss: Any
    """The module that gives the summed loss of a batch."""
    ranks: Ranks
    """The processes."""

    def backward(self, tokens: TokenFile, rows: NDArray[np.int64], *, step: int) -> float:
        """Add up the gradients of a step, and give the mean loss of its tokens.

        Parameters
        ----------
        tokens
            The examples.
        rows
            Those of the step.
        step
            Its number, which what is left out by chance depends on.
        """
        weight = self.weight(tokens, rows)
        if not weight:
            return 0.0
        cuts = self._cuts(tokens, rows)
        total = 0.0
        for number, (cut, counts) in enumerate(cuts):
            with self._syncs(is_last=number == len(cuts) - 1):
                scale = self.ranks.world / weight if counts else 0.0
                total += self._one(tokens, cut, step=step, scale=scale)
        return self.ranks.summed(total) / self.ranks.world

    def mean_loss(self, tokens: TokenFile, rows: NDArray[np.int64]) -> float:
        """Give the mean loss of the tokens of examples, without gradients."""
        weight = self.weight(tokens, rows)
        total = sum(
            float(self.loss(self.batch(tokens, cut))) * counts
            for cut, counts in self._cuts(tokens, rows)
        )
        return self.ranks.summed(total) / max(weight, 1e-9)

    def batch(self, tokens: TokenFile, rows: NDArray[np.int64]) -> Batch:
        """Lay examples side by side, as the model reads them."""
        multiple = 1 if self.ranks.device == "cpu" else GPU_MULTIPLE
        if self.trained.is_seq2seq:
            start = int(self.trained.model.config.decoder_start_token_id)
            made = make_seq2seq(tokens, rows, start_id=start, multiple=multiple)
        elif self.recipe.run.packing:
            made = make_packed(tokens, rows, learns_all=self.learns_all)
        else:
            made = make_batch(tokens, rows, learns_all=self.learns_all, multiple=multiple)
        return made.to(self.ranks.device)

    def weight(self, tokens: TokenFile, rows: NDArray[np.int64]) -> float:
        """Say by what the summed loss of examples is divided: the weights of their tokens."""
        return n_learned(tokens, rows, learns_all=self.learns_all)[1]

    @property
    def learns_all(self) -> bool:
        """Whether tokens of the prompt are learned, too."""
        return self.recipe.data.loss_on == "all" and not self.trained.is_seq2seq

    def refuse_number(self, step: int, rows: NDArray[np.int64], what: str) -> NoReturn:
        """Stop at a loss that is no number.

        Parameters
        ----------
        step
            Where.
        rows
            The examples.
        what
            What was found.

        Raises
        ------
        BackendError
            Always.
        """
        some = ", ".join(f"{row + 1:,}" for row in rows[:8]) + (", …" if len(rows) > 8 else "")
        msg = f"At step {step:,} {what}, in the batch of the training examples {some}."
        hint = "lower `learning_rate`, or look at these examples; the last checkpoint is whole."
        raise BackendError(msg, hint=hint)

    def _cuts(
        self, tokens: TokenFile, rows: NDArray[np.int64]
    ) -> list[tuple[NDArray[np.int64], bool]]:
        at_once, ranks = self.recipe.run.at_once, self.ranks
        return micro_batches(
            rows, tokens.lengths, at_once=at_once, rank=ranks.rank, world=ranks.world
        )

    def _one(self, tokens: TokenFile, rows: NDArray[np.int64], *, step: int, scale: float) -> float:
        """Add the gradient of one batch, and give its scaled loss."""
        import torch

        seed = rng_for(self.recipe.run.seed, "dropout", step, int(rows[0])).integers(2**62)
        torch.manual_seed(int(seed))

        def learn(some: NDArray[np.int64]) -> float:
            loss = self.loss(self.batch(tokens, some)) * scale
            loss.backward()
            return float(loss.detach())

        found = if_memory(learn, rows)
        if found is None:
            self._refuse_memory(tokens, rows)
        if not math.isfinite(found):
            self.refuse_number(step, rows, f"the loss is {found}")
        return found

    def _refuse_memory(self, tokens: TokenFile, rows: NDArray[np.int64]) -> NoReturn:
        """Find how many examples fit into memory, and say so.

        Raises
        ------
        BackendError
            Always.
        """

        def tried(some: NDArray[np.int64]) -> bool:
            self.trained.model.zero_grad(set_to_none=True)
            self.loss(self.batch(tokens, some)).backward()
            return True

        longest = rows[np.argsort(-tokens.lengths[rows], kind="stable")]
        n_fit = len(rows) // 2
        while n_fit and not if_memory(tried, longest[:n_fit]):
            n_fit //= 2
        msg = f"{len(rows)} examples of up to {int(tokens.lengths[rows].max()):,} tokens do not "
        if n_fit:
            msg += f"fit into memory at once; {n_fit} do."
            hint = f"write `at_once = {n_fit}` under [run]: the run goes on and learns the same."
        else:
            msg += "fit into memory at once, and neither does one."
            hint = "write `gradient_checkpointing = true` under [run], or train an adapter."
        raise BackendError(msg, hint=hint)

    def _syncs(self, *, is_last: bool) -> AbstractContextManager[Any]:
        """Let processes exchange gradients with the last batch of a step only."""
        if is_last or not hasattr(self.loss, "no_sync"):
            return nullcontext()
        waits: AbstractContextManager[Any] = self.loss.no_sync()
        return waits
