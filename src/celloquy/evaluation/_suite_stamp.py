"""What a kept result was measured of and by: whether it still holds is read from this."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from celloquy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celloquy.evaluation._suite_job import Job

Stamp = dict[str, str]
NOT_OF_RESULTS = (
    "apps", "plotting", "scale", "training",
    "evaluation/suites",  # the part that counts is in the digest of the suite
    "evaluation/_report_axis.py", "evaluation/_report_html.py", "evaluation/_report_rows.py",
    "evaluation/_report_svg.py", "evaluation/_suite_answers.py", "evaluation/_suite_details.py",
    "evaluation/_suite_index.py", "evaluation/_suite_report.py", "evaluation/_suite_summary.py",
    "lm/mini",  # weights, as those behind any other name of a model
)  # fmt: skip
"""Parts of the package that no result depends on: they stand above, or make pages of results."""
READ = {".json", ".md", ".py", ".toml", ".tsv", ".yaml"}
"""Endings of the files that are read: code and tables; no caches, nor what an editor leaves."""
_MEANINGS = {
    "cells": "other cells or settings",
    "celloquy": "another version",
    "precision": "another precision",
    "code": "other code of the same version",
}


def stamp_of(job: Job) -> Stamp:
    """Say what results of a job are measured of and by: cells, version, precision, code.

    Parameters
    ----------
    job
        The job.
    """
    said = job.suite.digest() + json.dumps(job.cells.record())
    return {
        "cells": hashlib.sha256(said.encode()).hexdigest(),
        "celloquy": version("celloquy"),
        "precision": job.models.options.precision,
        "code": code_hash(Path(__file__).parents[1]),
    }


def differing(found: Mapping[str, object], stamp: Stamp) -> str:
    """Say in words what differs between the stamp of a result and the one of now.

    Examples
    --------
    >>> differing({"cells": "a", "precision": "fp32"}, {"cells": "b", "precision": "bf16"})
    'other cells or settings, and another precision'
    """
    return ", and ".join(
        words for key, words in _MEANINGS.items() if found.get(key) != stamp.get(key)
    )


@cache
def code_hash(package: Path) -> str:
    """SHA-256 of the files that results depend on: names and contents, however installed.

    Read once a process, as its code is.

    Parameters
    ----------
    package
        Folder of the package.

    Raises
    ------
    InputError
        If the folder holds no code, as in a package that is one archive.
    """
    digest = hashlib.sha256()
    paths = [
        (path.relative_to(package).as_posix(), path)
        for path in package.rglob("*")
        if path.suffix in READ and path.is_file()
    ]
    counted = [
        (name, path)
        for name, path in paths
        if not any(name == part or name.startswith(f"{part}/") for part in NOT_OF_RESULTS)
    ]
    if not counted:
        msg = f"There is no code of celloquy in the folder '{package}'."
        raise InputError(msg, hint="install celloquy as a folder: pip install celloquy")
    for name, path in sorted(counted):
        content = path.read_bytes()
        digest.update(f"{name}\x1f{len(content)}\x1f".encode())
        digest.update(content)
    return digest.hexdigest()
