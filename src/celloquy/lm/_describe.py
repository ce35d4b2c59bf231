"""What a language model is, said without loading its weights."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from celloquy._runtime import closest
from celloquy.errors import CelloquyError, InputError
from celloquy.lm._folder import find_folder, require_backend
from celloquy.lm._known import KnownCheckpoint, find_known, known_checkpoints
from celloquy.lm._load import load_lm, split_name
from celloquy.lm._mini import MINI, mini_folder
from celloquy.lm._reading import read_reading

if TYPE_CHECKING:
    from collections.abc import Mapping


def describe_lm(name: str) -> dict[str, Any]:
    """Say what a language model can be asked for, how, and under which licence.

    Nothing is fetched, and no weights of a decoder are loaded.

    Parameters
    ----------
    name
        What :func:`celloquy.load_lm` takes, or the id of a known checkpoint.

    Returns
    -------
    What is known, by word: name, backend, capabilities, prompt format, context, licence and more.

    Raises
    ------
    InputError
        If there is no such model here, and it is not a known checkpoint.

    Examples
    --------
    >>> describe_lm("Qwen/Qwen3-0.6B")["licence"]
    'Apache-2.0'
    """
    known = _known(name)
    if name == MINI and known is not None:
        folder = mini_folder()
        found = {} if folder is None else {**_of_folder(str(folder)), **_taught(folder)}
        return {**_of_known(known), **found, "is_here": folder is not None}
    if ":" not in name and known is not None:
        return _of_known(known)
    try:
        backend, place = split_name(name)
    except InputError as error:
        if ":" in name:
            raise
        near = closest(name, [one.id for one in known_checkpoints()])
        msg = f"There is no known checkpoint and no folder {name!r}{near}."
        raise InputError(msg, hint="`celloquy lm list` lists the known ones.") from error
    if backend == "hf" and known is None:
        folder = Path(place.rpartition("+")[2] or place).expanduser()
        return {"name": f"hf:{place}", **_of_folder(place), **_taught(folder)}
    if known is not None and not _is_here(place, backend):
        return {**_of_known(known), "is_here": False}
    if backend == "hf" and known is not None:
        return {**_of_known(known), "name": name, **_of_folder(place, known), "is_here": True}
    return {**_of_loaded(f"{backend}:{place}"), **({} if known is None else _of_known(known))}


def _known(name: str) -> KnownCheckpoint | None:
    """Find a known checkpoint by its id, by how it is loaded, or by its adapter."""
    by_load = next((one for one in known_checkpoints() if one.load == name), None)
    place = name.partition(":")[2] or name
    return by_load or find_known(place.rpartition("+")[2]) or find_known(place)


def _of_known(known: KnownCheckpoint) -> dict[str, Any]:
    said = asdict(known)
    said["capabilities"] = list(said.pop("offers"))
    said.pop("load")
    return {"name": known.name, **said, "licence_note": known.licence_line()}


def _is_here(place: str, backend: str) -> bool:
    """Say whether all parts of a checkpoint are on this machine."""
    try:
        for part in place.split("+"):
            find_folder(part, backend=backend)
    except CelloquyError:
        return False
    return True


def _of_folder(place: str, known: KnownCheckpoint | None = None) -> dict[str, Any]:
    """Describe a checkpoint of transformers from its settings and tokenizer."""
    from celloquy.lm._adapters import open_adapter, split_adapter
    from celloquy.lm._hf import settings_only

    require_backend("hf")
    base, adapter = split_adapter(place)
    folder = find_folder(base, backend="hf")
    said = settings_only(folder, wanted=(known and known.prompt_format) or "auto")
    if adapter is not None:
        opened = open_adapter(adapter)
        said |= {"adapter": opened.name, "base": opened.base}
    licence = _card_licence(folder)
    return {"backend": "hf", **said, **({} if licence is None else {"licence": licence})}


def _taught(folder: Path) -> dict[str, Any]:
    """Say what a model was taught to read, where its folder says it."""
    reading = read_reading([folder])
    if reading is None:
        return {}
    labels = {task: ", ".join(named) for task, named in reading.labels.items()}
    return {
        "tasks": list(reading.templates),
        "labels": labels,
        "n_top_genes": reading.n_top_genes,
        "rank_by": reading.rank_by,
        **({} if reading.known is None else {"genes": len(reading.known)}),
    }


def _card_licence(folder: Path) -> str | None:
    """Read the licence that a model card states at its head."""
    card = folder / "README.md"
    if not card.is_file():
        return None
    head = card.read_text("utf-8", errors="replace").split("---")
    if len(head) < 3 or head[0].strip():
        return None
    try:
        said: Mapping[str, Any] | None = yaml.safe_load(head[1])
    except yaml.YAMLError:
        return None
    found = said.get("license") if isinstance(said, dict) else None
    return None if found is None else str(found)


def _of_loaded(name: str) -> dict[str, Any]:
    lm = load_lm(name, device="cpu")
    return {
        "name": lm.name,
        "backend": name.partition(":")[0],
        "capabilities": sorted(lm.capabilities),
        "context": lm.max_tokens,
        "precision": lm.precision,
        "revision": lm.revision,
    }
