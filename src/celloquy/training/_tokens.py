"""Examples as token ids on disk: written once for a run, then mapped into memory, never held."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from celloquy._runtime import atomic_path, sha256_of
from celloquy.errors import InputError
from celloquy.lm._plan import fit_prompts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from celloquy.lm import PromptFormat
    from celloquy.text import Prompt
    from celloquy.training._examples import TrainingExample

TooLongExample = Literal["refuse", "shorten", "leave_out"]
MOST_ANSWERS = 2_000
"""Different answers of a task up to which they count as a closed set."""
_CHUNK = 512


@dataclass(frozen=True)
class TokenRoom:
    """How many tokens an example may take."""

    max_tokens: int
    """Tokens that the model reads."""
    is_shared: bool
    """Whether prompt and answer share them, as in a decoder."""
    too_long: TooLongExample = "refuse"
    """What becomes of longer ones."""
    name: str = "the model"
    """What the model is called in messages."""

    def for_prompt(self, n_answer: int) -> int:
        """Tokens that are left for a prompt."""
        return self.max_tokens - (n_answer if self.is_shared else 0)


@dataclass(frozen=True)
class ExampleWeights:
    """How much each learned token of an example counts."""

    by_example: bool = False
    """Whether examples count alike however long they are, rather than tokens."""
    learns_all: bool = False
    """Whether tokens of prompts are learned, too."""
    of_task: Mapping[str, float] = field(default_factory=dict)
    """How much the examples of a task count; 1 where it is not told."""

    def of(self, example: TrainingExample, *, n_prompt: int, n_answer: int) -> float:
        """Give the weight of each learned token of an example.

        Examples
        --------
        >>> from celloquy.training import TrainingExample
        >>> label = TrainingExample("Which type?", "B cell", "cell_type")
        >>> ExampleWeights(by_example=True).of(label, n_prompt=90, n_answer=2)
        0.5
        """
        weight = example.weight * self.of_task.get(example.task, 1.0)
        n_learned = n_answer + (max(n_prompt - 1, 0) if self.learns_all else 0)
        return weight / n_learned if self.by_example else weight


@dataclass(frozen=True, eq=False)
class TokenFile:
    """Examples as token ids; a folder with one flat file of ids and a few columns."""

    folder: Path
    """Where it lies."""
    about: dict[str, Any]
    """Counts, tasks and their answers."""

    @cached_property
    def ids(self) -> NDArray[np.int32]:
        """All prompts and answers end to end."""
        path = self.folder / "ids.bin"
        return np.memmap(path, dtype=np.int32, mode="r") if len(self) else np.zeros(0, np.int32)

    @cached_property
    def columns(self) -> dict[str, NDArray[Any]]:
        """Tokens of ``prompt`` and ``answer``, ``weight``, ``task``, and the answer's number."""
        return dict(np.load(self.folder / "columns.npz", allow_pickle=False))

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Where each example begins in `ids`; one more at the end."""
        return np.concatenate([[0], np.cumsum(self.lengths)]).astype(np.int64)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example, prompt and answer together."""
        found: NDArray[np.int64] = self.columns["prompt"].astype(np.int64) + self.columns["answer"]
        return found

    def __len__(self) -> int:
        return int(self.about["n"])

    def row(self, at: int) -> tuple[NDArray[np.int32], int]:
        """Give the ids of an example, and how many of them are the prompt's."""
        return self.ids[self.starts[at] : self.starts[at + 1]], int(self.columns["prompt"][at])

    def prompt(self, at: int) -> NDArray[np.int32]:
        """Give the ids of a prompt."""
        ids, n_prompt = self.row(at)
        return np.asarray(ids[:n_prompt])

    def task(self, at: int) -> str:
        """Name the task of an example."""
        return str(self.about["tasks"][self.columns["task"][at]]["name"])

    def answers(self, task: str) -> list[str] | None:
        """Give the different answers of a task; `None` if there are too many for a closed set."""
        found = next((one for one in self.about["tasks"] if one["name"] == task), None)
        return [] if found is None else found["answers"]


def open_tokens(folder: Path) -> TokenFile:
    """Open what :func:`write_tokens` wrote, after its files were compared with their hashes.

    Raises
    ------
    InputError
        If a file is not the one that was written.
    """
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    for name, expected in about["sha256"].items():
        if sha256_of(folder / name) != expected:
            msg = f"'{folder / name}' is not the file that this run wrote."
            raise InputError(msg, hint=f"remove '{folder}'; it is written again.")
    return TokenFile(folder, about)


def write_tokens(
    examples: Iterable[TrainingExample],
    words: PromptFormat,
    folder: Path,
    *,
    room: TokenRoom,
    weights: ExampleWeights | None = None,
) -> TokenFile:
    """Write examples as token ids, a few hundred in memory at a time.

    Parameters
    ----------
    examples
        The examples; read once.
    words
        How prompts and answers become tokens: the same that asks later.
    folder
        Where the files shall lie.
    room
        How many tokens there are, and what becomes of longer examples.
    weights
        How much they count; without it, as much as each example says.

    Raises
    ------
    InputError
        If there is no example, one has no token, or is too long and that is refused.
    """
    made = _Columns(weights or ExampleWeights())
    with atomic_path(folder, overwrite=True) as temporary:
        temporary.mkdir()
        with (temporary / "ids.bin").open("wb") as file:
            for chunk in _chunks(examples):
                for ids in _encoded(chunk, words, room, made):
                    file.write(ids.tobytes())
        _refuse_too_long(made, room)
        np.savez(temporary / "columns.npz", allow_pickle=False, **made.arrays())
        hashes = {name: sha256_of(temporary / name) for name in ("ids.bin", "columns.npz")}
        about = {**made.about(), "max_tokens": room.max_tokens, "sha256": hashes}
        (temporary / "about.json").write_text(json.dumps(about), encoding="utf-8")
    return open_tokens(folder)


@dataclass
class _Columns:
    """What is known of the examples that were written."""

    weights: ExampleWeights
    prompt: list[int] = field(default_factory=list)
    answer: list[int] = field(default_factory=list)
    weight: list[float] = field(default_factory=list)
    task: list[int] = field(default_factory=list)
    said: list[int] = field(default_factory=list)
    tasks: dict[str, dict[str, int] | None] = field(default_factory=dict)
    n_read: int = 0
    n_left_out: int = 0
    n_shortened: int = 0
    n_genes_cut: int = 0
    longest: tuple[int, int] = (0, 0)

    def add(self, example: TrainingExample, n_prompt: int, n_answer: int) -> None:
        """Note one example."""
        known = self.tasks.setdefault(example.task, {})
        said = -1
        if known is not None:
            said = known.setdefault(example.answer, len(known))
            if len(known) > MOST_ANSWERS:
                self.tasks[example.task] = None
                said = -1
        self.prompt.append(n_prompt)
        self.answer.append(n_answer)
        self.weight.append(self.weights.of(example, n_prompt=n_prompt, n_answer=n_answer))
        self.task.append(list(self.tasks).index(example.task))
        self.said.append(said)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Give the columns."""
        return {
            "prompt": np.array(self.prompt, dtype=np.int32),
            "answer": np.array(self.answer, dtype=np.int32),
            "weight": np.array(self.weight, dtype=np.float32),
            "task": np.array(self.task, dtype=np.int16),
            "said": np.array(self.said, dtype=np.int32),
        }

    def about(self) -> dict[str, Any]:
        """Give the counts."""
        tasks = [
            {"name": name, "answers": None if known is None else list(known)}
            for name, known in self.tasks.items()
        ]
        return {
            "n": len(self.prompt),
            "n_read": self.n_read,
            "n_left_out": self.n_left_out,
            "n_shortened": self.n_shortened,
            "n_genes_cut": self.n_genes_cut,
            "tasks": tasks,
        }


def _chunks(examples: Iterable[TrainingExample]) -> Iterator[list[TrainingExample]]:
    source = iter(examples)
    while chunk := list(itertools.islice(source, _CHUNK)):
        yield chunk


def _encoded(
    chunk: Sequence[TrainingExample], words: PromptFormat, room: TokenRoom, made: _Columns
) -> Iterator[NDArray[np.int32]]:
    """Give the ids of examples that fit, and note what became of the others."""
    prompts = words.all_ids([example.prompt for example in chunk])
    answers = _answer_ids([example.answer for example in chunk], words)
    for example, ids, answer in zip(chunk, prompts, answers, strict=True):
        made.n_read += 1
        asked = ids
        limit = room.for_prompt(len(answer))
        fits = 0 < len(asked) <= limit and len(answer) <= room.max_tokens
        if not fits and room.too_long == "shorten":
            shorter = _shortened(example.prompt, words, room, len(answer))
            if shorter is not None:
                asked, n_cut = shorter
                made.n_shortened += 1
                made.n_genes_cut += n_cut
                fits = True
        if not fits:
            made.n_left_out += 1
            made.longest = max(made.longest, (len(ids) + len(answer), made.n_read))
            continue
        made.add(example, len(asked), len(answer))
        yield np.concatenate([asked, answer]).astype(np.int32)


def _answer_ids(answers: Sequence[str], words: PromptFormat) -> list[NDArray[np.int32]]:
    """Give the ids of answers with their ends, each different one read once."""
    different = list(dict.fromkeys(answers))
    found = words.encode_answers(different)
    if not words.closing or not all(found):  # these say what is wrong, and with which answer
        for answer in different:
            words.answer_ids(answer, ends=True)
    known = {
        answer: np.array([*ids, *words.closing], dtype=np.int32)
        for answer, ids in zip(different, found, strict=True)
    }
    return [known[answer] for answer in answers]


def _shortened(
    prompt: Prompt | str, words: PromptFormat, room: TokenRoom, n_answer: int
) -> tuple[NDArray[np.int32], int] | None:
    """Leave out the last genes of a prompt until it fits; `None` if that is not enough."""
    limit = room.for_prompt(n_answer)
    if isinstance(prompt, str) or n_answer > room.max_tokens or limit < 1:
        return None
    try:
        plan = fit_prompts([prompt], words.all_ids, max_tokens=limit)
    except InputError:  # its words alone are too long: left out, and counted
        return None
    return plan.ids[0], int(plan.n_names_cut[0])


def _refuse_too_long(made: _Columns, room: TokenRoom) -> None:
    """Refuse examples that do not fit, or an empty set.

    Raises
    ------
    InputError
        If there are any and they are refused, or none is left.
    """
    n_tokens, number = made.longest
    if made.n_left_out and room.too_long == "refuse":
        msg = f"{made.n_left_out:,} of {made.n_read:,} examples do not fit {room.name}, which reads"
        msg += f" {room.max_tokens:,} tokens; the longest, example {number:,}, takes {n_tokens:,}."
        hint = '`[data] too_long = "shorten"` leaves out genes of the prompt, and counts them.'
        raise InputError(msg, hint=hint)
    if not made.prompt:
        why = f"all {made.n_read:,} are too long" if made.n_read else "the files hold none"
        msg = f"There is no example to learn from: {why}."
        raise InputError(msg, hint="add examples, or a model that reads more tokens.")
