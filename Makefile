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

$(STAMP): requirements.lock pyproject.toml infra/python/install.py infra/python/uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 setup"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv || { echo "python3 has no venv module: apt-get install python3-venv"; exit 1; }
	@echo "Installing the locked packages into .venv (once; 1.6 GB) …"
	@$(BIN)/python infra/python/install.py
	@touch $@

##@ Run it
.PHONY: run
run: $(STAMP) ## Run the whole platform on this machine; Ctrl-C ends it
	@$(LAKEHOUSE) run

.PHONY: events
events: $(STAMP) ## Send shop events (EVENTS_PER_SEC=20, INVALID_RATE=.05, …) until Ctrl-C
	@$(LAKEHOUSE) events

.PHONY: stop
stop: $(STAMP) ## End the platform from another terminal
	@$(LAKEHOUSE) stop

.PHONY: clean
clean: $(STAMP) ## Remove all local state but the downloads (asks first, at a terminal)
	@if [ -t 0 ]; then $(LAKEHOUSE) clean; else $(LAKEHOUSE) clean --yes; fi

##@ Look at it
.PHONY: ps
ps: $(STAMP) ## Processes with state, port, memory, uptime
	@$(LAKEHOUSE) ps

.PHONY: logs
logs: $(STAMP) ## Follow all logs; make logs NAMES="api daemon" for some
	@$(LAKEHOUSE) logs $(NAMES)

.PHONY: status
status: $(STAMP) ## Lag, slices, layers, newest KPI, failing checks
	@$(LAKEHOUSE) status

.PHONY: verify
verify: $(STAMP) ## Audit everything stored against what is promised
	@$(LAKEHOUSE) verify

.PHONY: topics
topics: $(STAMP) ## The topic (created where missing): partitions, offsets, lag
	@$(LAKEHOUSE) topics

.PHONY: bronze-tree silver-tree quarantine-tree
bronze-tree: $(STAMP) ## Bronze's partitions: files, rows, bytes
	@$(LAKEHOUSE) tree bronze
silver-tree: $(STAMP) ## Silver's partitions
	@$(LAKEHOUSE) tree silver
quarantine-tree: $(STAMP) ## Quarantine's partitions
	@$(LAKEHOUSE) tree quarantine

.PHONY: kpi-sample
kpi-sample: $(STAMP) ## The newest minutes of Gold
	@$(LAKEHOUSE) kpi-sample

.PHONY: alerts-sample
alerts-sample: $(STAMP) ## The newest alerts
	@$(LAKEHOUSE) alerts-sample

.PHONY: psql
psql: $(STAMP) ## PostgreSQL's own prompt on the platform's database
	@$(LAKEHOUSE) psql

##@ Develop
.PHONY: test
test: $(STAMP) ## Run all tests but the browser's (real Kafka, Postgres, Delta)
	@$(BIN)/python -m pytest -m "not browser" -n 2 --dist worksteal

.PHONY: test-api-fuzz
test-api-fuzz: $(STAMP) ## Ask a running API 1,000 and more cases made from its document (acknowledges alerts)
	@$(BIN)/schemathesis run $(or $(API_URL),http://127.0.0.1:8000)/openapi.json --include-path-regex '^/v1/' \
		--phases examples,coverage,fuzzing --max-examples 100 --suppress-health-check all

.PHONY: test-browser
test-browser: $(STAMP) ## Run the tests that drive a real browser (Chromium)
	@$(BIN)/python -m pytest -m browser

.PHONY: test-spark
test-spark: $(STAMP) ## Run the core's tests on a real Spark 4.2 with Delta (330 MB of jars the first time)
	@infra/spark/test.sh

.PHONY: check
check: $(STAMP) ## What CI does before the tests: lint, format, types, generated docs
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(LAKEHOUSE) docs --check

.PHONY: bench
bench: $(STAMP) ## Time a slice of 1,000,000 messages from Kafka to Gold, and its memory (3 minutes)
	@$(BIN)/python -m benchmarks.million

.PHONY: bench-live
bench-live: $(STAMP) ## On the running stack: event to KPI, CPU and memory (12 minutes)
	@$(BIN)/python -m benchmarks.live
