"""Train a sentence encoder on pairs of texts.

The losses and the model are those of sentence-transformers. Its trainer is not used: it writes
its arguments and state as pickles, and cuts long texts without a word. The loop is the one that
trains decoders, so a run goes on after it was killed, and long texts are refused or counted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy._runtime import atomic_path, require, sha256_of
from celloquy.errors import InputError
from celloquy.lm._folder import find_folder, revision_of, weight_files
from celloquy.lm._formats import PlainFormat
from celloquy.lm._formats_tokens import TokenReader
from celloquy.lm._modules import read_modules
from celloquy.training._model import TrainedModel
from celloquy.training._step import GPU_MULTIPLE, Gradients
from celloquy.training._tokens import open_tokens
from celloquy.training._trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import torch
    from numpy.typing import NDArray

    from celloquy.training._pairs import Pair
    from celloquy.training._recipe_train import TrainRecipe
    from celloquy.training._tokens import TokenFile, TokenRoom
    from celloquy.training._validate import ClosedTask

TASK, METRIC = "pairs", "spearman"


@dataclass(eq=False)
class TrainedEncoder(TrainedModel):
    """A sentence encoder, ready to be trained; its `words` close every text."""

    prefix: str = ""
    """Words that its folder puts before each text."""
    is_lowercased: bool = False
    """Whether texts are lower-cased first."""

    @property
    def is_seq2seq(self) -> bool:
        """Whether it has a decoder, too: no."""
        return False

    def save(self, folder: Path) -> None:
        """Write the encoder as sentence-transformers does.

        Parameters
        ----------
        folder
            A folder that is there.
        """
        self.model.save_pretrained(str(folder), create_model_card=False)


@dataclass(eq=False)
class PairBatch:
    """Pairs of texts as tensors."""

    texts: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    """Token ids and mask of the first and of the second texts; shape ``(n, t)`` each."""
    labels: torch.Tensor
    """Likeness of each pair; shape ``(n,)``."""


class PairGradients(Gradients):
    """Adds up gradients of pairs; each pair counts the same."""

    def batch(self, tokens: TokenFile, rows: NDArray[np.int64]) -> Any:  # noqa: ANN401
        """Lay the two texts of pairs side by side; see :class:`Gradients`."""
        import torch

        device = self.ranks.device
        cut = [(tokens.row(int(row))) for row in rows]
        firsts = [ids[:n] for ids, n in cut]
        seconds = [ids[n:] for ids, n in cut]
        multiple = 1 if device == "cpu" else GPU_MULTIPLE
        texts = tuple(
            tuple(one.to(device) for one in _padded(some, multiple=multiple))
            for some in (firsts, seconds)
        )
        labels = torch.from_numpy(tokens.columns["label"][rows]).to(device)
        return PairBatch(texts, labels)  # type: ignore[arg-type]

    def weight(self, tokens: TokenFile, rows: NDArray[np.int64]) -> float:
        """Say by what the summed loss is divided: the number of pairs."""
        return float(len(rows))


class EncoderTrainer(Trainer):
    """Trains a sentence encoder; see :class:`Trainer`."""

    def make_loss(self) -> Any:  # noqa: ANN401 (a module of torch)
        """Make what gives the summed loss of a batch of pairs."""
        from celloquy.training._encoder_loss import PairLoss

        return PairLoss(
            self.trained.model,
            self.recipe.pairs,
            device=self.ranks.device,
            precision=self.recipe.run.precision,
        )

    def make_gradients(self, loss: Any) -> Gradients:  # noqa: ANN401 (a module of torch)
        """Make what adds up the gradients of a step."""
        return PairGradients(self.recipe, self.trained, loss, self.ranks)

    def find_tasks(self) -> tuple[ClosedTask, ...]:
        """Find what is measured besides the loss: nothing with a closed set."""
        return ()

    def measure(self, valid: TokenFile, rows: NDArray[np.int64]) -> dict[str, dict[str, float]]:
        """Measure how the cosines of pairs follow their labels (Spearman, 1904)."""
        from scipy.stats import spearmanr

        if self.recipe.evaluation.metric == "loss":
            return {}
        loss: Any = getattr(self.gradients.loss, "module", self.gradients.loss)
        found: list[float] = []
        for at in range(0, len(rows), self.recipe.run.at_once):
            some = rows[at : at + self.recipe.run.at_once]
            found += loss.cosines(self.gradients.batch(valid, some)).float().tolist()
        labels = valid.columns["label"][rows]
        if len(np.unique(labels)) < 2 or len(np.unique(found)) < 2:
            return {}
        return {TASK: {METRIC: float(spearmanr(found, labels).statistic)}}


def load_encoder(recipe: TrainRecipe, *, device: str) -> TrainedEncoder:
    """Load the sentence encoder of a recipe.

    Parameters
    ----------
    recipe
        The recipe.
    device
        Where it shall run.

    Raises
    ------
    InputError
        If the recipe asks for what an encoder does not have.
    CheckpointError
        If the encoder cannot be used.
    """
    package = require("sentence_transformers", extra="train", why="to train a sentence encoder")
    if recipe.run.packing or recipe.run.shard or recipe.model.from_scratch:
        msg = "A sentence encoder has no `packing`, `shard` or `from_scratch`."
        raise InputError(msg, hint="leave them out.")
    folder = find_folder(recipe.model.base, backend="st")
    modules = read_modules(folder)
    files = weight_files(modules.backbone)
    model = package.SentenceTransformer(str(folder), device=device, local_files_only=True)
    model.float().requires_grad_(requires_grad=True)
    if recipe.run.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    limit = int(model.max_seq_length)
    wanted = recipe.model.max_tokens
    if wanted is not None and wanted > limit:
        msg = f"`model.max_tokens` is {wanted:,}, and '{recipe.model.base}' reads {limit:,}."
        raise InputError(msg, hint=f"write `max_tokens = {limit}` or leave it out.")
    reader = TokenReader(model.tokenizer.backend_tokenizer)
    words = PlainFormat(reader, end_ids=(), joint="", is_closed=True)
    return TrainedEncoder(
        model,
        None,
        model.tokenizer,
        words,
        wanted or limit,
        revision_of(folder, files),
        recipe.model.base,
        prefix=modules.prefix,
        is_lowercased=modules.is_lowercased,
    )


def write_pair_tokens(
    pairs: Iterable[Pair], trained: TrainedEncoder, folder: Path, *, room: TokenRoom
) -> TokenFile:
    """Write pairs as token ids: the first text in the place of a prompt, the second of an answer.

    Parameters
    ----------
    pairs
        The pairs.
    trained
        The encoder that reads them.
    folder
        Where the files shall lie.
    room
        How many tokens a text may take.

    Raises
    ------
    InputError
        If there is no pair, or a text is too long and that is refused.
    """
    lengths: list[tuple[int, int]] = []
    labels: list[float] = []
    n_left_out, longest = 0, 0
    with atomic_path(folder, overwrite=True) as temporary:
        temporary.mkdir()
        with (temporary / "ids.bin").open("wb") as file:
            for pair in pairs:
                ids = [_ids(text, trained) for text in (pair.first, pair.second)]
                if max(map(len, ids)) > room.max_tokens:
                    n_left_out, longest = n_left_out + 1, max(longest, *map(len, ids))
                    continue
                file.write(np.concatenate(ids).astype(np.int32).tobytes())
                lengths.append((len(ids[0]), len(ids[1])))
                labels.append(pair.label)
        _refuse(len(labels), n_left_out, longest, room)
        columns = {
            "prompt": np.array(lengths, dtype=np.int32)[:, 0],
            "answer": np.array(lengths, dtype=np.int32)[:, 1],
            "weight": np.ones(len(labels), dtype=np.float32),
            "label": np.array(labels, dtype=np.float32),
        }
        np.savez(temporary / "columns.npz", allow_pickle=False, **columns)
        counts = {"n": len(labels), "n_left_out": n_left_out, "n_shortened": 0, "n_genes_cut": 0}
        hashes = {name: sha256_of(temporary / name) for name in ("ids.bin", "columns.npz")}
        about = {**counts, "tasks": [], "max_tokens": room.max_tokens, "sha256": hashes}
        (temporary / "about.json").write_text(json.dumps(about), encoding="utf-8")
    return open_tokens(folder)


def _refuse(n_kept: int, n_left_out: int, longest: int, room: TokenRoom) -> None:
    """Refuse texts that are too long, or an empty set.

    Raises
    ------
    InputError
        If there are any and they are refused, or none is left.
    """
    if n_left_out and room.too_long == "refuse":
        msg = f"{n_left_out:,} of {n_kept + n_left_out:,} pairs hold a text that does not fit "
        msg += f"{room.name}, which reads {room.max_tokens:,} tokens; the longest takes "
        msg += f"{longest:,}."
        raise InputError(msg, hint='name fewer genes, or write `too_long = "leave_out"`.')
    if not n_kept:
        msg = "There is no pair to learn from."
        raise InputError(msg, hint="add pairs, or shorten their texts.")


def _ids(text: str, trained: TrainedEncoder) -> NDArray[np.int32]:
    said = trained.prefix + text
    return trained.words.ids(said.lower() if trained.is_lowercased else said)


def _padded(some: list[NDArray[np.int32]], *, multiple: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Lay texts side by side, padded on the right; ids and mask."""
    import torch

    longest = -(-max(map(len, some)) // multiple) * multiple
    ids = np.zeros((len(some), longest), dtype=np.int64)
    mask = np.zeros((len(some), longest), dtype=np.int64)
    for line, one in enumerate(some):
        ids[line, : len(one)], mask[line, : len(one)] = one, 1
    return torch.from_numpy(ids), torch.from_numpy(mask)
