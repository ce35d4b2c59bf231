"""What all tests share: the data folder, and a user folder of their own."""

from __future__ import annotations

import os

# Two workers share two cores: more threads a worker only wait for each other. Set before numpy.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no fault of the code: a deadline would make true tests fail now and then.
# CI judges a change by the same examples each time; everybody else draws new ones.
settings.register_profile("celloquy", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("celloquy")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that need the data folder where there is none."""
    if os.environ.get("CELLOQUY_DATA"):
        return
    without = [item for item in items if item.get_closest_marker("data")]
    config.hook.pytest_deselected(items=without)
    items[:] = [item for item in items if item not in without]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say that data tests were left out."""
    if not os.environ.get("CELLOQUY_DATA"):
        terminalreporter.write_line("CELLOQUY_DATA is not set: tests on its data were left out.")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Give the folder of real cells and tables that `CELLOQUY_DATA` names."""
    return Path(os.environ["CELLOQUY_DATA"])


@pytest.fixture(autouse=True)
def _own_user_folders(tmp_path_factory, monkeypatch) -> None:
    """Keep every test away from the user's own cache of tables."""
    monkeypatch.setenv("CELLOQUY_CACHE", str(tmp_path_factory.mktemp("cache")))
