"""What a run does for each objective: from a recipe to a finished run folder."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from celloquy._runtime import atomic_path, closest, is_installed, require
from celloquy.errors import InputError
from celloquy.training._card import model_card
from celloquy.training._examples import read_corpus_part, read_training_examples
from celloquy.training._pairs import read_pairs
from celloquy.training._reading import reading_of_corpus
from celloquy.training._tokens import ExampleWeights, TokenRoom, open_tokens, write_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from celloquy.training._examples import TrainingExample
    from celloquy.training._model import TrainedModel
    from celloquy.training._ranks import Ranks
    from celloquy.training._recipe_train import TrainRecipe
    from celloquy.training._run import RunFolder
    from celloquy.training._tokens import TokenFile
    from celloquy.training._trainer import Trainer

    Write = Callable[[str, Path], None]


_OF_CORPUS = {"train": "train", "valid": "validation"}
"""What a corpus calls its parts."""


def _teach_answers(recipe: TrainRecipe, run: RunFolder, ranks: Ranks) -> None:
    """Train a decoder or an encoder-decoder on answers held to be true."""
    import torch

    from celloquy.training._model import load_trained, refuse_packing
    from celloquy.training._trainer import Trainer

    _refuse_shard(recipe, ranks)
    with torch.random.fork_rng():
        trained = load_trained(recipe, device=ranks.device)
        if recipe.run.packing:
            refuse_packing(trained.model, device=ranks.device)
            trained.model.set_attn_implementation("flash_attention_2")
        room = _room(recipe, trained)
        weights = ExampleWeights(
            by_example=recipe.data.counts == "example",
            learns_all=recipe.data.loss_on == "all" and not trained.is_seq2seq,
            of_task=recipe.data.task_weights,
        )

        def write(part: str, folder: Path) -> None:
            write_tokens(_examples(recipe, part), trained.words, folder, room=room, weights=weights)

        learned, valid = _tokens(recipe, run, ranks, write)
        _refuse_unknown_tasks(recipe, learned)
        trainer = Trainer(recipe, trained, learned, valid, run, ranks, _watch(recipe, run, ranks))
        fresh = partial(load_trained, recipe, device="cpu") if recipe.run.shard else None
        _fit(trainer, fresh=fresh)


def _teach_pairs(recipe: TrainRecipe, run: RunFolder, ranks: Ranks) -> None:
    """Train a sentence encoder on pairs of texts."""
    import torch

    from celloquy.training._encoder import EncoderTrainer, load_encoder, write_pair_tokens

    with torch.random.fork_rng():
        trained = load_encoder(recipe, device=ranks.device)
        room = _room(recipe, trained)

        def write(part: str, folder: Path) -> None:
            write_pair_tokens(read_pairs(getattr(recipe.data, part)), trained, folder, room=room)

        learned, valid = _tokens(recipe, run, ranks, write)
        watch = _watch(recipe, run, ranks)
        _fit(EncoderTrainer(recipe, trained, learned, valid, run, ranks, watch))


def _teach_reward(recipe: TrainRecipe, run: RunFolder, ranks: Ranks) -> None:
    """Train a decoder by rewards of its own answers."""
    import torch

    from celloquy.training._model import load_trained
    from celloquy.training._reward import train_by_reward

    if ranks.is_first:
        run.rewind(0)
    with torch.random.fork_rng():
        trained = load_trained(recipe, device=ranks.device)
        examples = list(_examples(recipe, "train"))
        steps, n_tokens = train_by_reward(recipe, trained, examples, run=run, ranks=ranks)
    if ranks.is_first:
        counts = {"n": len(examples), "n_left_out": 0, "n_shortened": 0, "n_genes_cut": 0}
        result = {"steps": steps, "best_step": None, "n_tokens": n_tokens}
        result |= _told(trained, ranks) | {"examples": {"train": counts}}
        _finish(run, trained.save, result)


TEACHERS: dict[str, Callable[[TrainRecipe, RunFolder, Ranks], None]] = {
    "answers": _teach_answers,
    "pairs": _teach_pairs,
    "reward": _teach_reward,
}
"""What trains, by objective."""


def _refuse_shard(recipe: TrainRecipe, ranks: Ranks) -> None:
    """Refuse to cut weights over one process, or where they have to be whole.

    Raises
    ------
    InputError
        If they are to be.
    """
    if recipe.run.shard and recipe.evaluation.metric != "loss":
        msg = f"With `shard = true` only the loss is measured, not {recipe.evaluation.metric!r}."
        raise InputError(msg, hint='write `metric = "loss"` under [evaluation].')
    if recipe.run.shard and ranks.world == 1:
        msg = "`shard = true` cuts weights over several devices, and this is one process."
        raise InputError(msg, hint="start it by `torchrun --nproc-per-node 8 -m celloquy train …`.")


def _refuse_unknown_tasks(recipe: TrainRecipe, learned: TokenFile) -> None:
    """Refuse the weight of a task that no example is of.

    Raises
    ------
    InputError
        If there is one.
    """
    known = [one["name"] for one in learned.about["tasks"]]
    for name in recipe.data.task_weights:
        if name not in known:
            msg = f"`task_weights` names {name!r}, which no example is of{closest(name, known)}."
            raise InputError(msg, hint=f"the examples are of: {', '.join(filter(None, known))}.")


def _room(recipe: TrainRecipe, trained: TrainedModel) -> TokenRoom:
    return TokenRoom(
        trained.max_tokens,
        is_shared=not trained.is_seq2seq,
        too_long=recipe.data.too_long,
        name=f"'{trained.base}'",
    )


def _examples(recipe: TrainRecipe, part: str) -> Iterator[TrainingExample]:
    """Read the examples of a part: ``"train"`` or ``"valid"``."""
    data = recipe.data
    if data.corpus is None:
        return read_training_examples(getattr(data, part))
    return read_corpus_part(data.corpus, _OF_CORPUS[part])


def _has_valid(recipe: TrainRecipe) -> bool:
    """Say whether there are examples that choose the checkpoint."""
    data = recipe.data
    if data.corpus is None:
        return bool(data.valid)
    return next(read_corpus_part(data.corpus, _OF_CORPUS["valid"]), None) is not None


def _tokens(
    recipe: TrainRecipe, run: RunFolder, ranks: Ranks, write: Write
) -> tuple[TokenFile, TokenFile | None]:
    """Give the examples as token ids; the first process writes them, once for a run."""
    named = ["train", *(["valid"] if _has_valid(recipe) else [])]
    if ranks.is_first:
        run.examples.mkdir(exist_ok=True)
        for name in named:
            if not (run.examples / name / "about.json").is_file():
                write(name, run.examples / name)
    ranks.wait()
    opened = {name: open_tokens(run.examples / name) for name in named}
    return opened["train"], opened.get("valid")


def _fit(trainer: Trainer, *, fresh: Callable[[], TrainedModel] | None = None) -> None:
    """Train to the end, and write what came of it.

    Parameters
    ----------
    trainer
        The trainer.
    fresh
        Loads the base anew, where this process holds a part of the weights only.
    """
    from celloquy.training._trainer import put_weights

    trained, ranks = trainer.trained, trainer.ranks
    told = _told(trained, ranks)
    standing = trainer.fit()
    if not ranks.is_first:
        return
    if fresh is not None:
        trained = fresh()
    best = trainer.best()
    if best is not None:
        put_weights(trained.weights(), best)
    parts = {"train": trainer.train, "valid": trainer.valid}
    counts = {
        name: {key: value for key, value in part.about.items() if key != "tasks"}
        for name, part in parts.items()
        if part is not None
    }
    result = {"steps": standing.step, "best_step": standing.best_step}
    result |= {"n_tokens": standing.n_tokens} | told | {"examples": counts}
    _finish(trainer.run, trained.save, result)


def _told(trained: TrainedModel, ranks: Ranks) -> dict[str, Any]:
    """Say what the record tells of a model and of where it was trained."""
    return {
        "n_trained": sum(weight.numel() for weight in trained.weights().values()),
        "n_weights": sum(weight.numel() for weight in trained.model.parameters()),
        "base_revision": trained.revision,
        "prompt_format": trained.words.name,
        "device": ranks.device,
        "world": ranks.world,
    }


def _watch(
    recipe: TrainRecipe, run: RunFolder, ranks: Ranks
) -> Callable[[dict[str, Any]], None] | None:
    return _tensorboard(run) if recipe.run.tensorboard and ranks.is_first else None


def _tensorboard(run: RunFolder) -> Callable[[dict[str, Any]], None]:
    """Give what writes every line of the log for TensorBoard."""
    require("tensorboard", extra="train", why="to write curves for TensorBoard")
    from torch.utils.tensorboard import SummaryWriter

    writer: Any = SummaryWriter(str(run.folder / "tensorboard"))

    def tell(line: dict[str, Any]) -> None:
        said: dict[str, float] = {
            key: line[key] for key in ("loss", "learning_rate", "gradient") if key in line
        }
        if "valid" in line:
            said["valid/loss"] = line["valid"]["loss"]
            for task, found in line["valid"]["metrics"].items():
                said |= {f"valid/{metric}/{task}": value for metric, value in found.items()}
        for name, value in said.items():
            writer.add_scalar(name, value, line["step"])
        writer.flush()

    return tell


def _finish(run: RunFolder, save: Callable[[Path], None], result: dict[str, Any]) -> None:
    """Write the model, the curves, the card and the end of the record.

    Parameters
    ----------
    run
        The run.
    save
        Writes the model into a folder.
    result
        What is known at the end.
    """
    with atomic_path(run.model, overwrite=True) as temporary:
        temporary.mkdir()
        save(temporary)
        corpus = run.record()["recipe"]["data"].get("corpus")
        if corpus is not None:
            reading_of_corpus(corpus).write(temporary)
    lines = run.lines()
    best = [
        line["valid"] for line in lines if "valid" in line and line["step"] == result["best_step"]
    ]
    result["loss"] = best[-1]["loss"] if best else None
    result["metrics"] = best[-1]["metrics"] if best else {}
    record = {**run.record(), "result": result, "is_finished": True}
    if is_installed("matplotlib"):
        from celloquy.plotting import learning_curves

        learning_curves(lines, save=run.folder / "curves.png", overwrite=True)
    with atomic_path(run.folder / "README.md", overwrite=True) as temporary:
        temporary.write_text(model_card(record, lines), encoding="utf-8")
    run.write_record(record)
