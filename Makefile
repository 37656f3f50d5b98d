# Every target creates and fills .venv by itself. Needs python3 (>= 3.11) with venv; nothing is installed outside .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export HF_HUB_OFFLINE := 1
export MPLBACKEND := Agg

.DEFAULT_GOAL := help
.PHONY: help demo test slow lint format bench docs schema clean

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sort | sed -E 's/:[^#]*## /\t/' | expand -t 10

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lamplighter needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(VENV)/.installed  ## train, serve, replay live traffic, watch the drift alarm fire; keeps serving
	$(BIN)/lamp demo

test: $(VENV)/.installed  ## the whole suite but the long proofs, in two processes
	$(BIN)/python -m pytest -n 2 --dist loadfile

slow: $(VENV)/.installed  ## the long proofs
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.installed  ## ruff, mypy, the floors of the house
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed  ## let ruff rewrite the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed  ## side-by-side benchmarks into benchmarks/results
	$(BIN)/python benchmarks/help.py
	$(BIN)/python benchmarks/train_fashion.py
	$(BIN)/python benchmarks/train_overhead.py
	$(BIN)/python benchmarks/serve_plain.py
	$(BIN)/python benchmarks/models.py

docs: $(VENV)/.installed  ## build the documentation into site/
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/mkdocs build --strict

schema: $(VENV)/.installed  ## write the JSON Schema of recipes anew
	$(BIN)/lamp schema --fresh > src/lamplighter/recipes/schema.json.tmp
	mv src/lamplighter/recipes/schema.json.tmp src/lamplighter/recipes/schema.json

clean:  ## remove caches and the environment
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache site build
