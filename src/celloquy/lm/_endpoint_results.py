"""What a server's answers become, and what a dry run shows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from celloquy.lm._answer_sets import padded
from celloquy.lm._protocol import Scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celloquy.lm._endpoint_answers import Span
    from celloquy.lm._endpoint_ask import Found


@dataclass(frozen=True, eq=False)
class EndpointScores(Scores):
    """Answers of a closed set from a server, and what it said."""

    texts: tuple[str, ...] = ()
    """What the server said of each prompt; empty where log-probabilities were had."""
    why: tuple[str, ...] = ()
    """Why a prompt has no answer of the set (`best` = -1); empty where it has one."""


@dataclass(frozen=True)
class DryRun:
    """What would be sent first; nothing was. `str` shows it whole."""

    notice: str
    """Who would get what of how many prompts, at which cost."""
    request: str
    """The first request that says something of a cell: its address, headers and content, the
    key masked."""
    probe: str
    """The request with made-up words that goes before it; empty if there is none."""

    def __str__(self) -> str:
        return "\n\n".join(part for part in (self.notice, self.probe, self.request) if part)


def as_scores(
    found: Sequence[list[Span] | Found], estimates: Sequence[Sequence[int]], *, best_only: bool
) -> EndpointScores:
    """Put what was found into arrays."""
    sizes, logps, best, texts, why = [], [], [], [], []
    for one, estimate in zip(found, estimates, strict=True):
        if isinstance(one, list):
            logps.append([span.logp for span in one])
            sizes.append([span.n_tokens for span in one])
            best.append(int(np.argmax(logps[-1])))
            texts.append("")
            why.append("")
        else:
            logps.append([math.nan] * len(estimate))
            sizes.append(list(estimate))
            best.append(one.best)
            texts.append(one.text)
            why.append(one.why)
    logp = padded(logps, -math.inf, np.float64)
    places = np.array(best, dtype=np.int32)
    if best_only:
        others = np.arange(logp.shape[1]) != places[:, None]
        logp = np.where(others & ~np.isnan(logp), -math.inf, logp)
    n_tokens = padded(sizes, 0, np.int32).astype(np.int32)
    return EndpointScores(logp, n_tokens, places, tuple(texts), tuple(why))
