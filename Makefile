# make demo | test | test-slow | lint | bench | docs
# Each sets up .venv when it is missing or older than pyproject.toml. PYTHON chooses the interpreter.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-slow lint bench docs clean
.DEFAULT_GOAL := demo

.venv/.installed: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing nasrec_automl and what it needs into .venv (a few minutes, the first time) ..."
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@

demo: .venv/.installed
	@. $(BIN)/activate && nasrec-automl demo examples/quickstart/experiment.yml

test: .venv/.installed
	$(BIN)/python -m pytest -m "not slow"

test-slow: .venv/.installed
	$(BIN)/python -m pytest -m slow

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.installed
	$(BIN)/python -m tests.benchmarks

docs: .venv/.installed
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	$(BIN)/mkdocs build --strict

clean:
	rm -rf .venv build dist site *.egg-info
