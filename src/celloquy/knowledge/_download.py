"""Fetching one file over an unreliable network, whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import http.client
import ipaddress
import json
import random
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from celloquy._runtime import sha256_of
from celloquy.errors import DownloadError, InputError

if TYPE_CHECKING:
    from pathlib import Path

_PIECE = 1 << 18
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_OF_THE_DISK = frozenset({errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EPERM})
_LONGEST_WAIT = 60.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 8
_JITTER = random.SystemRandom()  # so that waiting leaves the global random state alone


@dataclass(frozen=True)
class DownloadLimits:
    """What one download may take.

    Raises
    ------
    InputError
        If a limit is not above zero, or `pause` is below.
    """

    timeout: float = 30.0
    """Seconds without a byte after which a try has failed."""
    total_time: float = 3_600.0
    """Seconds that all tries together may take."""
    most_bytes: int = 1 << 30
    """The most bytes the file may have."""
    attempts: int = 5
    """Tries before giving up."""
    pause: float = 1.0
    """Seconds before the second try; doubled each time, and drawn from half to all of it."""

    def __post_init__(self) -> None:
        limits = (self.timeout, self.total_time, self.most_bytes, self.attempts)
        if min(limits) <= 0 or self.pause < 0:
            msg = f"Limits of a download must be above zero, got {self}."
            raise InputError(msg, hint="leave them out to use the usual ones.")


@dataclass(frozen=True)
class Fetched:
    """A file that has arrived whole."""

    sha256: str
    """SHA-256 of its content."""
    size: int
    """Its bytes."""
    last_modified: str
    """What the server says of its age, ``""`` if nothing."""


class _BrokenError(Exception):
    """A try failed in a way that the next may not."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


def check_url(url: str) -> None:
    """Refuse an address that is not https, unless it is this machine's own.

    Raises
    ------
    InputError
        If the address has another scheme, no host, or a user name in it.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.username is not None:
        msg = "The address holds a user name or password, which would be written down with it."
        raise InputError(msg, hint="fetch the file yourself, then `celloquy data add NAME FILE`.")
    if parts.hostname and (
        parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname))
    ):
        return
    msg = f"Tables are fetched over https only, not from {url!r}."
    raise InputError(msg, hint="use the https address, or `celloquy data add NAME FILE`.")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Leaves redirects to :func:`_open`, which looks where they lead."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None


def fetch(
    url: str, part: Path, *, limits: DownloadLimits | None = None, sha256: str | None = None
) -> Fetched:
    """Fetch a file; continue where an earlier try, or an earlier call, stopped.

    What has arrived stays in `part`, with what the server said of it beside it, so that a
    broken connection costs only what was lost. It is continued only if the server confirms
    by ``If-Range`` that the file is still the same.

    Parameters
    ----------
    url
        Its address: https, or http on this machine.
    part
        Where the file grows; whole when this returns.
    limits
        What it may take; `None` for the usual.
    sha256
        The hash it must have, if that is known.

    Raises
    ------
    InputError
        If the address is not https, or the disk is full or cannot be written to.
    DownloadError
        If the server refuses, all tries fail, the file is too large, or its hash is wrong.
        ``retryable`` says whether another try may help.
    """
    limits = limits or DownloadLimits()
    check_url(url)
    deadline = time.monotonic() + limits.total_time
    for attempt in range(1, limits.attempts + 1):
        try:
            last_modified = _try(url, part, limits, deadline)
            break
        except _BrokenError as broken:
            wait = broken.wait or limits.pause * 2 ** (attempt - 1) * _JITTER.uniform(0.5, 1.0)
            if attempt == limits.attempts or time.monotonic() + wait > deadline:
                msg = f"'{url}' could not be fetched in {attempt} tries: {broken}."
                hint = "try again later: what has arrived is kept and continued."
                raise DownloadError(msg, hint=hint, retryable=True) from broken
            time.sleep(min(wait, _LONGEST_WAIT))
    found = sha256_of(part)
    _note(part).unlink(missing_ok=True)
    if sha256 is not None and found != sha256:
        part.unlink()
        msg = f"What '{url}' gave has the SHA-256 {found[:12]}…, not {sha256[:12]}… as expected."
        raise DownloadError(msg, hint="it was thrown away; ask where the file comes from.")
    return Fetched(found, part.stat().st_size, last_modified)


def _try(url: str, part: Path, limits: DownloadLimits, deadline: float) -> str:
    # Asks once; gives the server's Last-Modified when the file has arrived whole.
    offset, validator = _kept(part, url)
    headers = {"User-Agent": "celloquy", "Accept-Encoding": "identity"}
    if offset:
        headers |= {"Range": f"bytes={offset}-", "If-Range": validator}
    try:
        with _open(url, headers, limits.timeout) as response:
            begin = _begin_of(response, offset)
            _remember(part, url, response)
            _receive(response, part, begin=begin, limits=limits, deadline=deadline)
            return response.headers.get("Last-Modified", "")
    except urllib.error.HTTPError as error:
        raise _refusal(error, url, part) from error
    except urllib.error.URLError as error:
        reason = f"no connection ({error.reason})"
        raise _BrokenError(reason) from error
    except TimeoutError as error:
        reason = f"no byte for {limits.timeout:g} s"
        raise _BrokenError(reason) from error
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
            msg = f"'{part.parent}' cannot be written to: {error.strerror}."
            raise InputError(msg, hint="free some space, or set `CELLOQUY_CACHE`.") from error
        reason = f"the connection broke ({error!r})"
        raise _BrokenError(reason) from error


def _open(url: str, headers: dict[str, str], timeout: float) -> http.client.HTTPResponse:
    # Asks, and follows redirects as far as they are safe.
    for _ in range(_MOST_REDIRECTS):
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        if _is_loopback(_host(url)):
            handlers.append(urllib.request.ProxyHandler({}))
        request = urllib.request.Request(url, headers=headers)
        try:
            response = urllib.request.build_opener(*handlers).open(request, timeout=timeout)
            return cast("http.client.HTTPResponse", response)
        except urllib.error.HTTPError as error:
            target = error.headers.get("Location")
            if error.code not in _REDIRECTS or not target:
                raise
            error.close()
        url = redirect_target(url, target)
    msg = f"'{url}' is pointed to in a circle."
    raise DownloadError(msg, hint="check the address.")


def redirect_target(url: str, location: str) -> str:
    """Give the address that a redirect leads to, if it is one that is asked.

    Raises
    ------
    InputError
        If it is not https (:func:`check_url`).
    DownloadError
        If an address elsewhere leads onto this machine, whose services trust it.
    """
    target = urllib.parse.urljoin(url, location)
    check_url(target)
    if _is_loopback(_host(target)) and not _is_loopback(_host(url)):
        msg = f"'{url}' points to this machine ({target!r}), which is not followed."
        raise DownloadError(msg, hint="get the file another way, then `celloquy data add`.")
    return target


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).hostname or ""


def _begin_of(response: http.client.HTTPResponse, offset: int) -> int:
    # The byte at which the answer begins: `offset` if it continues, 0 if it begins anew.
    if response.status != 206:
        return 0
    stated = response.headers.get("Content-Range", "")
    if stated.startswith(f"bytes {offset}-"):
        return offset
    reason = f"the server continued at {stated!r}, not at {offset}"
    raise _BrokenError(reason)


def _receive(
    response: http.client.HTTPResponse,
    part: Path,
    *,
    begin: int,
    limits: DownloadLimits,
    deadline: float,
) -> None:
    stated = response.headers.get("Content-Length", "")
    whole = begin + int(stated) if stated.isdigit() else None
    size = begin
    _refuse_large(whole or 0, part, limits)
    with part.open("r+b" if begin else "wb") as file:
        if begin:
            file.seek(begin)
            file.truncate()
        while piece := response.read1(_PIECE):
            size += len(piece)
            _refuse_large(size, part, limits)
            file.write(piece)
            if time.monotonic() > deadline:
                reason = f"it took more than {limits.total_time:g} s"
                raise _BrokenError(reason)
    if whole is not None and size != whole:
        reason = f"{size:,} of {whole:,} bytes arrived"
        raise _BrokenError(reason)


def _refuse_large(size: int, part: Path, limits: DownloadLimits) -> None:
    if size > limits.most_bytes:
        part.unlink(missing_ok=True)
        msg = f"The file has more than {limits.most_bytes:,} bytes, too many for a table."
        raise DownloadError(msg, hint="check the address; nothing of it was kept.")


def _refusal(error: urllib.error.HTTPError, url: str, part: Path) -> Exception:
    """Turn the server's refusal into one that is final or one that may pass."""
    error.close()
    if error.code == 416:  # what is kept is not a beginning of this file
        part.unlink(missing_ok=True)
        return _BrokenError("the server could not continue it")
    if error.code in _PASSING:
        stated = error.headers.get("Retry-After", "")
        wait = min(float(stated), _LONGEST_WAIT) if stated.isdigit() else None
        return _BrokenError(f"the server answered {error.code} {error.reason}", wait)
    msg = f"The server refused '{url}': {error.code} {error.reason}."
    return DownloadError(msg, hint="get the file another way, then `celloquy data add NAME FILE`.")


def _note(part: Path) -> Path:
    """Path of what the server said of the file: its address and its validator."""
    return part.with_name(part.name + ".json")


def _kept(part: Path, url: str) -> tuple[int, str]:
    """Bytes that can be continued, and the validator under which; 0 if none can."""
    with contextlib.suppress(OSError, ValueError):
        note = json.loads(_note(part).read_text())
        if note["url"] == url and note["validator"]:
            return part.stat().st_size, str(note["validator"])
    return 0, ""


def _remember(part: Path, url: str, response: http.client.HTTPResponse) -> None:
    """Write down the strong validator of what arrives; without one nothing is continued."""
    tag = response.headers.get("ETag", "")
    strong = tag if tag and not tag.startswith("W/") else ""
    validator = strong or response.headers.get("Last-Modified", "")
    _note(part).write_text(json.dumps({"url": url, "validator": validator}))
