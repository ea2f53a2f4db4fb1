# One word per job. Everything works on a fresh machine: the first word that is used sets up.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
# A stamp inside the environment: it is written last, so a half-made environment is made again.
STAMP := $(VENV)/.complete
PYTHON ?= $(shell for v in 3.11 3.12 3.13; do \
	p=$$(command -v python$$v) && $$p -c 'import venv, ensurepip' 2>/dev/null && echo $$p && break; done || command -v python3)
CORES ?= all
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup demo check test nightly format clean

help: ## What there is
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(STAMP) ## Make .venv with the pinned versions

$(STAMP): pyproject.toml constraints.txt
	@echo "setting up $(VENV) with $(PYTHON) (about two minutes)"
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"Python 3.11 to 3.13 is needed, found {v[0]}.{v[1]}: make PYTHON=/path/to/python3.12")'
	@rm -f $(STAMP)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[develop]'
	@$(BIN)/python -m pip check
	@touch $(STAMP)

demo: $(STAMP) ## Run the embedded demo cohort and say where the report is
	@snakemake --cores $(CORES)
	@echo "the report: $(CURDIR)/results/report/index.html"

check: $(STAMP) ## Formatting, lint, layers, types
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	snakemake --lint --config output_dir=$$(mktemp -d)
	lint-imports
	mypy

test: $(STAMP) ## The tests, but for the longest
	python -m pytest -n 2 --dist loadfile --durations 15 -m "not nightly"

nightly: $(STAMP) ## All tests
	python -m pytest -n 2 --dist loadfile --durations 15

format: $(STAMP) ## Format all code
	ruff check --fix --quiet . || true
	ruff format --quiet .
	snakefmt Snakefile workflow

clean: ## Remove the environment and the demo's results
	rm -rf $(VENV) results
