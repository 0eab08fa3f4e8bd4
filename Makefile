# make help lists the targets. Everything lives in .venv and in the state folder (LAKEHOUSE_HOME, .lakehouse).
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
LAKEHOUSE := $(BIN)/lakehouse

##@ Start here
.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n\033[1m%s\033[0m\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  \033[36m%-16s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(STAMP) ## Make .venv with everything in requirements.lock

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 setup"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv || { echo "python3 has no venv module: apt-get install python3-venv"; exit 1; }
	@echo "Installing the locked packages into .venv (about 2 minutes the first time) …"
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

##@ Develop
.PHONY: test
test: $(STAMP) ## Run all tests (real Kafka, Postgres, Delta)
	@$(BIN)/python -m pytest

.PHONY: check
check: $(STAMP) ## What CI does before the tests: lint, format, types
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
