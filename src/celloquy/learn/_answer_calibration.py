"""A temperature for a language model's answers, fitted on labelled cells and kept in a file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from celloquy._runtime import atomic_path
from celloquy.errors import CheckpointError, InputError
from celloquy.learn._answers import Normalise, answer_logs, answer_probabilities
from celloquy.learn._calibration import fit_temperature_of_logs

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

FORMAT = "celloquy-answer-calibration"
SCHEMA = 1
_AGAIN = "copy it again, or fit it anew."


@dataclass(frozen=True)
class AnswerCalibration:
    """How scores of a set of answers become calibrated probabilities."""

    labels: tuple[str, ...]
    """The answers, in the order of the columns."""
    temperature: float
    """Divides the corrected scores."""
    n_cells: int
    """Labelled cells that it was fitted on."""
    normalise: Normalise = "none"
    """How lengths are corrected."""
    log_prior: tuple[float, ...] | None = None
    """What is subtracted from the scores, one number a label; `None` for nothing."""
    of: dict[str, str] = field(default_factory=dict)
    """What the scores come from, such as ``{"lm": …, "revision": …, "task": …}``."""

    def probabilities(
        self, logp: NDArray[np.float64], n_tokens: NDArray[np.int32]
    ) -> NDArray[np.float64]:
        """Give calibrated probabilities; shape ``(n, m)``, rows sum to 1."""
        return answer_probabilities(
            logp,
            n_tokens,
            normalise=self.normalise,
            log_prior=self.log_prior,
            temperature=self.temperature,
        )

    def require_same(self, labels: Sequence[str], of: Mapping[str, str]) -> None:
        """Refuse answers or a source that the calibration was not fitted for.

        Raises
        ------
        InputError
            If the labels or their order differ, or something in `of` does.
        """
        if tuple(labels) != self.labels:
            other = [label for label in labels if label not in self.labels]
            what = f"such as {other[0]!r}" if other else "in another order or number"
            msg = (
                f"The calibration is of {len(self.labels)} labels; {len(labels)} are asked, {what}."
            )
            raise InputError(msg, hint="fit a calibration for these labels.")
        for name in sorted({*self.of, *of}):
            mine, asked = self.of.get(name), of.get(name)
            if mine != asked:
                msg = f"The calibration was fitted with {name} {mine!r}; {asked!r} is asked."
                raise InputError(msg, hint="fit a calibration for it, or leave it out.")


def fit_answer_calibration(
    logp: NDArray[np.float64],
    n_tokens: NDArray[np.int32],
    *,
    truth: Sequence[str],
    labels: Sequence[str],
    normalise: Normalise = "none",
    log_prior: ArrayLike | None = None,
    of: Mapping[str, str] | None = None,
) -> AnswerCalibration:
    """Fit the temperature that makes the truth of labelled cells likeliest.

    After Guo et al. (ICML 2017). A temperature changes no answer, only its probability.

    Parameters
    ----------
    logp
        log P(answer | prompt) of labelled cells, one answer set for all; shape ``(n, m)``.
    n_tokens
        Tokens of each answer; shape ``(n, m)``.
    truth
        True label of each cell; length ``n``.
    labels
        The answers, in the order of the columns; length ``m``.
    normalise
        How lengths are corrected; kept in the result.
    log_prior
        One log-prior a label, kept in the result; `None` for none.
    of
        What the scores come from; kept in the result.

    Raises
    ------
    InputError
        If there is no cell, sizes differ, a true label is none of the labels, or scores are
        missing.
    """
    labels = tuple(labels)
    if not len(truth) or np.shape(logp) != (len(truth), len(labels)):
        shape = np.shape(logp)
        msg = f"There are {len(truth)} labelled cells, {len(labels)} labels and scores of {shape}."
        raise InputError(msg, hint="pass one row a cell and one column a label, for some cells.")
    place = {label: i for i, label in enumerate(labels)}
    other = [label for label in truth if label not in place]
    if other:
        msg = f"{len(other)} of {len(truth)} true labels are none of the answers: {other[0]!r}."
        raise InputError(msg, hint="leave those cells out, or add their labels to the answers.")
    logs = answer_logs(logp, n_tokens, normalise=normalise, log_prior=log_prior)
    if np.isnan(logs).any():
        msg = f"{np.isnan(logs).any(axis=1).sum()} of {len(logs)} cells have no scores (NaN)."
        raise InputError(msg, hint="calibrate with a model that gives probabilities.")
    temperature = fit_temperature_of_logs(logs, np.array([place[label] for label in truth]))
    prior = None if log_prior is None else tuple(np.asarray(log_prior, dtype=float).tolist())
    return AnswerCalibration(
        labels, temperature, len(truth), normalise=normalise, log_prior=prior, of=dict(of or {})
    )


def save_answer_calibration(
    calibration: AnswerCalibration, path: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """Write a calibration as JSON; equal calibrations give equal bytes.

    Parameters
    ----------
    calibration
        What was fitted.
    path
        Where to write it.
    overwrite
        Whether an existing file is replaced.

    Raises
    ------
    InputError
        If `path` exists and `overwrite` is false, or it cannot be written.
    """
    record = {"format": FORMAT, "schema": SCHEMA, **asdict(calibration)}
    with atomic_path(path, overwrite=overwrite) as temporary:
        text = json.dumps(record, indent=1, ensure_ascii=False, sort_keys=True)
        temporary.write_text(text + "\n", encoding="utf-8")


def load_answer_calibration(path: str | os.PathLike[str]) -> AnswerCalibration:
    """Read a calibration that :func:`save_answer_calibration` wrote.

    Raises
    ------
    CheckpointError
        If there is no such file, it is no calibration, is of a newer version, or damaged.
    """
    path = Path(path)
    if not path.is_file():
        msg = f"There is no calibration '{path}'."
        raise CheckpointError(msg, hint="fit one on labelled cells, and save it.")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        msg = f"The calibration '{path.name}' cannot be read as JSON."
        raise CheckpointError(msg, hint=_AGAIN) from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        msg = f"'{path.name}' is no calibration of answers."
        raise CheckpointError(msg, hint="pass the file that `save_answer_calibration` wrote.")
    schema = record.get("schema")
    if not isinstance(schema, int) or schema > SCHEMA:
        msg = f"'{path.name}' was written in schema {schema}; this version reads up to {SCHEMA}."
        raise CheckpointError(msg, hint="upgrade celloquy: pip install --upgrade celloquy")
    try:
        return _checked(record)
    except (KeyError, TypeError, ValueError) as error:
        msg = f"The calibration '{path.name}' is damaged: {error}"
        raise CheckpointError(msg, hint=_AGAIN) from error


def _checked(record: Mapping[str, Any]) -> AnswerCalibration:
    """Build a calibration from its record.

    Raises
    ------
    ValueError
        If a value is out of range or does not fit the others.
    """
    prior = record["log_prior"]
    made = AnswerCalibration(
        labels=tuple(map(str, record["labels"])),
        temperature=float(record["temperature"]),
        n_cells=int(record["n_cells"]),
        normalise=record["normalise"],
        log_prior=None if prior is None else tuple(map(float, prior)),
        of={str(name): str(value) for name, value in dict(record["of"]).items()},
    )
    if not 0 < made.temperature < np.inf:
        msg = f"its temperature is {made.temperature}."
        raise ValueError(msg)
    if made.normalise not in {"none", "tokens"}:
        msg = f"it normalises by {made.normalise!r}."
        raise ValueError(msg)
    if made.log_prior is not None and len(made.log_prior) != len(made.labels):
        msg = f"it has {len(made.log_prior)} priors for {len(made.labels)} labels."
        raise ValueError(msg)
    return made
