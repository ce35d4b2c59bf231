"""The JSON of a saved folder: it holds its own hash, and is refused where it was changed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celloquy.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

AGAIN = "copy it again, or fit it anew."
"""What to do with a folder that is damaged."""


@dataclass(frozen=True)
class Sealed:
    """What the JSON of a kind of folder is called, and what it must say."""

    what: str
    """What is saved, in a word."""
    file: str
    """Name of the JSON in the folder."""
    format: str
    """What it says of itself."""
    schema: int
    """The newest form of it that this version reads."""
    made_by: str
    """How such a folder is made."""

    def write(self, folder: Path, record: Mapping[str, Any]) -> None:
        """Write the record and its hash into a folder."""
        said = {"format": self.format, "schema": self.schema, **record}
        said["sha256"] = digest(said)
        text = json.dumps(said, indent=1, ensure_ascii=False, sort_keys=True)
        (folder / self.file).write_text(text + "\n", encoding="utf-8")

    def read(self, folder: Path) -> dict[str, Any]:
        """Read the record of a folder.

        Raises
        ------
        CheckpointError
            If there is none, it was changed, or this version cannot use it.
        """
        path = folder / self.file
        if not path.is_file():
            msg = f"'{folder.name}' is no saved {self.what}: it has no {self.file}."
            raise CheckpointError(msg, hint=f"make one: {self.made_by}.")
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            msg = f"The {self.what} '{folder.name}' is damaged: '{self.file}' cannot be read."
            raise CheckpointError(msg, hint=AGAIN) from error
        if not isinstance(record, dict) or record.get("format") != self.format:
            msg = f"'{folder.name}' is no saved {self.what}: its {self.file} is of another format."
            raise CheckpointError(msg, hint=f"make one: {self.made_by}.")
        schema = record.get("schema")
        if not isinstance(schema, int) or schema > self.schema:
            msg = f"'{folder.name}' was written in schema {schema}; "
            msg += f"this version reads up to {self.schema}."
            raise CheckpointError(msg, hint="upgrade celloquy: pip install --upgrade celloquy")
        expected = record.pop("sha256", None)
        if expected != digest(record):
            msg = f"The {self.what} '{folder.name}' is damaged: '{self.file}' was changed after "
            raise CheckpointError(msg + "saving.", hint=AGAIN)
        return record


def digest(record: Mapping[str, Any]) -> str:
    """Hash a record, whatever the order of its keys."""
    text = json.dumps(record, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
