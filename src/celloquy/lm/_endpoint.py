"""A language model behind a server of OpenAI's protocol."""

from __future__ import annotations

import sys
import warnings
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy._runtime import cache_folder
from celloquy.lm._answer_sets import answer_sets, constraints_of, one_seed_each
from celloquy.lm._endpoint_ask import Asker, probe_body
from celloquy.lm._endpoint_bodies import closed_question, open_question
from celloquy.lm._endpoint_http import Connection
from celloquy.lm._endpoint_manners import Manners
from celloquy.lm._endpoint_notice import notice, shown_request
from celloquy.lm._endpoint_options import EndpointOptions
from celloquy.lm._endpoint_plan import EndpointPlan, plan_endpoint
from celloquy.lm._endpoint_results import DryRun, EndpointScores, as_scores
from celloquy.lm._endpoint_rows import in_rows, run
from celloquy.lm._endpoint_spend import MESSAGE_TOKENS, Spend, Tokens, estimate_tokens
from celloquy.lm._endpoint_store import STORE_NAME, AnswerStore
from celloquy.lm._offers import refuse_guidance, refuse_verb
from celloquy.lm._protocol import Generated, Limits, PromptPlan
from celloquy.lm._remote import (
    check_allowed,
    read_address,
    read_secret,
    refuse_identifiers,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from celloquy.lm._endpoint_answers import Span
    from celloquy.lm._endpoint_ask import Found
    from celloquy.lm._protocol import Capability, Pooling, TooLong
    from celloquy.lm._remote import Address, Secret
    from celloquy.text import Constraint, Prompt

    Body = dict[str, Any]

_NO_LOGP = "the server was asked for answers, not for log-probabilities"


class Endpoint:
    """A language model behind a server of OpenAI's protocol.

    Rows are asked at once and in any order; answers are put back by row. What was answered by
    another machine is kept, so that a run that stopped asks nothing twice.

    Parameters
    ----------
    address
        The model and its server.
    secret
        The key.
    options
        How it is asked, and what may be spent; `None` for the usual.
    """

    def __init__(
        self, address: Address, secret: Secret, *, options: EndpointOptions | None = None
    ) -> None:
        self._address, self._secret = address, secret
        self.options = options or EndpointOptions()
        self.name = f"openai:{address.model}@{address.url}"
        self.revision = self.name
        """The name; what the provider says of the model is in :meth:`record`."""
        self.precision = "unknown"
        self.max_tokens = self.options.max_tokens
        self.capabilities: frozenset[Capability] = frozenset({"score", "generate"})
        self.tell: Callable[[str], None] = _to_stderr
        """Takes the line that is said before anything leaves."""
        self._spend = Spend(self.options, keeps=self._store_path() is not None)
        self._manners = Manners()
        self._seen: dict[tuple[str, str], None] = {}
        self._is_exact = {"exact": True, "schema": False}.get(self.options.scoring)
        if self._is_exact is None and self._spend.cost_of(Tokens()) is not None:
            self._is_exact = False  # one request an answer: not unasked where it is paid for
        self._expected: tuple[int, tuple[str, ...]] | None = None
        self._has_told = address.is_own
        self._n_stored = 0

    def __repr__(self) -> str:
        return f"Endpoint({self.name!r})"

    def expect(self, n_cells: int, *, fields: Sequence[str] = ()) -> None:
        """Say how many cells will be asked about in all, and which columns of obs are sent.

        Parameters
        ----------
        n_cells
            Cells, over all calls.
        fields
            Names of the columns of obs whose values stand in the prompts.
        """
        self._expected = (n_cells, tuple(fields))

    def plan(
        self,
        prompts: Sequence[Prompt | str],
        *,
        n_answer_tokens: int = 0,
        too_long: TooLong = "refuse",
    ) -> EndpointPlan:
        """Estimate the tokens of prompts, and cut gene names where prompt and answer do not fit.

        Parameters
        ----------
        prompts
            Prompts as segments, or plain texts; length ``n``.
        n_answer_tokens
            Tokens to keep free for the answer.
        too_long
            Only ``"refuse"``.
        """
        room = self.max_tokens - n_answer_tokens - 2 * MESSAGE_TOKENS
        return plan_endpoint(prompts, max_tokens=max(1, room), too_long=too_long)

    def embed(
        self,
        prompts: Sequence[Prompt | str] | PromptPlan,
        *,
        suffixes: Sequence[Sequence[Prompt | str]] | None = None,
        pooling: Pooling | None = None,
        layer: int | None = None,
        too_long: TooLong = "refuse",
    ) -> NDArray[np.float32]:
        """Refuse: a server's vectors are of an unknown layer and pooling.

        Parameters
        ----------
        prompts, suffixes, pooling, layer, too_long
            As other backends take them.
        """
        refuse_verb(self.name, "embed", why="a server does not say what its vectors are")

    def score(
        self,
        prompts: Sequence[Prompt | str] | PromptPlan,
        answers: Sequence[str] | Sequence[Sequence[str]],
        *,
        best_only: bool = False,
        ends: bool = True,
    ) -> EndpointScores:
        """Answer closed sets: with log-probabilities where the server gives them.

        Elsewhere each prompt is asked for one answer by a schema. What comes is one of the set
        exactly, or it is asked for once more; if it is still none, `best` is -1.

        Parameters
        ----------
        prompts
            Prompts as segments, plain texts, or a plan of them; length ``n``.
        answers
            One set for all prompts, or one a prompt.
        best_only
            Whether only the likeliest answer keeps its number.
        ends
            Whether the end of the answer is scored: the end of the message, or a line break
            where plain text is sent.
        """
        rows = self._rows(prompts)
        sets = answer_sets(answers, len(rows))

        def question(row: int) -> Body:
            return closed_question(
                rows[row], sets[row], model=self._address.model, options=self.options
            )

        self._announce(rows, question, n_texts=[len(some) for some in sets])

        async def one(asker: Asker, row: int) -> list[Span] | Found:
            if self._is_exact:
                return await asker.exact(row, rows[row], sets[row], ends=ends)
            return await asker.closed(row, rows[row], sets[row])

        found = run(self._all(len(rows), one, is_closed=True))
        estimates = [[estimate_tokens(one) + ends for one in some] for some in sets]
        return as_scores(found, estimates, best_only=best_only)

    def generate(
        self,
        prompts: Sequence[Prompt | str] | PromptPlan,
        constraint: Constraint | Sequence[Constraint] | None = None,
        *,
        seeds: Sequence[int],
        limits: Limits | None = None,
        contrast: Sequence[Prompt | str] | PromptPlan | None = None,
    ) -> Generated:
        """Ask for an answer to every prompt.

        A closed set and a JSON schema are enforced where the server can; an answer outside a
        closed set counts as refused. A sequence of strings is not enforced: check what comes.

        Parameters
        ----------
        prompts
            Prompts as segments, plain texts, or a plan of them; length ``n``.
        constraint
            What the answers may be; one for all, or one a prompt.
        seeds
            One a prompt; the server decides what it makes of them.
        limits
            How answers are drawn, and when they end.
        contrast
            Taken as other backends take it; a server cannot be guided.
        """
        del contrast
        limits = limits or Limits()
        refuse_guidance(self.name, limits)
        rows = self._rows(prompts)
        one_seed_each(seeds, len(rows))
        asked = constraints_of(constraint, len(rows))

        def question(row: int) -> Body:
            return open_question(
                rows[row], asked[row], seed=seeds[row], limits=limits,
                model=self._address.model, options=self.options,
            )  # fmt: skip

        self._announce(rows, question)
        said = run(
            self._all(
                len(rows),
                lambda asker, row: asker.written(
                    row, rows[row], asked[row], seed=seeds[row], limits=limits
                ),
            )
        )
        nothing = np.zeros(0, dtype=np.int32)
        return Generated(
            tuple(one.text for one in said),
            tuple(nothing for _ in said),
            np.full(len(said), np.nan),
            tuple(one.finish_reason for one in said),
        )

    def dry_run(
        self,
        prompts: Sequence[Prompt | str] | PromptPlan,
        answers: Sequence[str] | Sequence[Sequence[str]] | None = None,
        *,
        constraint: Constraint | Sequence[Constraint] | None = None,
        limits: Limits | None = None,
        seed: int = 0,
    ) -> DryRun:
        """Show what would be sent first, to whom and at what cost; nothing is sent.

        Parameters
        ----------
        prompts
            All prompts, or the first ones after :meth:`expect`; at least one.
        answers
            The closed sets that :meth:`score` would be asked with; `None` shows what
            :meth:`generate` would send.
        constraint, limits
            As for :meth:`generate`.
        seed
            Seed of the first prompt.
        """
        rows = self._rows(prompts)
        sets = None if answers is None else answer_sets(answers, len(rows))
        asked = constraints_of(constraint, len(rows))

        def question(row: int) -> Body:
            model, options = self._address.model, self.options
            if sets is not None:
                return closed_question(rows[row], sets[row], model=model, options=options)
            return open_question(
                rows[row], asked[row], seed=seed, limits=limits or Limits(), model=model,
                options=options,
            )  # fmt: skip

        notice = self._notice(rows, question, n_texts=None if sets is None else [*map(len, sets)])
        is_probed = sets is not None and self._is_exact is None
        probe = self._shown(probe_body(self._address.model, self.options)) if is_probed else ""
        return DryRun(notice, self._shown(question(0)), probe)

    def record(self) -> dict[str, Any]:
        """Say which model answered, how, and what was spent: for the record of a result."""
        return {
            "lm": self.name,
            "provider_models": [f"{model} {mark}".strip() for model, mark in self._seen],
            "closed_sets": "exact" if self._is_exact else "schema",
            "why_no_score": "" if self._is_exact else _NO_LOGP,
            "not_taken_by_server": sorted(self._manners.left_out),
            "n_answers_paid": self._spend.n_paid,
            "n_answers_kept_before": self._n_stored,
            "tokens_sent": self._spend.used.sent,
            "tokens_received": self._spend.used.received,
            "cost": self._spend.cost,
        }

    def _rows(self, prompts: Sequence[Prompt | str] | PromptPlan) -> tuple[Prompt | str, ...]:
        """Give the prompts that may be sent, after names were cut."""
        if isinstance(prompts, PromptPlan) and not isinstance(prompts, EndpointPlan):
            rows: tuple[Prompt | str, ...] = prompts.texts
        else:
            plan = prompts if isinstance(prompts, EndpointPlan) else self.plan(prompts)
            rows = plan.prompts
        refuse_identifiers(rows)
        return rows

    async def _all(
        self,
        n: int,
        one: Callable[[Asker, int], Awaitable[Any]],
        *,
        is_closed: bool = False,
    ) -> list[Any]:
        """Ask for all rows; give what came in their order."""
        with closing(AnswerStore(self._store_path())) as store:
            connection = Connection(
                self._address, self._secret, options=self.options, spend=self._spend,
                store=store, manners=self._manners,
            )  # fmt: skip
            async with connection:
                asker = Asker(
                    connection, model=self._address.model, options=self.options, saw=self._saw
                )
                if is_closed and n and self._is_exact is None:
                    self._is_exact = await asker.has_exact()
                try:
                    return await in_rows(
                        n, lambda row: one(asker, row), concurrency=self.options.concurrency
                    )
                finally:
                    self._n_stored += connection.n_stored

    def _store_path(self) -> Path | None:
        store = self.options.store
        if store is None:
            is_paid = self.options.price_in is not None or self.options.price_out is not None
            store = is_paid or not self._address.is_own
        if isinstance(store, bool):
            return cache_folder() / STORE_NAME if store else None
        return store

    def _saw(self, answer: Mapping[str, Any]) -> None:
        """Note which model answered; warn once if it changed in the middle."""
        seen = str(answer.get("model") or ""), str(answer.get("system_fingerprint") or "")
        if seen in self._seen or not any(seen):
            return
        self._seen[seen] = None
        if len(self._seen) == 2:
            before, now = (" ".join(one).strip() for one in self._seen)
            warnings.warn(
                f"The model behind '{self.name}' changed in the middle, from {before!r} to "
                f"{now!r}: answers before and after may differ.",
                stacklevel=2,
            )

    def _announce(
        self,
        rows: Sequence[Prompt | str],
        question: Callable[[int], Body],
        *,
        n_texts: Sequence[int] | None = None,
    ) -> None:
        """Say once, before anything leaves, what does."""
        if not self._has_told and rows:
            self.tell(self._notice(rows, question, n_texts=n_texts))
            self._has_told = True

    def _notice(
        self,
        rows: Sequence[Prompt | str],
        question: Callable[[int], Body],
        *,
        n_texts: Sequence[int] | None = None,
    ) -> str:
        """Say what leaves, for how many cells, at what cost."""
        return notice(
            rows, question, address=self._address, spend=self._spend, n_texts=n_texts,
            is_exact=self._is_exact, expected=self._expected,
        )  # fmt: skip

    def _shown(self, body: Body) -> str:
        """Write a request as it would be sent, with the key masked."""
        applied = self._manners.applied(body)
        return shown_request(applied, address=self._address, secret=self._secret)


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def load_endpoint(
    place: str,
    *,
    allow_remote: str | None = None,
    options: EndpointOptions | None = None,
    **_others: object,
) -> Endpoint:
    """Connect to a model behind a server of OpenAI's protocol; nothing is sent yet.

    The key is read from the environment: `CELLOQUY_API_KEY`, else, for OpenAI's own server,
    `OPENAI_API_KEY`.

    Parameters
    ----------
    place
        ``NAME@URL``, such as ``qwen3@http://localhost:8000/v1``.
    allow_remote
        The host that may be sent to; not needed for this machine.
    options
        How it is asked, and what may be spent; `None` for the usual.
    _others
        What other backends need: device, precision and the like.

    Examples
    --------
    >>> load_endpoint("qwen3@http://localhost:8000")
    Endpoint('openai:qwen3@http://localhost:8000/v1')
    """
    address = read_address(place)
    check_allowed(address, allow_remote)
    return Endpoint(address, read_secret(address), options=options)
