"""What is said and shown before anything leaves for a server."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from celloquy._runtime import require
from celloquy.lm._endpoint_bodies import PATHS, most_tokens
from celloquy.lm._endpoint_http import HEADERS, tls
from celloquy.lm._endpoint_spend import Tokens
from celloquy.lm._remote import what_leaves

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from celloquy.lm._endpoint_spend import Spend
    from celloquy.lm._remote import Address, Secret
    from celloquy.text import Prompt

    Body = dict[str, Any]


def notice(
    rows: Sequence[Prompt | str],
    question: Callable[[int], Body],
    *,
    address: Address,
    spend: Spend,
    n_texts: Sequence[int] | None,
    is_exact: bool | None,
    expected: tuple[int, tuple[str, ...]] | None,
) -> str:
    """Say what leaves, for how many cells, at what cost.

    Parameters
    ----------
    rows
        The prompts, or the first ones.
    question
        Gives the request about a row.
    address
        The model and its server.
    spend
        Prices, for the cost.
    n_texts
        Allowed answers a row, for closed sets.
    is_exact
        Whether each answer is scored by a request of its own; `None`: not known yet.
    expected
        Cells over all calls, and the columns of obs that are sent; `None`: these rows alone.
    """
    most = sum((most_tokens(question(row)) for row in range(len(rows))), Tokens())
    if n_texts is not None and is_exact:
        sent = [most_tokens(question(row)).sent * n for row, n in enumerate(n_texts)]
        most = Tokens(sum(sent), sum(n_texts))
    n_cells, fields = expected or (len(rows), ())
    share = n_cells / max(1, len(rows))
    most = Tokens(math.ceil(most.sent * share), math.ceil(most.received * share))
    parts = [*what_leaves(rows)]
    if fields:
        parts.append(f"of obs: {', '.join(fields)}")
    where = "this machine" if address.is_own else f"'{address.host}'"
    cost = spend.cost_of(most)
    said = [
        f"To {where} ('{address.model}'): {', '.join(parts)}",
        f"{n_cells:,} cell{'s' * (n_cells != 1)}",
        f"about {most.sent:,} tokens, and up to {most.received:,} back",
        "price not stated" if cost is None else f"at most about {cost:.2g} at the price stated",
    ]
    if n_texts is not None and is_exact is None:
        said.append(f"{max(n_texts)} times the tokens if it gives log-probabilities")
    if address.is_open:
        said.append("unencrypted")
    return f"{'; '.join(said)}. No barcodes, no file names."


def shown_request(body: Body, *, address: Address, secret: Secret) -> str:
    """Write a request as it would be sent, with the key masked."""
    httpx = require("httpx", extra="remote", why="to ask a server")
    path = PATHS["completions" if "prompt" in body else "chat"]
    with httpx.Client(verify=tls(), trust_env=False, headers=HEADERS) as client:
        request = client.build_request(
            "POST", address.url + path, json=body, headers=secret.headers()
        )
    headers = [
        f"{name}: {'Bearer ***' if name.lower() == 'authorization' else value}"
        for name, value in request.headers.items()
    ]
    content = secret.masked(request.content.decode())
    return "\n".join([f"POST {request.url}", *headers, "", content])
