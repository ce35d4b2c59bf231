"""What a training run is told: one strict recipe, read from TOML, that names every choice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from celloquy._runtime import closest
from celloquy.errors import InputError
from celloquy.training._recipe import RecipePart, checked, read_toml

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

GUIDE = "docs/guides/train.md"

Objective = Literal["answers", "pairs", "reward"]
Method = Literal["full", "lora", "dora", "qlora"]
PRESETS = Path(__file__).parent / "presets"
FREE = {
    ("run", "at_once"),
    ("run", "gradient_checkpointing"),
    ("run", "tensorboard"),
    ("run", "shard"),
    ("checkpoint", "every"),
    ("checkpoint", "keep"),
}
"""Keys that may change when a run goes on: they change where and how fast, not what is learned."""
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class ModelPart(RecipePart):
    """What is trained, and which of its weights."""

    base: str
    """A folder, or ``owner/name@revision`` of the hub if it is on this machine."""
    method: Method = "full"
    """All weights, or an adapter: LoRA, DoRA, or LoRA over four-bit weights (a GPU)."""
    from_scratch: bool = False
    """Whether weights start at random; the folder then needs settings and tokenizer only."""
    prompt_format: str = "auto"
    """How prompts are written; see :func:`celloquy.lm.load_lm`."""
    add_genes: str | None = None
    """File with a gene a line: each becomes a token of its own ."""
    max_tokens: Count | None = None
    """Tokens of an example; `None` takes all that the model reads."""


class AdapterPart(RecipePart):
    """The shape of an adapter (CH-9 is the default)."""

    rank: Count = 8
    """Rank of the two factors."""
    alpha: Positive = 16
    """The factors' product is scaled by alpha / rank."""
    dropout: Share = 0.0
    """Share of an adapter's inputs that is left out in training."""
    targets: Literal["all"] | tuple[str, ...] = "all"
    """Names of the layers; ``"all"`` takes every linear layer but the vocabulary head."""


class DataPart(RecipePart):
    """The examples."""

    corpus: str | None = None
    """Folder that ``celloquy corpus`` wrote; it holds both parts."""
    train: tuple[str, ...] = ()
    """Files to learn from: JSON lines or alpaca JSON."""
    valid: tuple[str, ...] = ()
    """Files that choose the checkpoint; never learned from."""
    loss_on: Literal["answer", "all"] = "answer"
    """Whether the prompt's own tokens are learned, too."""
    counts: Literal["token", "example"] = "token"
    """What counts alike: every token that is learned, or every example, however long. A label of
    two tokens is hardly heard beside answers of a hundred genes where tokens count."""
    task_weights: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """How much the examples of a task count, by its name; 1 where it is not told."""
    too_long: Literal["refuse", "shorten", "leave_out"] = "refuse"
    """What becomes of an example that does not fit: stop, leave out genes of the prompt (then the
    example, if that is not enough), or leave it out. Answers are never cut."""

    @model_validator(mode="after")
    def _one_source(self) -> DataPart:
        if (self.corpus is None) == (not self.train):
            msg = "name either `corpus` or the files of `train`"
            raise ValueError(msg)
        return self


class OptimiserPart(RecipePart):
    """How weights are moved (AdamW)."""

    learning_rate: Positive = 1e-4
    """The highest one."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How it falls after the warm-up."""
    warmup: Annotated[float, Field(ge=0)] = 0.0
    """Share of all steps in which it rises from 0; from 1 on, a number of steps."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Pull towards 0 of weights with two or more dimensions."""
    beta2: Share = 0.999
    """How long squared gradients are remembered."""
    max_grad_norm: Positive = 1.0
    """Longer gradients are shortened to this."""
    batch_size: Count = 16
    """Examples of one step, over all devices together."""
    epochs: Positive = 3.0
    """How often each example is seen."""
    max_steps: Count | None = None
    """Steps after which it ends, if that is sooner."""


class EvaluationPart(RecipePart):
    """How the best checkpoint is found."""

    every: Count = 100
    """Steps between two evaluations."""
    metric: str = "task"
    """``"task"`` takes each task's own metric where its answers are a closed set; ``"loss"``, or
    the name of a metric of labels such as ``macro_f1``."""
    patience: Count | None = None
    """Evaluations without a better one after which it ends; `None` never ends early."""
    max_examples: Count = 500
    """The most examples to measure on, drawn with the run's seed."""


class CheckpointPart(RecipePart):
    """What can be gone on from."""

    every: Count = 100
    """Steps between two checkpoints."""
    keep: Annotated[int, Field(ge=2)] = 2
    """How many of the newest are kept; the best one is kept besides."""


class RunPart(RecipePart):
    """Where and how exactly it runs."""

    seed: int = 0
    """Seed of everything random."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16 computes products in 16 bits and keeps the weights that are learned in 32."""
    at_once: Count = 8
    """Examples that a device holds at once. It changes memory, not what is learned."""
    length_groups: bool = True
    """Whether examples of like length share a batch."""
    packing: bool = False
    """Whether examples stand one after the other in a row without padding (a GPU)."""
    gradient_checkpointing: bool = False
    """Whether activations are computed twice rather than kept."""
    shard: bool = False
    """Whether weights are cut over the devices (FSDP)."""
    tensorboard: bool = False
    """Whether curves are written for TensorBoard, too."""


class PairsPart(RecipePart):
    """How a sentence encoder learns from pairs of texts."""

    loss: Literal["cosine", "contrastive"] = "cosine"
    """The cosine of two texts is regressed on their label; or pairs with a label over 0.5 are
    pulled together, and others pushed apart to `margin`."""
    margin: Positive = 0.5
    """Distance, 1 - cosine, that unlike pairs are pushed apart to (``"contrastive"``)."""


class RewardPart(RecipePart):
    """How a decoder learns from rewards of its own answers (GRPO)."""

    reward: str = "reactivity"
    """``"reactivity"``, or ``"label"``: 1 if the answer says the true label."""
    n_answers: Annotated[int, Field(ge=2)] = 4
    """Answers drawn for one prompt."""
    temperature: Positive = 1.0
    """How freely they are drawn."""
    max_new_tokens: Count = 64
    """Tokens of the longest answer."""
    beta: Annotated[float, Field(ge=0)] = 0.0
    """Pull towards the model that it began with."""


class TrainRecipe(RecipePart):
    """A whole recipe; every key has its place, and unknown ones are refused."""

    objective: Objective = "answers"
    """Answers held to be true, pairs of texts (a sentence encoder), or rewards."""
    model: ModelPart
    data: DataPart
    adapter: AdapterPart = AdapterPart()
    optimiser: OptimiserPart = OptimiserPart()
    evaluation: EvaluationPart = EvaluationPart()
    checkpoint: CheckpointPart = CheckpointPart()
    run: RunPart = RunPart()
    pairs: PairsPart = PairsPart()
    reward: RewardPart = RewardPart()

    @model_validator(mode="after")
    def _fits_objective(self) -> TrainRecipe:
        if self.objective == "pairs" and self.data.corpus is not None:
            msg = "pairs are read from the files of `data.train`, not from a corpus"
            raise ValueError(msg)
        if self.objective == "pairs" and self.model.method != "full":
            msg = f"pairs train all weights of a sentence encoder, not {self.model.method!r}"
            raise ValueError(msg)
        if self.model.from_scratch and self.model.method == "qlora":
            msg = "`from_scratch` has no trained weights that 'qlora' could keep in four bits"
            raise ValueError(msg)
        return self


def read_recipe(path: str | os.PathLike[str]) -> TrainRecipe:
    """Read a recipe; a line ``preset = "c2s"`` at its top brings that preset's keys.

    Paths in it are taken from the recipe's own folder.

    Parameters
    ----------
    path
        A TOML file.

    Raises
    ------
    InputError
        If it is no TOML, a key is unknown or missing, or a value cannot be; the closest key is
        told.
    """
    path = Path(path)
    said = read_toml(path)
    said.pop("corpus", None)  # what `celloquy corpus` reads of the same file
    name = said.pop("preset", None)
    if name is not None:
        said = _over(read_toml(_preset_file(str(name))), said)
    recipe = make_recipe(said, where=str(path))
    return _from_folder(recipe, path.parent)


def list_presets() -> tuple[str, ...]:
    """Name the presets that a recipe may begin with."""
    return tuple(sorted(file.stem for file in PRESETS.glob("*.toml")))


def make_recipe(said: Mapping[str, Any], *, where: str = "The recipe") -> TrainRecipe:
    """Make a recipe of plain values.

    Parameters
    ----------
    said
        Sections with their keys.
    where
        What it is called in messages.

    Raises
    ------
    InputError
        If a key is unknown or missing, or a value cannot be.
    """
    return checked(said, TrainRecipe, where=where, guide=GUIDE)


def changed_keys(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Name the keys of two recipes that differ and decide what is learned, with both values."""
    found = []
    for section in sorted({*old, *new}):
        first, second = old.get(section), new.get(section)
        if not isinstance(first, dict) or not isinstance(second, dict):
            pairs = [(section, first, second)]
        else:
            keys = sorted({*first, *second})
            pairs = [
                (f"{section}.{key}", first.get(key), second.get(key))
                for key in keys
                if (section, key) not in FREE
            ]
        found += [f"`{name}` was {a!r} and is {b!r}" for name, a, b in pairs if a != b]
    return found


def preset_text(name: str) -> str:
    """Give the text of a preset, with the comments that say how it is used.

    Parameters
    ----------
    name
        One of :func:`list_presets`.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    return _preset_file(name).read_text(encoding="utf-8")


def _preset_file(name: str) -> Path:
    """Find the file of a preset.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if name not in list_presets():
        msg = f"There is no preset {name!r}{closest(name, list_presets())}."
        raise InputError(msg, hint=f"choose one of: {', '.join(list_presets())}.")
    return PRESETS / f"{name}.toml"


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Lay one table over another, section by section."""
    made = dict(below)
    for key, value in above.items():
        old = made.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        made[key] = {**old, **value} if both else value  # type: ignore[dict-item]
    return made


def _from_folder(recipe: TrainRecipe, folder: Path) -> TrainRecipe:
    """Take paths from the recipe's folder."""

    def placed(one: str) -> str:
        return str((folder / Path(one).expanduser()).resolve())

    data = recipe.data.model_copy(
        update={
            "corpus": None if recipe.data.corpus is None else placed(recipe.data.corpus),
            "train": tuple(map(placed, recipe.data.train)),
            "valid": tuple(map(placed, recipe.data.valid)),
        }
    )
    base = recipe.model.base.removeprefix("hf:").removeprefix("st:")
    is_folder = (folder / Path(base).expanduser()).is_dir()
    genes = recipe.model.add_genes
    update = {
        "base": placed(base) if is_folder else base,
        "add_genes": None if genes is None else placed(genes),
    }
    model = recipe.model.model_copy(update=update)
    return recipe.model_copy(update={"data": data, "model": model})
