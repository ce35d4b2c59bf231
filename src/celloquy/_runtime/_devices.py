"""Where models run and how exactly: devices, precision, and what the processor can do."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from celloquy._runtime._extras import is_installed, require
from celloquy._runtime._registry import closest
from celloquy.errors import InputError

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Processor:
    """What the processor of this machine can do for a language model."""

    name: str
    """What it calls itself."""
    n_cores: int
    """Cores that this process may use."""
    has_avx512_bf16: bool | None
    """Whether it multiplies bf16 numbers in vectors; `None` if it does not say."""
    has_amx_bf16: bool | None
    """Whether it multiplies bf16 numbers in tiles; `None` if it does not say."""

    @property
    def is_fast_in_bf16(self) -> bool:
        """Say whether ``precision="bf16"`` is known to be worth it here.

        Vectors of bf16 numbers gained half on AMD's processors; on an Intel processor without
        tiles they lost a fifth (docs/benchmarks/embedding.md).
        """
        return bool(self.has_amx_bf16 or (self.has_avx512_bf16 and "AMD" in self.name))


def pick_device(wanted: str = "auto") -> str:
    """Choose where a model runs.

    Parameters
    ----------
    wanted
        ``"auto"`` takes a GPU if there is one. ``"cuda"`` may carry a number: ``"cuda:1"``.

    Returns
    -------
    A device as torch names it.

    Raises
    ------
    InputError
        If there is no such device, or it is not here.
    """
    kind, _, number = wanted.partition(":")
    if kind not in get_args(Device) or (number and (kind != "cuda" or not number.isdecimal())):
        msg = f"There is no device {wanted!r}{closest(wanted, get_args(Device))}."
        raise InputError(msg, hint=f"choose one of: {', '.join(get_args(Device))}, cuda:1, ….")
    if kind == "cpu":
        return "cpu"
    torch = require("torch", extra="encode", why="to run language models")
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    here = {"cuda": n_gpus > int(number or 0), "mps": torch.backends.mps.is_available()}
    if kind == "auto":
        return next((device for device, is_here in here.items() if is_here), "cpu")
    if not here[kind]:
        msg = f"The device {wanted!r} is not there: torch sees {n_gpus} CUDA devices."
        raise InputError(msg, hint='pass `device="cpu"` (`--device cpu`) or `device="auto"`.')
    return wanted


def pick_precision(wanted: str = "fp32") -> Precision:
    """Check the name of a precision.

    Examples
    --------
    >>> pick_precision("bf16")
    'bf16'

    Raises
    ------
    InputError
        If there is no such precision.
    """
    if wanted not in get_args(Precision):
        msg = f"There is no precision {wanted!r}{closest(wanted, get_args(Precision))}."
        raise InputError(msg, hint="choose `fp32`, or `bf16`: faster, and rounded to 8 bits.")
    return cast("Precision", wanted)


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> Processor:
    """Describe the processor, without loading torch where the system says it all.

    Parameters
    ----------
    cpuinfo
        Where Linux describes its processors.
    """
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    stated = _stated(cpuinfo)
    flags = stated.get("flags")
    known = None if flags is None else set(flags.split())
    return Processor(
        name=stated.get("model name") or platform.processor() or platform.machine(),
        n_cores=n_cores or 1,
        has_avx512_bf16=_has("avx512_bf16", known),
        has_amx_bf16=_has("amx_bf16", known),
    )


def _stated(cpuinfo: Path) -> dict[str, str]:
    """Read what Linux says of its first processor; nothing elsewhere."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _has(feature: str, known: set[str] | None) -> bool | None:
    """Say whether the processor has a feature; torch is asked where the system says nothing."""
    if known is not None:
        return feature in known
    if not is_installed("torch"):
        return None
    import torch

    names = {"avx512_bf16": "_is_avx512_bf16_supported", "amx_bf16": "_is_amx_tile_supported"}
    asked = getattr(torch.cpu, names[feature], None)
    return None if asked is None else bool(asked())
