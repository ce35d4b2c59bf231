"""The questions that a server is asked for one prompt."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from celloquy.errors import BackendError
from celloquy.lm._endpoint_answers import (
    MisfitError,
    Said,
    Span,
    check_echo,
    has_prompt_logprobs,
    match,
    read_echo,
    read_prompt_logprobs,
    read_text,
)
from celloquy.lm._endpoint_bodies import (
    PATHS,
    asked_again,
    closed_question,
    exact_chat,
    exact_text,
    most_tokens,
    open_question,
    with_answer,
)
from celloquy.lm._endpoint_http import GarbageError, StatusError
from celloquy.text import OneOf

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from celloquy.lm._endpoint_http import Connection
    from celloquy.lm._endpoint_options import EndpointOptions
    from celloquy.lm._protocol import Limits
    from celloquy.text import Constraint, Prompt

_AT_ONCE = 64
_MADE_UP = "Say yes or no."


@dataclass(frozen=True)
class Found:
    """Which allowed answer was given."""

    best: int
    """Its place in the set; -1 if it is none of the set."""
    text: str
    """What the server said last."""
    why: str
    """Why there is no answer of the set; empty if there is one."""


def probe_body(model: str, options: EndpointOptions) -> dict[str, Any]:
    """Ask, with made-up words, whether log-probabilities of a given answer can be had."""
    if options.api == "completions":
        return exact_text([f"{_MADE_UP} yes"], model=model)
    return exact_chat(_MADE_UP, "yes", model=model, ends=False)


class Asker:
    """Asks a server about one prompt at a time.

    Parameters
    ----------
    connection
        The open connection.
    model
        Name of the model.
    options
        How it is asked.
    saw
        Takes every answer as it came, to see which model gave it.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        model: str,
        options: EndpointOptions,
        saw: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._connection, self._model, self._options, self._saw = connection, model, options, saw

    async def _ask(
        self, body: dict[str, Any], read: Callable[[Mapping[str, Any]], Any], *, what: str
    ) -> Any:  # noqa: ANN401 (what `read` gives)
        path = PATHS["completions" if "prompt" in body else "chat"]
        most = most_tokens(body)
        answer = await self._connection.ask(path, body, what=what, most=most, read=read)
        self._saw(answer)
        return answer["found"]

    async def has_exact(self) -> bool:
        """Find out whether the server gives log-probabilities of a given answer.

        Raises
        ------
        StatusError
            If it refuses for another reason than not knowing the question.
        """
        body = probe_body(self._model, self._options)
        read = _scores_messages if self._options.api == "chat" else _scores_texts
        try:
            return bool(await self._ask(body, read, what="the first question"))
        except StatusError as error:
            if error.status in {400, 404, 405, 422, 501}:
                return False
            raise

    async def closed(self, row: int, prompt: Prompt | str, answers: Sequence[str]) -> Found:
        """Ask for one of some answers; once more if it is none of them."""
        body = closed_question(prompt, answers, model=self._model, options=self._options)
        return await self._within(row, body, answers)

    async def _within(self, row: int, body: dict[str, Any], answers: Sequence[str]) -> Found:
        for attempt in range(2):
            said = Said(*await self._ask(body, _text_of, what=f"prompt {row}"))
            best, why = match(said, answers)
            if best >= 0 or attempt:
                break
            body = asked_again(body, said.text)
        return Found(best, said.text, why)

    async def exact(
        self, row: int, prompt: Prompt | str, answers: Sequence[str], *, ends: bool
    ) -> list[Span]:
        """Ask for the log-probability of every answer.

        Raises
        ------
        BackendError
            If the server's tokens do not make exactly an answer.
        """
        size = 1 if self._options.api == "chat" else _AT_ONCE
        spans: list[Span] = []
        for start in range(0, len(answers), size):
            some = answers[start : start + size]
            if self._options.api == "chat":
                body = exact_chat(prompt, some[0], model=self._model, ends=ends)
                read = partial(_spans_of_messages, said=some[0], ends=ends)
            else:
                texts = [with_answer(prompt, answer, ends=ends) for answer in some]
                body = exact_text([text for text, _ in texts], model=self._model)
                read = partial(_spans_of_texts, texts=texts, ends=ends)
            found = await self._ask(body, read, what=f"prompt {row}")
            if isinstance(found, str):
                raise BackendError(found, hint='pass `EndpointOptions(scoring="schema")`.')
            spans += [Span(*one) for one in found]
        return spans

    async def written(
        self,
        row: int,
        prompt: Prompt | str,
        constraint: Constraint | None,
        *,
        seed: int,
        limits: Limits,
    ) -> Said:
        """Ask for an answer; one outside a closed set counts as refused."""
        body = open_question(
            prompt, constraint, seed=seed, limits=limits, model=self._model,
            options=self._options,
        )  # fmt: skip
        if isinstance(constraint, OneOf):
            found = await self._within(row, body, constraint.answers)
            if found.best < 0:
                return Said(found.text, "refused")
            return Said(constraint.answers[found.best], "end")
        return Said(*await self._ask(body, _text_of, what=f"prompt {row}"))


def _text_of(answer: Mapping[str, Any]) -> list[str]:
    said = read_text(answer)
    return [said.text, said.finish_reason]


def _spans_of_messages(
    answer: Mapping[str, Any], *, said: str, ends: bool
) -> list[list[float]] | str:
    try:
        span = read_prompt_logprobs(answer, said, ends=ends)
    except MisfitError as error:
        return str(error)
    return [[span.logp, span.n_tokens]]


def _spans_of_texts(
    answer: Mapping[str, Any], *, texts: Sequence[tuple[str, int]], ends: bool
) -> list[list[float]] | str:
    try:
        spans = read_echo(answer, texts, ends=ends)
    except MisfitError as error:
        return str(error)
    return [[span.logp, span.n_tokens] for span in spans]


def _scores_messages(answer: Mapping[str, Any]) -> bool:
    read_text(answer)
    return has_prompt_logprobs(answer)


def _scores_texts(answer: Mapping[str, Any]) -> bool:
    read_text(answer)
    try:
        check_echo(answer, 1)
    except GarbageError:
        return False
    return _MADE_UP in "".join(map(str, answer["choices"][0]["logprobs"]["tokens"]))
