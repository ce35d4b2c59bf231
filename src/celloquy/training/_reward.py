"""Learn from rewards of a model's own answers: TRL's GRPO, with a task's reward."""

from __future__ import annotations

import tempfile
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy._runtime import require
from celloquy.errors import InputError
from celloquy.lm._hf_files import quiet
from celloquy.tasks import list_tasks, load_task, reactivity_reward

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from celloquy.training._examples import TrainingExample
    from celloquy.training._model import TrainedModel
    from celloquy.training._ranks import Ranks
    from celloquy.training._recipe_train import TrainRecipe
    from celloquy.training._run import RunFolder


def reward_of(name: str) -> Callable[[str, str, str], float]:
    """Give a reward of an answer, its truth and its task.

    Parameters
    ----------
    name
        ``"reactivity"`` (:func:`celloquy.tasks.reactivity_reward`), or ``"label"``: 1 if the
        answer, as its task reads it, says the true label.

    Raises
    ------
    InputError
        If there is no such reward.

    Examples
    --------
    >>> reward_of("label")(" T cell ", "T cell", "")
    1.0
    """
    if name == "reactivity":
        return lambda said, truth, _task: reactivity_reward(said, truth).score
    if name == "label":
        return _says_label
    msg = f"There is no reward {name!r}."
    raise InputError(msg, hint="choose `reactivity` or `label`.")


def _says_label(said: str, truth: str, task: str) -> float:
    if task not in list_tasks():
        return float(said.strip() == truth.strip())
    asked = load_task(task)
    found, true = asked.parse(said), asked.parse(truth)
    return float(found.is_valid and found.value == true.value)


def train_by_reward(
    recipe: TrainRecipe,
    trained: TrainedModel,
    examples: Sequence[TrainingExample],
    *,
    run: RunFolder,
    ranks: Ranks,
) -> tuple[int, int]:
    """Train a decoder by rewards of its answers; the weights of the model are changed.

    Parameters
    ----------
    recipe
        The recipe.
    trained
        The model.
    examples
        Prompts, and the answers held to be true.
    run
        Where the log goes.
    ranks
        The processes.

    Returns
    -------
    Steps that were done, and tokens of prompts and answers.

    Raises
    ------
    InputError
        If a step holds no whole group of answers, or the model has an encoder.
    """
    part, reward = recipe.reward, reward_of(recipe.reward.reward)
    if trained.is_seq2seq:
        msg = "Rewards train decoders, and this is an encoder-decoder."
        raise InputError(msg, hint='write `objective = "answers"`.')
    if recipe.optimiser.batch_size % (part.n_answers * ranks.world):
        msg = f"A step of {recipe.optimiser.batch_size} answers holds no whole groups of "
        msg += f"{part.n_answers}."
        raise InputError(msg, hint="`optimiser.batch_size` is a multiple of `reward.n_answers`.")
    transformers = require("transformers", extra="train", why="to train a language model")
    trl = require("trl", extra="train", why="to train by rewards")
    datasets = require("datasets", extra="train", why="to train by rewards")
    rows = [{"prompt": str(i), "truth": e.answer, "task": e.task} for i, e in enumerate(examples)]
    ids = [one.tolist() for one in trained.words.all_ids([e.prompt for e in examples])]

    class OwnPrompts(trl.GRPOTrainer):  # type: ignore[misc, name-defined]
        """Reads prompts as they are read when the model is asked: data forges no mark."""

        def _tokenize_prompts(
            self, prompts: list[str]
        ) -> tuple[list[list[int]], None, dict[str, Any]]:
            return [ids[int(number)] for number in prompts], None, {}

    def rewards(completions: list[str], **columns: Any) -> list[float]:
        told = zip(completions, columns["truth"], columns["task"], strict=True)
        return [reward(said, truth, task) for said, truth, task in told]

    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings(), quiet(transformers):
        warnings.simplefilter("ignore")  # of TRL, about itself
        trainer = OwnPrompts(
            model=trained.model,
            reward_funcs=rewards,
            args=_settings(trl, recipe, ranks, scratch),
            train_dataset=datasets.Dataset.from_list(rows),
            processing_class=_padding(trained.tokenizer),
        )
        trainer.train()
    return _logged(trainer.state, run, ranks)


def _settings(trl: Any, recipe: TrainRecipe, ranks: Ranks, scratch: str) -> Any:  # noqa: ANN401
    """Put the recipe into TRL's words; its own checkpoints are off, because they are pickles."""
    steps, part = recipe.optimiser, recipe.reward
    at_once = min(recipe.run.at_once, steps.batch_size // ranks.world)
    kinds = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}
    return trl.GRPOConfig(
        output_dir=scratch,
        learning_rate=steps.learning_rate,
        lr_scheduler_type=kinds[steps.schedule],
        warmup_steps=steps.warmup,
        weight_decay=steps.weight_decay,
        adam_beta2=steps.beta2,
        max_grad_norm=steps.max_grad_norm,
        num_train_epochs=steps.epochs,
        max_steps=steps.max_steps or -1,
        per_device_train_batch_size=at_once,
        gradient_accumulation_steps=max(1, steps.batch_size // (at_once * ranks.world)),
        num_generations=part.n_answers,
        temperature=part.temperature,
        max_completion_length=part.max_new_tokens,
        beta=part.beta,
        seed=recipe.run.seed,
        bf16=recipe.run.precision == "bf16",
        gradient_checkpointing=recipe.run.gradient_checkpointing,
        use_cpu=ranks.device == "cpu",
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        log_completions=False,
    )


def _padding(tokenizer: Any) -> Any:  # noqa: ANN401 (a class of transformers)
    """Give a tokenizer with a token for padding, which TRL needs."""
    import copy

    made = copy.deepcopy(tokenizer)
    if made.pad_token is None:
        made.pad_token = made.eos_token
    return made


def _logged(state: Any, run: RunFolder, ranks: Ranks) -> tuple[int, int]:  # noqa: ANN401
    """Write TRL's log as lines of ours; give steps and tokens."""
    lines = [line for line in state.log_history if "reward" in line]
    for line in lines if ranks.is_first else ():
        said = {"step": line["step"], "epoch": line["epoch"], "loss": line["loss"]}
        run.log({**said, "reward": line["reward"], "learning_rate": line["learning_rate"]})
    tokens = max((line.get("num_tokens", 0) for line in lines), default=0)
    return int(state.global_step), int(np.rint(tokens))
