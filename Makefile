# Everything works on a clean clone: the targets make .venv when it is missing or older than
# pyproject.toml. PYTHON may name another interpreter, 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: quickstart install dev check format test test-slow benchmark benchmark-gpu clean

quickstart: .venv/installed
	$(BIN)/potstill quickstart

install: .venv/installed
dev: .venv/installed-dev

check: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: .venv/installed-dev
	$(BIN)/python -m pytest

test-slow: .venv/installed-dev
	$(BIN)/python -m pytest -m slow

benchmark: .venv/installed-dev
	$(BIN)/python -m pytest tests/benchmarks -o addopts="" -m "not gpu" --benchmark-only -s

benchmark-gpu: .venv/installed-dev
	$(BIN)/python -m pytest tests/benchmarks -o addopts="" -m gpu --benchmark-only -s

clean:
	rm -rf .venv runs

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || (echo "Potstill needs Python 3.11 or newer; name one with: make PYTHON=python3.12" && exit 2)
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

.venv/installed-dev: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch .venv/installed $@
