"""What checkpoints of transformers (``hf:``) share, decoders and encoder-decoders."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from celloquy.errors import InputError
from celloquy.lm._answering import answer_ids, answer_room, warn_of_cuts
from celloquy.lm._offers import refuse_guidance, refuse_verb
from celloquy.lm._plan import fit_prompts
from celloquy.lm._protocol import Limits, PromptPlan
from celloquy.text import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from celloquy.lm._answering import AnswerIds
    from celloquy.lm._batches import Runner
    from celloquy.lm._formats import PromptFormat
    from celloquy.lm._hidden import Read
    from celloquy.lm._protocol import Capability, Generated, Pooling, Scores, TooLong
    from celloquy.lm._reading import CellReading
    from celloquy.text import Constraint, Prompt

    Prompts = Sequence[Prompt | str] | PromptPlan
    Constraints = Constraint | Sequence[Constraint] | None


@dataclass(eq=False, kw_only=True)
class HFModel(ABC):
    """A checkpoint of transformers that was loaded: it scores, writes answers, and gives vectors.

    At equal precision a prompt's result does not depend on which others are asked with it.
    """

    answer_shares_room: ClassVar[bool] = True
    """Whether prompt and answer together may take `max_tokens`, or the prompt alone."""

    can_guide: ClassVar[bool] = False
    """Whether answers can be drawn away from a contrast."""

    name: str
    """How it was asked for."""
    revision: str
    """SHA-256 of its weights, adapter, prompt format and settings that change its answers."""
    device: str
    """Where it runs."""
    precision: str
    """How exactly it computes."""
    max_tokens: int
    """Tokens that a prompt may take, together with its answer if they share the room."""
    tokenizer: Any
    """Its fast tokenizer of transformers."""
    format: PromptFormat
    """How prompts and answers become tokens."""
    runner: Runner
    """What makes and runs batches of embedding."""
    default_pooling: Pooling
    """How token vectors become one unless asked otherwise."""
    licence: str | None = None
    """The licence of the weights, where it is known."""
    capabilities: frozenset[Capability] = frozenset({"embed", "score", "generate"})
    """What it can be asked for."""
    cannot: str = ""
    """Why it cannot be asked for the rest."""
    reading: CellReading | None = None
    """How it was taught to read cells, where its folder says it."""

    @property
    def labels(self) -> Mapping[str, tuple[str, ...]]:
        """Labels that it was taught, by task; empty where its folder does not say it."""
        return {} if self.reading is None else self.reading.labels

    @cached_property
    def vocabulary(self) -> Vocabulary | None:
        """The genes that it knows; `None` where its folder does not say it."""
        known = None if self.reading is None else self.reading.known
        return None if known is None else Vocabulary(known.symbols, known.ids)

    @property
    @abstractmethod
    def n_layers(self) -> int:
        """Layers that vectors can be taken from."""

    @abstractmethod
    def n_dimensions(self, *, layer: int | None = None) -> int:
        """Dimensions of a vector."""

    @abstractmethod
    def reader_to(self, layer: int) -> Read:
        """Give what reads tokens as far as one layer: shape ``(n, t)`` to ``(n, t, d)``."""

    @abstractmethod
    def _score(
        self, ids: Sequence[NDArray[np.int32]], allowed: AnswerIds, *, best_only: bool
    ) -> Scores:
        """Score allowed answers after prompts that fit."""

    @abstractmethod
    def _generate(
        self,
        ids: Sequence[NDArray[np.int32]],
        constraint: Constraints,
        *,
        seeds: Sequence[int],
        limits: Limits,
        contrast: Sequence[NDArray[np.int32]],
    ) -> Generated:
        """Write answers to prompts that fit; `contrast` is empty without guidance."""

    def plan(
        self,
        prompts: Sequence[Prompt | str],
        *,
        n_answer_tokens: int = 0,
        too_long: TooLong = "refuse",
    ) -> PromptPlan:
        """Count the tokens of prompts, and cut gene names where prompt and answer do not fit.

        Parameters
        ----------
        prompts
            Prompts as segments, or plain texts; length ``n``.
        n_answer_tokens
            Tokens to keep free for the answer. They take nothing from the prompt of an
            encoder-decoder, whose decoder has its own room.
        too_long
            ``"refuse"`` stops at a prompt that does not fit even without gene names;
            ``"cut"`` cuts the end of plain texts, and counts it.
        """
        taken = n_answer_tokens if self.answer_shares_room else 0
        return self.fit(prompts, n_further=taken, too_long=too_long)

    def fit(
        self, prompts: Sequence[Prompt | str], *, n_further: int, too_long: TooLong = "refuse"
    ) -> PromptPlan:
        """Cut gene names where a prompt and what is read after it do not fit.

        Parameters
        ----------
        prompts
            Prompts as segments, or plain texts; length ``n``.
        n_further
            Tokens that are read after each prompt.
        too_long
            See :meth:`plan`.
        """
        return fit_prompts(
            prompts,
            self.format.all_ids,
            max_tokens=self.max_tokens,
            too_long=too_long,
            n_answer_tokens=n_further,
            name=f"'{self.name}'",
            write=self.format.text,
        )

    def embed(
        self,
        prompts: Prompts,
        *,
        suffixes: Sequence[Sequence[Prompt | str]] | None = None,
        pooling: Pooling | None = None,
        layer: int | None = None,
        too_long: TooLong = "refuse",
    ) -> NDArray[np.float32]:
        """Give one vector a prompt, or one a suffix of each prompt.

        No logits are computed, and of the layers only the one that is asked for is kept. The
        vectors of an encoder-decoder are those of its encoder.

        Parameters
        ----------
        prompts
            Prompts as segments, plain texts, or a plan of them; length ``n``.
        suffixes
            What follows each prompt, ``s`` for each, such as the genes of a cell. A decoder reads
            a prompt once for all of them; an encoder looks both ways, so it reads it again for
            each. `pooling` is then over the tokens of the suffix.
        pooling
            ``"last"`` (the last token of the prompt, right before an answer), ``"mean"``,
            ``"max"``, ``"cls"`` (the first), or ``"genes"``: the mean of the tokens that spell
            gene names. `None` takes `default_pooling`.
        layer
            Layer to take token vectors from, 0 = the input, -1 = the last after its norm, which
            is also what `None` takes.
        too_long
            See :meth:`plan`.

        Returns
        -------
        Vectors in the order of the prompts, shape ``(n, d)``, or ``(n, s, d)`` with suffixes.

        Raises
        ------
        InputError
            If there is no such pooling or layer, or a prompt has no token to pool.
        BackendError
            If a vector is not finite, or one prompt does not fit into memory.
        """
        from celloquy.lm._hidden import embed_prompts
        from celloquy.lm._hidden_suffixes import embed_suffixes

        if suffixes is not None:
            return embed_suffixes(
                self, prompts, suffixes, pooling=pooling, layer=layer, too_long=too_long
            )
        return embed_prompts(self, prompts, pooling=pooling, layer=layer, too_long=too_long)

    def score(
        self,
        prompts: Prompts,
        answers: Sequence[str] | Sequence[Sequence[str]],
        *,
        best_only: bool = False,
        ends: bool = True,
    ) -> Scores:
        """Give log P(answer | prompt) of every allowed answer, exactly.

        Parameters
        ----------
        prompts
            Prompts as segments, plain texts, or a plan of them; length ``n``.
        answers
            One set for all prompts, or one a prompt.
        best_only
            Search the likeliest answer only; the others' log-probabilities are then ``-inf``.
        ends
            Whether the end of the answer is scored, which tells apart an answer and its prefix.

        Raises
        ------
        InputError
            If a prompt and its answers do not fit, or the network cannot be asked for scores.
        """
        if "score" not in self.capabilities:
            refuse_verb(self.name, "score", why=self.cannot)
        allowed = answer_ids(self.format, answers, n_prompts=len(prompts), ends=ends)
        plan = self._planned(prompts, allowed.longest)
        return self._score(plan.ids, allowed, best_only=best_only)

    def generate(
        self,
        prompts: Prompts,
        constraint: Constraints = None,
        *,
        seeds: Sequence[int],
        limits: Limits | None = None,
        contrast: Prompts | None = None,
    ) -> Generated:
        """Write an answer to every prompt.

        Parameters
        ----------
        prompts
            Prompts as segments, plain texts, or a plan of them; length ``n``.
        constraint
            What may be answered: one for all prompts, or one a prompt.
        seeds
            A seed for every prompt; length ``n``.
        limits
            How answers are drawn, and how long they may be.
        contrast
            What each answer is guided away from, such as the same question without the type of
            cell; length ``n``. Used where `limits` has a `guidance_scale` other than 1.

        Raises
        ------
        InputError
            If a prompt and its answer do not fit, the network cannot be asked for answers or be
            guided, or contrasts are not as many as prompts.
        """
        if "generate" not in self.capabilities:
            refuse_verb(self.name, "generate", why=self.cannot)
        limits = limits or Limits()
        if not self.can_guide:
            refuse_guidance(self.name, limits)
        room = answer_room(self.format, constraint, limits, max_tokens=self.max_tokens)
        plan = self._planned(prompts, room)
        others: Sequence[NDArray[np.int32]] = ()
        if limits.guidance_scale != 1:
            others = () if contrast is None else self._planned(contrast, room).ids
            _refuse_other_number(len(others), len(plan))
        return self._generate(plan.ids, constraint, seeds=seeds, limits=limits, contrast=others)

    def _planned(self, prompts: Prompts, n_answer_tokens: int) -> PromptPlan:
        if isinstance(prompts, PromptPlan):
            return prompts
        return warn_of_cuts(self.plan(prompts, n_answer_tokens=n_answer_tokens), self.name)


def _refuse_other_number(n_contrasts: int, n_prompts: int) -> None:
    """Refuse guidance without a contrast for every prompt.

    Raises
    ------
    InputError
        If there are more or fewer contrasts than prompts.
    """
    if n_contrasts != n_prompts:
        msg = f"Guidance needs a contrast for each of {n_prompts:,} prompts, got {n_contrasts:,}."
        raise InputError(msg, hint="pass `contrast=` as many prompts, or `guidance_scale=1`.")
