"""The training loop of decoders and encoder-decoders.

Why not TRL's or transformers' Trainer: they compute the logits of every token of a prompt before
a loss can leave them out, write their arguments and state as pickles, go on by skipping batches
through a data loader, and average a loss over batches rather than over the tokens of a step. The
loop below is shorter than the hooks that would change all four. Adapters are PEFT's, several
devices torch's; TRL draws and rewards answers (``objective = "reward"``), and sentence encoders
have sentence-transformers' trainer.
"""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from celloquy._runtime import Progress
from celloquy.training._batching import epoch_steps
from celloquy.training._checkpoints import (
    MOMENTS,
    WEIGHTS,
    Checkpoint,
    load_tensors,
    newest_checkpoint,
    open_checkpoint,
    remove_old,
    write_checkpoint,
)
from celloquy.training._optimiser import (
    learning_rate,
    make_optimiser,
    moments,
    placed_like,
    set_moments,
    whole,
)
from celloquy.training._step import Gradients
from celloquy.training._validate import (
    ClosedTask,
    Measured,
    chosen_rows,
    closed_tasks,
    measure_tasks,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from celloquy.training._model import TrainedModel
    from celloquy.training._ranks import Ranks
    from celloquy.training._recipe_train import TrainRecipe
    from celloquy.training._run import RunFolder
    from celloquy.training._tokens import TokenFile


@dataclass
class Standing:
    """Where a run stands: what the next step depends on besides weights and moments."""

    step: int = 0
    """Steps that were done."""
    best_step: int | None = None
    """The step with the best evaluation."""
    best_score: list[float] | None = None
    """Its score."""
    n_worse: int = 0
    """Evaluations since."""
    n_tokens: int = 0
    """Tokens that were read, without padding."""


@dataclass(eq=False)
class Trainer:
    """Trains one model on one set of examples, and goes on where it was stopped."""

    recipe: TrainRecipe
    """What is done."""
    trained: TrainedModel
    """The model."""
    train: TokenFile
    """Examples to learn from."""
    valid: TokenFile | None
    """Examples that choose the checkpoint."""
    run: RunFolder
    """Where it is kept."""
    ranks: Ranks
    """The processes."""
    watch: Callable[[dict[str, Any]], None] | None = None
    """Is told every line of the log."""
    standing: Standing = field(default_factory=Standing)
    """Where it stands."""

    def __post_init__(self) -> None:
        self.weights = self.trained.weights()
        found = newest_checkpoint(self.run.checkpoints)
        if found is not None:
            put_weights(self.weights, found)
            self.standing = Standing(**found.state)
        self.gradients = self.make_gradients(self._spread(self.make_loss()))
        self.weights = self.trained.weights()
        self.optimiser = make_optimiser(self.weights, self.recipe.optimiser)
        if found is not None:
            set_moments(self.optimiser, self.weights, load_tensors(found, MOMENTS))
        if self.ranks.is_first:
            self.run.rewind(self.standing.step)
        self.tasks = self.find_tasks()
        self._order = lru_cache(maxsize=1)(self._epoch)

    def make_loss(self) -> Any:  # noqa: ANN401 (a module of torch)
        """Make what gives the summed loss of a batch."""
        from celloquy.training._loss import AnswerLoss
        from celloquy.training._tied import learn_in_place

        if self.ranks.world == 1 and self.ranks.device == "cpu" and not self.trained.is_seq2seq:
            learn_in_place(self.trained.model)
        precision = self.recipe.run.precision
        return AnswerLoss(self.trained.model, device=self.ranks.device, precision=precision)

    def make_gradients(self, loss: Any) -> Gradients:  # noqa: ANN401 (a module of torch)
        """Make what adds up the gradients of a step."""
        return Gradients(self.recipe, self.trained, loss, self.ranks)

    def find_tasks(self) -> tuple[ClosedTask, ...]:
        """Find what is measured besides the loss."""
        if self.valid is None:
            return ()
        from celloquy.training._corpus_read import Corpus

        corpus, wanted = self.recipe.data.corpus, self.recipe.evaluation.metric
        known = {} if corpus is None else Corpus(corpus).tasks
        return closed_tasks(self.train, self.valid, wanted=wanted, known=known)

    def measure(self, valid: TokenFile, rows: NDArray[np.int64]) -> dict[str, dict[str, float]]:
        """Measure examples; metric and value by task."""
        return measure_tasks(self.trained, valid, rows, self.tasks, ranks=self.ranks)

    @property
    def n_steps(self) -> int:
        """Steps of the whole run."""
        part = self.recipe.optimiser
        planned = math.ceil(self._steps_an_epoch * part.epochs)
        return planned if part.max_steps is None else min(planned, part.max_steps)

    def fit(self) -> Standing:
        """Train until the recipe's end, or until evaluations get no better."""
        standing, part = self.standing, self.recipe
        is_shown = self.ranks.is_first
        with Progress(self.n_steps, unit="steps") if is_shown else nullcontext() as progress:
            while standing.step < self.n_steps and not self._is_enough:
                self._one_step(standing.step + 1)
                step, is_last = standing.step, standing.step == self.n_steps
                if self.valid is not None and (is_last or step % part.evaluation.every == 0):
                    self._evaluate(self.valid)
                is_best = standing.best_step == step
                if is_last or is_best or self._is_enough or step % part.checkpoint.every == 0:
                    self._keep()
                if progress is not None:
                    progress.advance(1)
            if progress is not None:
                progress.note(f"{standing.n_tokens:,} tokens")
        return standing

    def best(self) -> Checkpoint | None:
        """Give the checkpoint whose weights are the result."""
        step = self.standing.best_step
        wanted = self.standing.step if step is None else step
        return open_checkpoint(self.run.checkpoints, wanted)

    @property
    def _steps_an_epoch(self) -> int:
        return -(-len(self.train) // self.recipe.optimiser.batch_size)

    @property
    def _is_enough(self) -> bool:
        patience = self.recipe.evaluation.patience
        return patience is not None and self.standing.n_worse >= patience

    def _epoch(self, epoch: int) -> list[NDArray[np.int64]]:
        return epoch_steps(
            self.train.lengths,
            batch_size=self.recipe.optimiser.batch_size,
            seed=self.recipe.run.seed,
            epoch=epoch,
            groups=self.recipe.run.length_groups,
        )

    def _one_step(self, step: int) -> None:
        """Learn from the examples of one step."""
        import torch

        began = time.perf_counter()
        epoch, at = divmod(step - 1, self._steps_an_epoch)
        rows = self._order(epoch)[at]
        part = self.recipe.optimiser
        rate = learning_rate(part, step, n_steps=self.n_steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.trained.model.train()
        loss = self.gradients.backward(self.train, rows, step=step)
        weights = self.weights.values()
        given = [weight.grad for weight in weights if weight.grad is not None]
        found = torch.nn.utils.get_total_norm(given)
        norm = float(whole(found))
        if not math.isfinite(norm):
            self.gradients.refuse_number(step, rows, f"the gradient is {norm}")
        if norm > part.max_grad_norm:
            torch.nn.utils.clip_grads_with_norm_(weights, part.max_grad_norm, found)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        n_tokens = int(self.train.lengths[rows].sum())
        self.standing.step = step
        self.standing.n_tokens += n_tokens
        seconds = time.perf_counter() - began
        place = round(epoch + (at + 1) / self._steps_an_epoch, 4)
        self._log(
            {
                "step": step, "epoch": place, "loss": loss, "learning_rate": rate,
                "gradient": norm, "tokens": n_tokens, "seconds": round(seconds, 4),
            }
        )  # fmt: skip

    def _evaluate(self, valid: TokenFile) -> None:
        """Measure, and note whether this is the best so far."""
        import torch

        standing = self.standing
        rows = chosen_rows(
            valid, most=self.recipe.evaluation.max_examples, seed=self.recipe.run.seed
        )
        self.trained.model.eval()
        with torch.no_grad():
            loss = self.gradients.mean_loss(valid, rows)
            metrics = self.measure(valid, rows)
        score = Measured(loss, metrics).score
        if standing.best_score is None or score > standing.best_score:
            standing.best_step, standing.best_score, standing.n_worse = standing.step, score, 0
        else:
            standing.n_worse += 1
        self._log({"step": standing.step, "valid": {"loss": loss, "metrics": metrics}})

    def _log(self, line: dict[str, Any]) -> None:
        if self.ranks.is_first:
            self.run.log(line)
            if self.watch is not None:
                self.watch(line)

    def _keep(self) -> None:
        """Write a checkpoint, and remove old ones."""
        weights = {name: whole(one.detach()) for name, one in self.weights.items()}
        moved = moments(self.optimiser, self.weights)
        standing, folder = self.standing, self.run.checkpoints
        if self.ranks.is_first:
            state = vars(standing)
            write_checkpoint(folder, standing.step, weights=weights, moments=moved, state=state)
            remove_old(folder, keep=self.recipe.checkpoint.keep, best=standing.best_step)
        self.ranks.wait()

    def _spread(self, loss: Any) -> Any:  # noqa: ANN401 (a module of torch)
        """Put the loss of a model over the processes: a copy in each, or cut over them."""
        import torch

        if self.ranks.world == 1:
            return loss
        if self.recipe.run.shard:
            from celloquy.training._shard import shard_model

            shard_model(loss, device=self.ranks.device)
            return loss
        places = None if self.ranks.device == "cpu" else [self.ranks.device]
        return torch.nn.parallel.DistributedDataParallel(loss, device_ids=places)


def put_weights(weights: dict[str, torch.nn.Parameter], found: Checkpoint) -> None:
    """Put the weights of a checkpoint into a model.

    Parameters
    ----------
    weights
        The model's trained weights, by name.
    found
        The checkpoint.
    """
    import torch

    saved = load_tensors(found, WEIGHTS)
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(placed_like(saved[name], weight))
