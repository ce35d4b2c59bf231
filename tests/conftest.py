"""What all tests share: the data folder, and a user folder of their own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that need the data folder where there is none, and say so."""
    if os.environ.get("CELLOQUY_DATA"):
        return
    without = [item for item in items if item.get_closest_marker("data")]
    if without:
        config.hook.pytest_deselected(items=without)
        items[:] = [item for item in items if item not in without]
        terminal = config.pluginmanager.get_plugin("terminalreporter")
        terminal.write_line(f"CELLOQUY_DATA is not set: {len(without)} data tests are left out.")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Give the folder of real cells and tables that `CELLOQUY_DATA` names."""
    return Path(os.environ["CELLOQUY_DATA"])


@pytest.fixture(autouse=True)
def _own_user_folders(tmp_path_factory, monkeypatch) -> None:
    """Keep every test away from the user's own cache of tables."""
    monkeypatch.setenv("CELLOQUY_CACHE", str(tmp_path_factory.mktemp("cache")))
