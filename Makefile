# `make demo` and `make test` do everything on a fresh machine: environment, installation, run.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints/ci.txt

.PHONY: demo test test-quick lint format mini clean

demo: .venv/installed
	$(BIN)/celloquy demo --out celloquy-demo --overwrite

test: .venv/installed-dev
	$(BIN)/python -m pytest -n 2

test-quick: .venv/installed-dev
	$(BIN)/python -m pytest -n 2 -m "not slow"

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

MINI := build/mini
mini: .venv/installed
	$(BIN)/python mini/prepare.py --data $(DATA) --out $(MINI) --without "Zheng 2017"
	$(BIN)/celloquy corpus $(MINI)/recipe.toml --out $(MINI)/corpus
	$(BIN)/celloquy train $(MINI)/recipe.toml --out $(MINI)/run
	$(BIN)/python mini/measure.py --data $(DATA) --build $(MINI) --held "Zheng 2017" --out $(MINI)/result.json
	$(BIN)/python mini/package.py --build $(MINI) --results $(MINI)/result.json

.venv/installed: pyproject.toml constraints/ci.txt
	$(PYTHON) -m venv .venv
	$(INSTALL) "pip>=25.1"
	$(INSTALL) --editable ".[all]"
	touch $@

.venv/installed-dev: .venv/installed
	$(INSTALL) --group lint --group test
	# apart: beside bitsandbytes, whatever imports PEFT starts three seconds later
	$(INSTALL) --no-deps --upgrade --target .venv/four-bits bitsandbytes
	touch $@

clean:
	rm -rf .venv celloquy-demo
