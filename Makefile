# Everything a fresh machine needs besides Python 3.11 to 3.13 and make is installed into .venv.
#   make test PYTHON=python3.12     another interpreter
#   make test ARGS="tests/models"   some of the tests

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
INPUTS := pyproject.toml constraints.txt
# Stamps say what .venv holds; `test` includes `core`, so it sets both.
CORE := $(VENV)/.installed-core
TEST := $(VENV)/.installed-test
# -qq: no lines about indexes; errors are still shown.
PIP := $(PY) -m pip install -qq --disable-pip-version-check -c constraints.txt
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help test test-slow lint format demo clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

test: lint  ## format check, ruff, mypy, pytest (about 20 minutes on 2 cores)
	$(PY) -m pytest -n 2 $(ARGS)

test-slow: $(TEST)  ## the tests left out of `make test`: minutes long or large in memory
	$(PY) -m pytest -m slow $(ARGS)

lint: $(TEST)  ## format check, ruff, mypy
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy

format: $(TEST)  ## let ruff format and mend what it can
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

demo: $(CORE)  ## made-up people by the packaged mini model: a scene, its gate maps, 7 expressions x 5 poses
	@$(PY) -m dynamicid_jax demo --out demo.png

clean:  ## remove .venv and everything else that can be made again
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache tests/golden/unpacked
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY):
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit("error: $(PYTHON) is Python %d.%d; expected 3.11 to 3.13: make PYTHON=python3.12 ..." % v)'
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "error: $(PYTHON) cannot make a virtual environment; install its venv module" >&2; exit 1; }

$(CORE): $(INPUTS) | $(PY)
	@echo "installing the package into $(VENV), about 1.3 GB (a minute or two)"
	@$(PIP) -e .
	@touch $@

$(TEST): $(INPUTS) | $(PY)
	@echo "installing the package and its test tools into $(VENV), about 3 GB (a few minutes)"
	@$(PIP) -e '.[test,convert,train,c2pa,app]'
	@touch $(CORE) $@
