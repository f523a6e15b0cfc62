# `make demo` and `make test` set up all they need in .venv; `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
MINUTES ?= 10
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt
# pip compiles on one core, which takes half as long again; some packages hold files for other Pythons.
COMPILE := $(BIN)/python -W ignore -m compileall -qq -j 0 $(VENV)/lib > /dev/null 2>&1 || true

.PHONY: help demo test test-hosts proof kills soak guards rules scale simulate bench-engine bench-small-files fast lint format types check coverage bench demo-data clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/installed ## Set up, and transcribe the recordings that ship with the project.
	@$(BIN)/stenopool demo

test: $(VENV)/installed-dev ## Set up, and run every check and every test that does not take long.
	@echo "checking style, types and layers"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache > $(VENV)/lint-imports.log || { cat $(VENV)/lint-imports.log; exit 1; }
	@echo "running the tests"
	@$(BIN)/python -m pytest -q --numprocesses 2 --dist worksteal -m "not proof" --ignore tests/hosts

test-hosts: $(VENV)/installed-dev ## Run over three hosts made of namespaces, break them; needs root.
	@echo "running the tests over three hosts"
	@$(BIN)/python -m pytest -q tests/hosts

proof: $(VENV)/installed-dev ## Run the tests that take long, most of which break runs and clusters.
	@echo "running the tests that take long"
	@$(BIN)/python -m pytest -q -m proof --ignore tests/hosts --ignore tests/faults/test_digits.py

kills: $(VENV)/installed-dev ## Read 2,000 digits while three drivers and four nodes are killed.
	@$(BIN)/python -m pytest -q -s tests/faults/test_digits.py

fast: $(VENV)/installed-dev ## Run the tests that need no server and no Ray.
	@$(BIN)/python -m pytest -q -m "not integration and not slow and not proof"

format: $(VENV)/installed-dev ## Format the code and mend what can be mended by itself.
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

coverage: $(VENV)/installed-dev ## Run the tests and say which lines no test reaches.
	@$(BIN)/python -m coverage run -m pytest -q --ignore tests/hosts
	@$(BIN)/python -m coverage report

soak: $(VENV)/installed-dev ## Break runs at random for MINUTES=10 and count what was lost.
	@$(BIN)/python tools/soak.py --minutes $(MINUTES)

guards: $(VENV)/installed-dev ## Take out each guard against loss and see that its test fails.
	@$(BIN)/python tools/without_guards.py

rules: $(VENV)/installed-dev ## Take out each of the engines' rules and see that its test fails.
	@$(BIN)/python tools/without_guards.py --rules

scale: $(VENV)/installed-dev ## Read a ledger of ten million rows and plan as many files; half an hour.
	@$(BIN)/python tools/scale.py --commit 40960

simulate: $(VENV)/installed-dev ## Simulate a thousand GPUs on ten million recordings; a few minutes.
	@$(BIN)/python tools/simulate.py

bench: $(VENV)/installed-dev ## Measure speed, error rate and memory; one JSON line an engine.
	@$(BIN)/python benchmarks/run.py

bench-engine: $(VENV)/installed-dev ## Measure engines beside what people use; needs ffmpeg, espeak-ng.
	@$(PIP) --no-deps openai-whisper==20250625 && $(PIP) tiktoken==0.14.0 numba more-itertools tqdm
	@$(BIN)/python benchmarks/engine.py

bench-small-files: $(VENV)/installed-dev ## Measure 100,000 small files in a bucket; needs rclone 1.65.
	@$(BIN)/python benchmarks/small_files.py

clean: ## Remove what the other targets made here.
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage

$(VENV)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "stenopool needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || echo missing)." \
	       "Give another: make demo PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "'$(PYTHON)' has no venv module; install it (Debian: apt-get install python3-venv)"; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/python
	@echo "installing stenopool and what it needs into $(VENV) (a minute or two)"
	@$(PIP) --editable . || { echo $(UNREACHABLE); exit 1; }
	@$(COMPILE)
	@touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt | $(VENV)/python
	@echo "installing stenopool, what it needs and what the tests need into $(VENV) (a minute or two)"
	@$(PIP) --editable '.[dev]' || { echo $(UNREACHABLE); exit 1; }
	@$(COMPILE)
	@touch $@ $(VENV)/installed

UNREACHABLE := "the packages could not be installed; pip says why above. If the package index cannot be" \
  "reached, set PIP_INDEX_URL or PIP_PROXY and run the same command again."
