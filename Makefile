# Every target sets up what it needs: a virtual environment in .venv and an installation, once.
# make PYTHON=/path/to/python3.12 chooses the interpreter.

VENV := .venv
PY := $(VENV)/bin/python
INSTALL := $(PY) -m pip install -qq --no-compile --disable-pip-version-check --editable
# TensorFlow's start-up notes hide what a user should read
export TF_CPP_MIN_LOG_LEVEL ?= 2
# Two test processes: compilation, which takes most of the time, uses one core
PYTEST := $(PY) -m pytest -q -n 2 --dist worksteal
# JAX compiles every operation of every shape, which the tests would wait for
QUICK_XLA := --xla_backend_optimization_level=0
ON_JAX := layers models families generation training
# One short run of each recipe, as on a GPU
RUNS_ON_JAX := run_learns or run_folder or goes_on_elsewhere
ON_TORCH := layers models families checkpoints/test_keras_hub.py checkpoints/test_adapters.py \
	generation/test_peers.py tasks/test_translator_peers.py

# TensorFlow 2.21 is published for Python 3.11 to 3.13
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
ifndef PYTHON
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	if $$p -c '$(FITS)' 2>/dev/null; then echo $$p; break; fi; done)
endif

.PHONY: help quickstart test test-slow test-exhaustive test-jax test-torch lint clean
.DEFAULT_GOAL := help

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*##/make \1\t/p' $(MAKEFILE_LIST) | expand -t 24

quickstart: $(VENV)/.recipes  ## train, score and export a translator of dates, in minutes
	$(PY) -m recipes.translation quickstart --run-dir runs/quickstart

test: $(VENV)/.test  ## the fast tests, on TensorFlow
	KERAS_BACKEND=tensorflow $(PYTEST) -m "not (slow or broad or exhaustive)" $(ARGS)

test-slow: $(VENV)/.test  ## the tests that take minutes each, and those that are many
	KERAS_BACKEND=tensorflow $(PYTEST) -m "(slow or broad) and not exhaustive" $(ARGS)

test-exhaustive: $(VENV)/.test  ## every line of the real data, 200,000 fuzzed strings, recipes in full: hours
	KERAS_BACKEND=tensorflow $(PYTEST) -m exhaustive $(ARGS)

test-jax: $(VENV)/.test  ## the tests of all that runs on JAX
	XLA_FLAGS="$(QUICK_XLA) $(XLA_FLAGS)" KERAS_BACKEND=jax $(PYTEST) -m "not (slow or broad or exhaustive)" $(ARGS) $(ON_JAX:%=tests/%)
	XLA_FLAGS="$(QUICK_XLA) $(XLA_FLAGS)" KERAS_BACKEND=jax $(PYTEST) -m "not (broad or exhaustive)" -k "$(RUNS_ON_JAX)" $(ARGS) tests/recipes

test-torch: $(VENV)/.torch  ## layers and models on torch, and all that has a peer in transformers or KerasHub
	KERAS_BACKEND=torch $(PYTEST) -m "not (slow or broad or exhaustive)" $(ARGS) $(ON_TORCH:%=tests/%)

lint: $(VENV)/.test  ## style, and which part may import which
	$(VENV)/bin/ruff check .
	$(VENV)/bin/lint-imports

clean:  ## remove the virtual environment and the caches, not the runs
	rm -rf $(VENV) .pytest_cache .ruff_cache .import_linter_cache build *.egg-info

$(PY):
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed, and none was found" \
		"(make PYTHON=/path/to/python3 names one)." >&2; exit 1; }
	@$(PYTHON) -c '$(FITS)' || { echo "Python 3.11, 3.12 or 3.13 is needed;" \
		"$(PYTHON) is `$(PYTHON) --version 2>&1`." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) has no venv module;" \
		"on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "Making a virtual environment in $(VENV) ..."
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# A stamp is renewed when setup.py changes; what is installed already and fits stays as it is.
$(VENV)/.recipes: setup.py pyproject.toml | $(PY)
	@echo "Installing keras_transformer with TensorFlow (about a minute, then never again) ..."
	@$(INSTALL) ".[tensorflow,recipes]"
	@touch $@

$(VENV)/.test: setup.py pyproject.toml | $(PY)
	@echo "Installing keras_transformer with what its tests need (about a minute, then never again) ..."
	@$(INSTALL) ".[test]"
	@touch $@ $(VENV)/.recipes

$(VENV)/.torch: $(VENV)/.test
	@echo "Installing torch ..."
	@$(INSTALL) ".[peers]"
	@touch $@
