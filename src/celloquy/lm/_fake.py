"""A language model that answers from rules: for tests, trials and documentation."""

from __future__ import annotations

import json
import math
import threading
import time
from typing import TYPE_CHECKING, cast, get_args

import numpy as np

from celloquy.errors import InputError
from celloquy.lm._answer_sets import answer_sets, constraints_of, one_seed_each, padded
from celloquy.lm._endpoint_results import EndpointScores
from celloquy.lm._fake_rules import (
    as_text,
    chance,
    chance_vector,
    digest,
    ids_of,
    pieces_of,
    sequence,
)
from celloquy.lm._offers import refuse_guidance
from celloquy.lm._plan import plan_prompts
from celloquy.lm._protocol import Capability, Generated, Limits, PromptPlan, Scores
from celloquy.text import OneOf
from celloquy.text import Sequence as StringSequence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from celloquy.lm._protocol import FinishReason, Pooling, TooLong
    from celloquy.text import Constraint, Prompt

    AnswerRule = Callable[[str], str]
    ScoreRule = Callable[[str, str], float | None]
    VectorRule = Callable[[str], NDArray[np.float32]]


class ScriptedModel:
    """A deterministic language model made of rules; it counts what it is asked.

    A rule that is left out is chance: a number that depends on the texts alone, so that equal
    prompts get equal answers whatever is asked beside them.

    Parameters
    ----------
    answer
        Gives the answer to a prompt's text. With a constraint that it breaks, the constraint
        wins.
    logp
        Gives the log-probability of an answer to a prompt's text, in nats. Where it gives
        `None`, what the rule `answer` says has the probability 0.9; the others share the rest.
    vector
        Gives the embedding of a text, shape ``(d,)``.
    name
        What it is called.
    capabilities
        What it can be asked for; the rest is refused as by a real backend.
    has_logp
        Whether it knows probabilities. If not, closed sets are answered by the rule `answer`
        as an endpoint does: asked twice, then no answer (`best` = -1).
    max_tokens
        Tokens that a prompt and its answer may take; a token is a word or a sign.

    Examples
    --------
    >>> lm = ScriptedModel(answer=lambda prompt: "B cell" if "MS4A1" in prompt else "T cell")
    >>> lm.score(["CD79A MS4A1", "CD3E"], ["T cell", "B cell"]).best.tolist()
    [1, 0]
    >>> lm.n_asked, lm.asked
    (2, ['CD79A MS4A1', 'CD3E'])
    """

    def __init__(
        self,
        *,
        answer: AnswerRule | None = None,
        logp: ScoreRule | None = None,
        vector: VectorRule | None = None,
        name: str = "fake:rule",
        capabilities: Iterable[Capability] = ("embed", "score", "generate"),
        has_logp: bool = True,
        max_tokens: int = 1 << 20,
    ) -> None:
        _refuse_unknown(capabilities)
        self.name = name
        self.revision = "scripted"
        self.precision = "fp32"
        self.max_tokens = max_tokens
        self.capabilities = frozenset(capabilities)
        self.default_pooling: Pooling = "mean"
        self.has_logp = has_logp
        self.n_calls = 0
        """Times that a method was called which asks."""
        self.asked: list[str] = []
        """The texts of all prompts that were asked, in order; a second try counts again."""
        self.log: Path | None = None
        """A file that gets one line a prompt, so that other processes can count too."""
        self.pause = 0.0
        """Seconds that every prompt takes."""
        self._answer, self._logp, self._vector = answer, logp, vector
        self._lock = threading.Lock()

    @property
    def n_asked(self) -> int:
        """Prompts that were asked."""
        return len(self.asked)

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
            Tokens to keep free for the answer.
        too_long
            ``"refuse"`` or ``"cut"``, as every backend takes it.
        """
        room = self.max_tokens - n_answer_tokens
        return plan_prompts(prompts, ids_of, max_tokens=room, too_long=too_long)

    def n_dimensions(self, *, layer: int | None = None) -> int:
        """Dimensions of a vector."""
        return len(self._vector_of("any"))

    def embed(
        self,
        prompts: Sequence[Prompt | str] | PromptPlan,
        *,
        suffixes: Sequence[Sequence[Prompt | str]] | None = None,
        pooling: Pooling | None = None,
        layer: int | None = None,
        too_long: TooLong = "refuse",
    ) -> NDArray[np.float32]:
        """Give one vector a prompt, ``(n, d)``, or a suffix of each prompt, ``(n, s, d)``.

        Parameters
        ----------
        prompts
            Prompts as segments, plain texts, or a plan of them; length ``n``.
        suffixes
            Texts that follow each prompt, as many for each; `None` embeds the prompts alone.
        pooling, layer
            Taken as other backends take them; they change nothing.
        too_long
            See :meth:`plan`.
        """
        texts = self._texts(prompts, "embed", too_long=too_long)
        self._count(texts)
        if suffixes is None:
            vectors = [self._vector_of(text) for text in texts]
            return np.array(vectors, dtype=np.float32).reshape(len(texts), -1)
        after = [
            [text + as_text(one) for one in some]
            for text, some in zip(texts, suffixes, strict=True)
        ]
        deep = [[self._vector_of(text) for text in some] for some in after]
        return np.array(deep, dtype=np.float32).reshape(len(texts), -1, self.n_dimensions())

    def score(
        self,
        prompts: Sequence[Prompt | str] | PromptPlan,
        answers: Sequence[str] | Sequence[Sequence[str]],
        *,
        best_only: bool = False,
        ends: bool = True,
    ) -> Scores:
        """Give log P(answer | prompt) of every allowed answer.

        Parameters
        ----------
        prompts
            Prompts as segments, plain texts, or a plan of them; length ``n``.
        answers
            One set for all prompts, or one a prompt.
        best_only
            Whether only the likeliest answer keeps its number.
        ends
            Whether the end of the answer counts as a token.
        """
        texts = self._texts(prompts, "score")
        sets = answer_sets(answers, len(texts))
        self._count(texts)
        sizes = [[len(ids_of([one])[0]) + ends for one in some] for some in sets]
        n_tokens = padded(sizes, 0, np.int32).astype(np.int32)
        if not self.has_logp:
            found = [self._chosen(text, some) for text, some in zip(texts, sets, strict=True)]
            best = np.array([place for place, _ in found], dtype=np.int32)
            said = tuple(text for _, text in found)
            why = tuple("" if place >= 0 else "none of the allowed answers" for place in best)
            return EndpointScores(np.full(n_tokens.shape, np.nan), n_tokens, best, said, why)
        rows = [self._scores(text, some) for text, some in zip(texts, sets, strict=True)]
        logp = padded(rows, -math.inf, np.float64)
        best_of = logp.argmax(axis=1) if logp.size else np.zeros(len(texts))
        if best_only:
            others = np.arange(logp.shape[1]) != best_of[:, None]
            logp = np.where(others, -math.inf, logp)
        return Scores(logp, n_tokens, best_of.astype(np.int32))

    def generate(
        self,
        prompts: Sequence[Prompt | str] | PromptPlan,
        constraint: Constraint | Sequence[Constraint] | None = None,
        *,
        seeds: Sequence[int],
        limits: Limits | None = None,
        contrast: Sequence[Prompt | str] | PromptPlan | None = None,
    ) -> Generated:
        """Write an answer to every prompt; what the rule says, within the constraint.

        Parameters
        ----------
        prompts
            Prompts as segments, plain texts, or a plan of them; length ``n``.
        constraint
            What the answers may be; one for all, or one a prompt.
        seeds
            One a prompt: what the rule does not say is drawn with it.
        limits
            Answers over `max_new_tokens` are cut, and say so.
        contrast
            Taken as other backends take it; a rule cannot be guided.
        """
        del contrast
        limits = limits or Limits()
        refuse_guidance(self.name, limits)
        texts = self._texts(prompts, "generate")
        one_seed_each(seeds, len(texts))
        asked = constraints_of(constraint, len(texts))
        self._count(texts)
        answers, reasons, logp = [], [], []
        for text, one, seed in zip(texts, asked, seeds, strict=True):
            whole = self._written(text, one, seed)
            pieces = pieces_of(whole)[: limits.max_new_tokens]
            answers.append("".join(pieces) if pieces else whole)
            reason: FinishReason = "end" if answers[-1] == whole else "length"
            reasons.append(reason)
            known = self._logp(text, whole) if self._logp and self.has_logp else None
            logp.append(math.nan if known is None else known)
        return Generated(
            tuple(answers), tuple(ids_of(answers)), np.array(logp, dtype=np.float64),
            tuple(reasons),
        )  # fmt: skip

    def _texts(
        self,
        prompts: Sequence[Prompt | str] | PromptPlan,
        capability: Capability,
        *,
        too_long: TooLong = "refuse",
    ) -> tuple[str, ...]:
        """Give the prompts as text.

        Raises
        ------
        InputError
            If this model was not declared to do what it is asked for.
        """
        if capability not in self.capabilities:
            msg = f"'{self.name}' cannot {capability}; it can {_listed(self.capabilities)}."
            raise InputError(
                msg, hint=f"declare it: `ScriptedModel(capabilities=['{capability}'])`."
            )
        plan = prompts if isinstance(prompts, PromptPlan) else self.plan(prompts, too_long=too_long)
        return plan.texts

    def _count(self, texts: Sequence[str]) -> None:
        with self._lock:
            self.n_calls += 1
        for text in texts:
            self._note(text)

    def _note(self, text: str) -> None:
        with self._lock:
            self.asked.append(text)
            if self.log is not None:
                with self.log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"prompt": text}) + "\n")
        time.sleep(self.pause)

    def _chosen(self, text: str, answers: Sequence[str]) -> tuple[int, str]:
        """Answer a closed set as an endpoint without probabilities does: twice, then not."""
        for attempt in range(2):
            if attempt:
                self._note(text)
            said = self._said(text, answers).strip()
            if said in answers:
                return answers.index(said), said
        return -1, said

    def _said(self, text: str, answers: Sequence[str]) -> str:
        if self._answer is not None:
            return self._answer(text)
        return answers[int(np.argmax(self._scores(text, answers)))]

    def _scores(self, text: str, answers: Sequence[str], *, said: str | None = None) -> list[float]:
        """Give log-probabilities, which sum to one unless a rule says otherwise."""
        if self._logp is not None:
            ruled = [self._logp(text, answer) for answer in answers]
            if None not in ruled:
                return cast("list[float]", ruled)
        if self._answer is not None:
            said = self._answer(text).strip() if said is None else said
            weights = [0.9 if one == said else 0.1 / max(1, len(answers) - 1) for one in answers]
        else:
            weights = [math.exp(2 * chance(text, one)) for one in answers]
        return [math.log(weight / sum(weights)) for weight in weights]

    def _written(self, text: str, constraint: Constraint | None, seed: int) -> str:
        if isinstance(constraint, OneOf):
            said = self._answer(text).strip() if self._answer else ""
            if said in constraint.answers:
                return said
            scores = self._scores(text, constraint.answers, said=said)
            return constraint.answers[int(np.argmax(scores))]
        if isinstance(constraint, StringSequence):
            said = self._answer(text) if self._answer else ""
            return constraint.delimiter.join(sequence(said, constraint, seed))
        return self._answer(text) if self._answer else f"answer {digest(text).hex()[:8]}"

    def _vector_of(self, text: str) -> NDArray[np.float32]:
        if self._vector is not None:
            return np.asarray(self._vector(text), dtype=np.float32)
        return chance_vector(text)


def _listed(capabilities: Iterable[str]) -> str:
    return " and ".join(sorted(capabilities)) or "nothing"


def _refuse_unknown(capabilities: Iterable[str]) -> None:
    """Refuse a capability that no backend has.

    Raises
    ------
    InputError
        If there is one.
    """
    unknown = sorted(set(capabilities) - set(get_args(Capability)))
    if unknown:
        msg = f"There is no capability {unknown[0]!r}."
        raise InputError(msg, hint=f"choose among: {', '.join(get_args(Capability))}.")
