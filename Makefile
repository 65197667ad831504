# `make search` and `make test` work on a fresh machine; the other targets are for daily work.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

# The first interpreter of a version the project supports; `make PYTHON=... test` chooses another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& echo "$$python" && break; done)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
SPACE := search_spaces/movielens_small.yaml
OUT := runs
STUDY := $(OUT)/movielens_small

.PHONY: search test lint clean

search: $(INSTALLED)
	$(BIN)/automl-rec search $(SPACE) --out $(OUT)
	$(BIN)/automl-rec front $(STUDY)
	$(BIN)/automl-rec export $(STUDY) --pick knee --out $(OUT)/knee

# Models of tests are small: threads would only wait for each other, most of all beside other work.
test: export OMP_NUM_THREADS ?= 1
test: $(INSTALLED)
	$(BIN)/pytest

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

# torch goes first and alone: pip then cannot choose another build of it on the way.
$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.11, 3.12 or 3.13 was found on PATH. Install one, or name it: make PYTHON=/path/to/python"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test,dashboard]'
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
