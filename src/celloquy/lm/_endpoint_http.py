"""One connection to a server: bounded, patient, and with an end."""

from __future__ import annotations

import asyncio
import datetime
import email.utils
import functools
import json
import random
from typing import TYPE_CHECKING, Any

from celloquy._runtime import require
from celloquy.errors import BackendError
from celloquy.lm._endpoint_manners import TOO_LONG, Manners
from celloquy.lm._endpoint_store import answer_key

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from celloquy.lm._endpoint_options import EndpointOptions
    from celloquy.lm._endpoint_spend import Spend, Tokens
    from celloquy.lm._endpoint_store import AnswerStore
    from celloquy.lm._remote import Address, Secret

    Body = dict[str, Any]
    Read = Callable[[Mapping[str, Any]], Any]

HEADERS = {"User-Agent": "celloquy"}
MAX_BYTES = 32 << 20
"""The most bytes that one answer may have."""
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 507, 520, 522, 524, 529})
_KEPT = ("found", "model", "system_fingerprint")
_JITTER = random.SystemRandom()  # so that waiting leaves the global random state alone
_SAID = 200
_MOST_LESSONS = 5
_LOOK_AGAIN = 0.02


class GarbageError(Exception):
    """What came is no answer of the protocol."""


class StatusError(BackendError):
    """The server refused a question for good."""

    def __init__(self, message: str, *, hint: str, status: int) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class _PassingError(Exception):
    """A try failed in a way that the next may not."""

    def __init__(self, reason: str, *, wait: float | None = None, hint: str = "") -> None:
        super().__init__(reason)
        self.wait = wait
        self.hint = hint or "give the same command again later"


@functools.cache
def tls() -> ssl.SSLContext:
    """Make the settings of encrypted connections: once, as reading the certificates is slow."""
    httpx = require("httpx", extra="remote", why="to ask a server")
    context: ssl.SSLContext = httpx.create_ssl_context()
    return context


class Connection:
    """Asks a server, and keeps what was answered. Use it as an asynchronous context manager.

    Parameters
    ----------
    address
        The server.
    secret
        Its key.
    options
        How long is waited, and how often.
    spend, store, manners
        What is shared by all connections of one model.
    """

    def __init__(
        self,
        address: Address,
        secret: Secret,
        *,
        options: EndpointOptions,
        spend: Spend,
        store: AnswerStore,
        manners: Manners,
    ) -> None:
        self._httpx = require("httpx", extra="remote", why="to ask a server")
        self._tenacity = require("tenacity", extra="remote", why="to ask a server again")
        self._address, self._secret, self._options = address, secret, options
        self._spend, self._store, self._manners = spend, store, manners
        self._client: Any = None
        self._asked: dict[bytes, asyncio.Task[dict[str, Any]]] = {}
        self._n_under_way = 0
        self.n_stored = 0

    async def __aenter__(self) -> Connection:
        options = self._options
        self._client = self._httpx.AsyncClient(
            timeout=options.timeout,
            follow_redirects=False,
            trust_env=options.use_proxy,
            verify=tls(),
            headers=HEADERS,
            limits=self._httpx.Limits(max_connections=options.concurrency),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def ask(
        self, path: str, body: Body, *, what: str, most: Tokens, read: Read
    ) -> dict[str, Any]:
        """Ask, or give what was or is being answered to the same question.

        Parameters
        ----------
        path
            What follows the server's URL, such as ``/chat/completions``.
        body
            The question.
        what
            Whose it is, for messages: ``"prompt 3"``.
        most
            Tokens it may take at most.
        read
            Takes an answer and gives what is to be kept of it, as JSON can hold it; raises
            GarbageError if it is none of the protocol.

        Returns
        -------
        What was kept, as ``"found"``, and which model answered.
        """
        key = answer_key(self._address.url + path, body)
        if key not in self._asked:
            known = self._store.find(key)
            if known is not None:
                self.n_stored += 1
                return known
            asking = self._ask(path, body, what=what, most=most, read=read)
            self._asked[key] = asyncio.ensure_future(asking)
        return await self._asked[key]

    async def _ask(
        self, path: str, body: Body, *, what: str, most: Tokens, read: Read
    ) -> dict[str, Any]:
        """Ask within the caps and the deadline.

        Raises
        ------
        BackendError
            If the server refuses, no try succeeds in time, or a cap would be passed.
        """
        await self._set_aside(most, what=what)
        used, is_answered = type(most)(), False
        try:
            async with asyncio.timeout(self._options.deadline):
                answer = await self._patiently(path, body, what, read)
            used, is_answered = _used(answer, most), True
        except TimeoutError as error:
            msg = f"{what} was not answered within {self._options.deadline:g} s."
            msg = msg[0].upper() + msg[1:]
            hint = "give the same command again later, or raise `EndpointOptions(deadline=…)`"
            raise BackendError(msg, hint=hint + self._kept(), retryable=True) from error
        finally:
            self._spend.settle(most, used, is_answered=is_answered)
            self._n_under_way -= 1
        kept = {name: answer[name] for name in _KEPT}
        self._store.add(answer_key(self._address.url + path, body), kept)
        return kept

    async def _set_aside(self, most: Tokens, *, what: str) -> None:
        """Set aside what a request may take; wait for those under way if it is too much now.

        Raises
        ------
        BackendError
            If it would pass a cap though nothing else is under way.
        """
        while True:
            try:
                self._spend.set_aside(most, what=what)
            except BackendError:
                if not self._n_under_way:
                    raise
                await asyncio.sleep(_LOOK_AGAIN)
            else:
                self._n_under_way += 1
                return

    async def _patiently(self, path: str, body: Body, what: str, read: Read) -> dict[str, Any]:
        """Try until there is an answer.

        Raises
        ------
        BackendError
            If no try succeeds.
        """
        tenacity = self._tenacity
        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(self._options.attempts),
            wait=self._wait,
            retry=tenacity.retry_if_exception_type(_PassingError),
            reraise=True,
        )
        try:
            found: dict[str, Any] = await retrying(self._try, path, body, what, read)
        except _PassingError as error:
            url, n = self._address.url, self._options.attempts
            msg = f"{what} had no answer from '{url}' in {n} tries: {error}."
            msg = msg[0].upper() + msg[1:]
            raise BackendError(msg, hint=error.hint + self._kept(), retryable=True) from error
        return found

    def _kept(self) -> str:
        """End a hint: say that answers are kept, where they are."""
        return "; answers so far are kept." if self._store.keeps else "."

    def _wait(self, state: Any) -> float:  # noqa: ANN401 (a class of tenacity)
        """Seconds before the next try: what the server says, else doubled and drawn."""
        stated = getattr(state.outcome.exception(), "wait", None)
        drawn = self._options.pause * 2 ** (state.attempt_number - 1) * _JITTER.uniform(0.5, 1.0)
        return float(max(stated or 0.0, drawn))

    async def _try(self, path: str, body: Body, what: str, read: Read) -> dict[str, Any]:
        """Ask once; again at once where the server only dislikes a part of the question.

        Raises
        ------
        StatusError
            If the server refuses.
        _PassingError
            If another try may help.
        """
        for attempt in range(_MOST_LESSONS):
            sent = self._manners.applied(body)
            status, headers, raw = await self._post(path, sent)
            if status < 300:
                return _read(raw, read)
            said = self._secret.masked(_message(raw))
            is_last = attempt + 1 == _MOST_LESSONS
            if status not in {400, 422} or is_last or not self._manners.learn(sent, said):
                break
        if status in _PASSING and "insufficient_quota" not in said:
            reason = f"status {status}{_quoted(said)}"
            raise _PassingError(reason, wait=_retry_after(headers))
        msg = f"'{self._address.url}' refused {what} with status {status}{_quoted(said)}."
        raise StatusError(msg, hint=_way_out(status, said), status=status)

    async def _post(self, path: str, body: Body) -> tuple[int, Mapping[str, str], bytes]:
        """Send one request and receive its answer whole.

        Raises
        ------
        _PassingError
            If the connection fails, the answer takes too long, or it is too large.
        """
        url = self._address.url + path
        parts: list[bytes] = []
        try:
            async with (
                asyncio.timeout(self._options.timeout),
                self._client.stream("POST", url, json=body, headers=self._secret.headers()) as got,
            ):
                async for part in got.aiter_bytes():
                    parts.append(part)
                    if sum(map(len, parts)) > MAX_BYTES:
                        reason = f"the answer has more than {MAX_BYTES:,} bytes"
                        raise _PassingError(reason)
                return got.status_code, got.headers, b"".join(parts)
        except (TimeoutError, self._httpx.TimeoutException) as error:
            reason = f"no whole answer within {self._options.timeout:g} s"
            raise _PassingError(reason) from error
        except self._httpx.ConnectError as error:
            reason = f"the connection failed ({type(error).__name__})"
            hint = "check that a server listens at this address"
            raise _PassingError(reason, hint=hint) from error
        except self._httpx.RequestError as error:
            reason = f"the connection failed ({type(error).__name__})"
            raise _PassingError(reason) from error


def _read(raw: bytes, read: Read) -> dict[str, Any]:
    """Read an answer of the protocol.

    Raises
    ------
    _PassingError
        If it is something else.
    """
    try:
        answer = _json(raw)
        answer = answer if isinstance(answer, dict) else {}
        found = read(answer)
    except (ValueError, RecursionError, GarbageError) as error:
        begins = _quoted(raw[:60].decode("utf-8", "replace"))
        reason = f"what came is no answer of the protocol ({error}){begins}"
        hint = "check that the URL ends where the protocol begins, in /v1, and that no login is due"
        raise _PassingError(reason, hint=hint) from error
    told = {name: answer.get(name) for name in ("usage", "model", "system_fingerprint")}
    return told | {"found": found}


def _json(raw: bytes) -> Any:  # noqa: ANN401 (whatever JSON holds)
    """Read JSON.

    Raises
    ------
    GarbageError
        If it is none.
    """
    try:
        return json.loads(raw)
    except ValueError as error:
        msg = "no whole JSON"
        raise GarbageError(msg) from error


def _used(answer: Mapping[str, Any], most: Tokens) -> Tokens:
    """Tokens that the server says it counted; what was set aside where it says nothing."""
    usage = answer.get("usage")
    sent = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    received = usage.get("completion_tokens", 0) if isinstance(usage, dict) else None
    if not isinstance(sent, int) or not isinstance(received, int):
        return most
    return type(most)(sent, received)


def _message(raw: bytes) -> str:
    """Find what a server says about a refusal."""
    try:
        said = json.loads(raw)
    except ValueError:
        return raw[:_SAID].decode("utf-8", "replace")
    for name in ("error", "message", "detail"):
        if isinstance(said, dict) and name in said:
            said = said[name]
    if isinstance(said, dict):
        said = " ".join(str(said[name]) for name in ("message", "code", "param") if said.get(name))
    return str(said)


def _quoted(said: str) -> str:
    said = " ".join(said.split())[:_SAID]
    return f": {said!r}" if said else ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait, as a number or as a date."""
    stated = headers.get("retry-after", "").strip()
    try:
        return max(0.0, float(stated))
    except ValueError:
        pass
    try:
        when = email.utils.parsedate_to_datetime(stated)
    except ValueError:
        return None
    now = datetime.datetime.now(when.tzinfo or datetime.UTC)
    return max(0.0, (when.replace(tzinfo=when.tzinfo or datetime.UTC) - now).total_seconds())


def _way_out(status: int, said: str) -> str:
    """Give the one next step after a final refusal."""
    if status in {401, 403}:
        return "set CELLOQUY_API_KEY to a key of this server that may use this model."
    if status in {402, 429}:
        return "the account has no credit left: add some, and give the same command again."
    if status == 404:
        return "check the model's name, and that the URL ends where the protocol begins, in /v1."
    if 300 <= status < 400:
        return "redirects are not followed: name the address that the server points to yourself."
    if any(word in said.lower() for word in TOO_LONG):
        return "the server reads fewer tokens: lower `max_tokens` or `n_top_genes`."
    return "check what the server offers."
