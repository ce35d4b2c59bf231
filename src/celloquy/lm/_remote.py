"""What may leave this machine: to which host, with whose key, and what is said before."""

from __future__ import annotations

import ipaddress
import os
import re
import urllib.parse
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from celloquy.errors import InputError
from celloquy.text import Field, Names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celloquy.text import Prompt

OWN_KEY = "CELLOQUY_API_KEY"
OPENAI_KEY = "OPENAI_API_KEY"
_NAMED = re.compile(r"(?P<model>\S+?)@(?P<url>https?://\S+)", re.IGNORECASE)
_KEY_LIKE = re.compile(r"\b(?:sk|pk|key|hf|gsk)[-_][\w*.-]{6,}", re.IGNORECASE)
_BARCODE = re.compile(r"(?:[\w.]+[-_:])?[ACGTN]{12,}(?:-\d+)?(?:[-_:][\w.]+)?")
_FILE = re.compile(r"(?:/|~/|[A-Z]:\\)\S+|\S+\.(?:h5ad|h5|zarr|loom|mtx|csv|tsv|parquet)(?:\.gz)?")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Address:
    """A model behind a server of OpenAI's protocol."""

    model: str
    """Name of the model, as the server calls it."""
    url: str
    """Where the protocol begins, such as ``https://api.openai.com/v1``; no slash at the end."""
    scheme: str
    host: str
    port: int

    @property
    def is_own(self) -> bool:
        """Whether it is this machine: what is sent there does not leave."""
        return is_loopback(self.host)

    @property
    def is_open(self) -> bool:
        """Whether others on the way can read what is sent."""
        return self.scheme == "http" and not self.is_own


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine: ``localhost``, ``127.0.0.1`` and the like, ``::1``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_address(place: str) -> Address:
    """Read ``NAME@URL``.

    Parameters
    ----------
    place
        Such as ``gpt-4.1-mini@https://api.openai.com/v1``; without a path, ``/v1`` is meant.

    Raises
    ------
    InputError
        If there is no name or URL, or the URL carries a user, a password or a query: keys
        come from the environment only.

    Examples
    --------
    >>> read_address("qwen3@http://localhost:8000").url
    'http://localhost:8000/v1'
    """
    parts = _NAMED.fullmatch(place.strip())
    if parts is None:
        # what stands there is not repeated: it may hold a key
        msg = "A server's model is named as `openai:NAME@URL`; the URL begins with http."
        raise InputError(msg, hint="for example `openai:qwen3@http://localhost:8000/v1`.")
    try:
        url = urllib.parse.urlsplit(parts["url"])
        host, port = (url.hostname or "").rstrip("."), url.port
    except ValueError as error:
        msg = "The URL of the server cannot be read."
        raise InputError(msg, hint="for example http://localhost:8000/v1.") from error
    if "@" in url.netloc or url.query or url.fragment:
        msg = f"The URL of the server '{host}' carries a user, a password or a query."
        raise InputError(msg, hint=f"take it out, and put the key into {OWN_KEY}.")
    if not host:
        msg = "The URL of the server names no host."
        raise InputError(msg, hint="for example http://localhost:8000/v1.")
    scheme = url.scheme.lower()
    port = port or _PORTS[scheme]
    shown = f"[{host}]" if ":" in host else host
    base = f"{scheme}://{shown}" + (f":{port}" if port != _PORTS[scheme] else "")
    return Address(parts["model"], base + (url.path.rstrip("/") or "/v1"), scheme, host, port)


def check_allowed(address: Address, allow_remote: str | None) -> None:
    """Refuse a server that the user did not allow; this machine needs no permission.

    Parameters
    ----------
    address
        The server.
    allow_remote
        The host that may be sent to, ``HOST`` or ``HOST:PORT``; no pattern.

    Raises
    ------
    InputError
        If the host, or the port where one is given, is another one.
    """
    if address.is_own:
        return
    if allow_remote is None:
        msg = f"Prompts would leave this machine, to '{address.host}', which was not allowed."
        hint = f'`--allow-remote {address.host}` (`allow_remote="{address.host}"`) allows it.'
        raise InputError(msg, hint=hint)
    host, port = _host_and_port(allow_remote)
    if host != address.host or (port is not None and port != address.port):
        msg = f"Only '{allow_remote}' was allowed, not '{address.host}:{address.port}'."
        raise InputError(msg, hint="name the host of the URL, if prompts may be sent there.")


def _host_and_port(allowed: str) -> tuple[str, int | None]:
    """Read ``HOST`` or ``HOST:PORT``.

    Raises
    ------
    InputError
        If it is something else, such as a URL or a pattern.
    """
    try:
        parts = urllib.parse.urlsplit(f"//{allowed.strip()}")
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        host, port = "", None
    if not host or parts.path or parts.query or parts.username is not None or "*" in host:
        msg = "`allow_remote` is a host, or a host and a port."
        raise InputError(msg, hint="for example `api.openai.com` or `gpu01:8000`.")
    return host, port


@dataclass(frozen=True)
class Secret:
    """A key that is never shown."""

    value: str | None = field(default=None, repr=False)

    def masked(self, text: str) -> str:
        """Take the key, and whatever looks like one, out of a text."""
        if self.value:
            text = text.replace(self.value, "***")
        return _KEY_LIKE.sub("***", text)

    def headers(self) -> dict[str, str]:
        """Give the headers that carry it."""
        return {"Authorization": f"Bearer {self.value}"} if self.value else {}


def read_secret(address: Address) -> Secret:
    """Read the key for a server from the environment.

    `CELLOQUY_API_KEY` goes to whichever server was named; `OPENAI_API_KEY` to OpenAI's only,
    so that it is not handed to another company's or to a colleague's server.

    Raises
    ------
    InputError
        If the key cannot stand in a header, or would travel to another machine unencrypted.
    """
    is_openai = address.host == "openai.com" or address.host.endswith(".openai.com")
    value = os.environ.get(OWN_KEY) or (os.environ.get(OPENAI_KEY) if is_openai else None)
    if not value:
        return Secret()
    value = value.strip()
    if not value.isascii() or not value.isprintable() or " " in value:
        msg = f"The key in the environment for '{address.host}' holds signs that no key has."
        raise InputError(msg, hint=f"set {OWN_KEY} to the key alone.")
    if address.is_open:
        msg = f"The key would travel to '{address.host}' unencrypted, as its URL is http."
        raise InputError(msg, hint=f"use https or an ssh tunnel, or unset {OWN_KEY}.")
    return Secret(value)


def refuse_identifiers(prompts: Sequence[Prompt | str]) -> None:
    """Refuse metadata that is a cell's barcode or a file's name; neither ever leaves.

    Raises
    ------
    InputError
        If a field of a prompt is one of these.
    """
    for row, prompt in enumerate(prompts):
        for segment in () if isinstance(prompt, str) else prompt:
            if isinstance(segment, Field):
                said = segment.text.strip().strip('"')
                kind = _kind_of_identifier(said)
                if kind is not None:
                    msg = f"A field of prompt {row} is {kind}, {said!r}, which is never sent."
                    raise InputError(msg, hint="leave this column of obs out of the prompt.")


def _kind_of_identifier(said: str) -> str | None:
    if _BARCODE.fullmatch(said):
        return "a barcode"
    return "a file's name" if _FILE.fullmatch(said) else None


def what_leaves(prompts: Sequence[Prompt | str]) -> tuple[str, ...]:
    """Say in words what prompts consist of.

    Examples
    --------
    >>> from celloquy.text import Field, Text
    >>> what_leaves([(Text("tissue: "), Field("lung"))])
    ('the words of the prompts', 'up to 1 metadata value each')
    """
    n_names = n_fields = 0
    for prompt in prompts:
        segments = () if isinstance(prompt, str) else prompt
        n_names = max(n_names, sum(len(s.ids) for s in segments if isinstance(s, Names)))
        n_fields = max(n_fields, sum(isinstance(s, Field) for s in segments))
    said = ["the words of the prompts"]
    if n_names:
        said.append(f"up to {n_names} gene names each")
    if n_fields:
        said.append(f"up to {n_fields} metadata value{'s' * (n_fields > 1)} each")
    return tuple(said)
