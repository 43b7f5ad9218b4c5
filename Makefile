# make demo | test | test-slow | test-rl | test-bench | test-mysql | test-remote | test-browser | lint | bench | results | docs
# Each sets up .venv when it is missing or older than pyproject.toml. PYTHON chooses the interpreter. pip says errors alone
# (-qq): setuptools warns of every editable installation.

PYTHON ?= python3
BIN := .venv/bin
# Processes that share the tests of `test` and `test-slow`, one more than the smallest machine has cores, since tests wait
# for other processes; 0: none beside pytest's own.
WORKERS ?= 3
# A core for each of them: their networks are small, and threads of several processes hold one another up.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)

.PHONY: demo test test-slow test-rl test-bench test-mysql test-remote test-browser lint bench results docs clean
.DEFAULT_GOAL := demo

.venv/.installed: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing nasrec_automl and what it needs into .venv (a few minutes, the first time) ..."
	@$(BIN)/python -m pip install -qq --upgrade pip
	@$(BIN)/python -m pip install -qq --editable '.[test]'
	@touch $@

demo: .venv/.installed
	@. $(BIN)/activate && nasrec-automl demo examples/quickstart/experiment.yml
	@echo "(For these commands, first: . $(BIN)/activate)"

# By file, each of which has costly fixtures of its own.
test: .venv/.installed
	$(PYTEST) --dist loadfile --no-loadscope-reorder -m "not slow and not mysql and not remote and not browser"

# By test: one file has half of the work.
test-slow: .venv/.installed
	$(PYTEST) --dist worksteal -m slow

# Beside .venv and without what it pins: tianshou's later versions want another protobuf than the extra `export`.
build/rl/.installed: .venv/.installed
	$(BIN)/python -m pip install -qq --upgrade --target build/rl --no-deps 'tianshou<0.5' 'gym>=0.26' gym-notices \
		h5py tensorboard tensorboard-data-server absl-py grpcio markdown werkzeug
	@touch $@

test-rl: build/rl/.installed
	PYTHONPATH=build/rl $(BIN)/python -m pytest tests/nni_plugin/test_strategies.py -k "PolicyBasedRL or ENAS"

# The baselines of other libraries.
test-bench: .venv/.installed
	$(BIN)/python -m pip install -qq --editable '.[bench]'
	$(PYTEST) tests/test_baselines_benchmark.py tests/test_results_benchmark.py

# Wants `apt-get install mariadb-server`; the tests start a server of their own.
test-mysql: .venv/.installed
	$(BIN)/python -m pytest -m mysql

# Wants root and `apt-get install openssh-server`: the tests start two machines of their own.
test-remote: .venv/.installed
	$(BIN)/python -m pytest -m remote

# Wants `apt-get install chromium`; the tests start dashboard and browser of their own.
test-browser: .venv/.installed
	$(BIN)/python -m pip install -qq --editable '.[browser]'
	$(BIN)/python -m pytest -m browser

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.installed
	$(BIN)/python -m tests.benchmarks

# Measures what docs/results.md shows, and writes it: about two days on two cores, estimated by its steps. It can be
# stopped at any point, and the next call goes on. Nothing else may run beside it: baselines are tuned for as many
# seconds as the searches took.
results: .venv/.installed
	$(BIN)/python -m pip install -qq --editable '.[bench]'
	$(BIN)/python -m tests.benchmarks results

docs: .venv/.installed
	$(BIN)/python -m pip install -qq --editable '.[docs]'
	$(BIN)/mkdocs build --strict

clean:
	rm -rf .venv build dist site *.egg-info
