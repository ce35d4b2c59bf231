"""Probabilities over a set of answers, from a language model's log-probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from celloquy.errors import InputError
from celloquy.learn._predictions import Predictions, Thresholds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

Normalise = Literal["none", "tokens"]


def answer_logs(
    logp: NDArray[np.float64],
    n_tokens: NDArray[np.int32],
    *,
    normalise: Normalise = "none",
    log_prior: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Correct scores of answers for their length and for what the model likes anyway.

    Parameters
    ----------
    logp
        log P(answer | prompt) in nats, shape ``(n, m)``; NaN rows where a model gave none.
    n_tokens
        Tokens of each answer, 0 where a prompt has no such answer; shape ``(n, m)``.
    normalise
        ``"none"``, or ``"tokens"``: the mean of a token, so that long answers are not behind.
    log_prior
        log P(answer | a prompt without content), shape ``(m,)`` or ``(n, m)``; subtracted before
        lengths are corrected (contextual calibration; Zhao et al., ICML 2021). `None` for none.

    Returns
    -------
    Shape ``(n, m)``, ``-inf`` where there is no such answer.

    Raises
    ------
    InputError
        If shapes differ, `normalise` is unknown, a prior is not finite, or scores of some answers
        are missing.
    """
    logp = np.asarray(logp, dtype=np.float64)
    exists = np.asarray(n_tokens) > 0
    if logp.shape != exists.shape:
        msg = f"There are scores of shape {logp.shape} and token counts of shape {exists.shape}."
        raise InputError(msg, hint="pass `logp` and `n_tokens` of the same scores.")
    if normalise not in {"none", "tokens"}:
        msg = f"`normalise` is 'none' or 'tokens', got {normalise!r}."
        raise InputError(msg)
    hidden = np.isneginf(logp) & exists
    if hidden.any():
        msg = f"{hidden.sum():,} answers have no score (`-inf`), {hidden.any(axis=1).sum():,} rows."
        raise InputError(msg, hint="probabilities need all scores: leave out `best_only=True`.")
    logs = logp if log_prior is None else logp - _finite_prior(log_prior, exists)
    if normalise == "tokens":
        logs = logs / np.maximum(n_tokens, 1)
    return np.where(exists, logs, -np.inf)


def _finite_prior(log_prior: ArrayLike, exists: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Give the prior in the shape of the scores, 0 where there is no answer.

    Raises
    ------
    InputError
        If it has another shape, or is not finite for an answer.
    """
    prior = np.asarray(log_prior, dtype=np.float64)
    if prior.shape not in {exists.shape, exists.shape[1:]}:
        msg = f"The prior has shape {prior.shape}, the scores have {exists.shape}."
        raise InputError(msg, hint="pass one log-prior an answer, or one an answer and prompt.")
    prior = np.broadcast_to(prior, exists.shape)
    if not np.isfinite(prior[exists]).all():
        msg = "The log-prior of an answer is not a finite number."
        raise InputError(msg, hint="score the answers on a prompt without content.")
    return np.where(exists, prior, 0.0)


def answer_probabilities(
    logp: NDArray[np.float64],
    n_tokens: NDArray[np.int32],
    *,
    normalise: Normalise = "none",
    log_prior: ArrayLike | None = None,
    temperature: float = 1.0,
) -> NDArray[np.float64]:
    """Turn scores of a closed set of answers into probabilities.

    The answers are taken to be all there are: a row's probabilities sum to 1. They are
    called calibrated only where `temperature` was fitted on labelled cells.

    Parameters
    ----------
    logp
        log P(answer | prompt) in nats, shape ``(n, m)``; NaN rows where a model gave none.
    n_tokens
        Tokens of each answer, 0 where a prompt has no such answer; shape ``(n, m)``.
    normalise
        ``"none"``, or ``"tokens"``: the mean of a token, so that long answers are not behind.
    log_prior
        log P(answer | a prompt without content), shape ``(m,)`` or ``(n, m)``; `None` for none.
    temperature
        Divides the corrected scores.

    Returns
    -------
    Shape ``(n, m)``; rows sum to 1, or are NaN where the scores are.

    Raises
    ------
    InputError
        If shapes differ, an argument is out of range, or scores of some answers are missing.

    Examples
    --------
    >>> logp = np.log([[0.06, 0.02]])
    >>> n_tokens = np.array([[1, 2]])
    >>> answer_probabilities(logp, n_tokens).round(2).tolist()
    [[0.75, 0.25]]
    >>> answer_probabilities(logp, n_tokens, log_prior=np.log([0.6, 0.1])).round(2).tolist()
    [[0.33, 0.67]]
    """
    if not 0 < temperature < np.inf:
        msg = f"`temperature` must be above 0, got {temperature}."
        raise InputError(msg, hint="1 leaves probabilities as they are.")
    logs = answer_logs(logp, n_tokens, normalise=normalise, log_prior=log_prior) / temperature
    if not logs.size:
        return logs
    raised = np.exp(logs - logs.max(axis=1, keepdims=True))
    has_none = np.isnan(logs).any(axis=1, keepdims=True)
    return np.asarray(np.where(has_none, np.nan, raised / raised.sum(axis=1, keepdims=True)))


@dataclass(frozen=True, eq=False)
class TopAnswers:
    """The likeliest answers of each prompt, best first."""

    codes: NDArray[np.int64]
    """Which answers, the first of equals first; -1 where a prompt has fewer, or no
    probabilities; shape ``(n, k)``."""
    probabilities: NDArray[np.float64]
    """Their probabilities, NaN where the code is -1; shape ``(n, k)``."""


def top_answers(probabilities: NDArray[np.float64], n: int = 2) -> TopAnswers:
    """Give the `n` likeliest answers of each row: with 2, the answer and its runner-up.

    Parameters
    ----------
    probabilities
        Shape ``(n_obs, m)``; 0 where there is no such answer.
    n
        How many; fewer if there are fewer answers.

    Raises
    ------
    InputError
        If `n` is below 1.

    Examples
    --------
    >>> top_answers(np.array([[0.2, 0.5, 0.3]])).codes.tolist()
    [[1, 2]]
    """
    if n < 1:
        msg = f"`n` must be at least 1, got {n}."
        raise InputError(msg)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :n]
    found = np.take_along_axis(probabilities, order, axis=1)
    is_there = found > 0
    return TopAnswers(
        np.where(is_there, order, -1).astype(np.int64), np.where(is_there, found, np.nan)
    )


def answer_predictions(
    labels: Sequence[str],
    probabilities: NDArray[np.float64],
    *,
    min_score: float = Thresholds.min_score,
    is_calibrated: bool = False,
) -> Predictions:
    """Name the likeliest answer of each row, ``"unknown"`` where it is not likely enough.

    Parameters
    ----------
    labels
        The answers, one set for all rows; length ``m``.
    probabilities
        Shape ``(n, m)``, rows sum to 1.
    min_score
        Rows whose likeliest answer has a smaller probability are ``"unknown"``.
    is_calibrated
        Whether labelled cells were used to fit a temperature.

    Raises
    ------
    InputError
        If there are not as many labels as columns, or `min_score` is outside [0, 1].
    """
    if probabilities.shape[1] != len(labels):
        msg = f"There are {len(labels)} labels for {probabilities.shape[1]} columns."
        raise InputError(msg, hint="pass the answers that were scored, in their order.")
    if not 0 <= min_score <= 1:
        msg = f"`min_score` is a probability between 0 and 1, got {min_score}."
        raise InputError(msg)
    return Predictions(
        tuple(labels),
        probabilities,
        np.full(len(probabilities), np.nan),  # a language model measures no distance
        Thresholds(min_score=min_score),
        is_calibrated,
    )
