# `make demo` and `make test` are the only set-up commands: both install what they need into .venv first.
PYTHON ?= python3
BIN := .venv/bin
JOBS ?= 8
# Tests start Python a few hundred times: whoever sets this would have everything compiled anew each time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo test lint unit properties sim bench soak planted mutants clean

help: ## the targets
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 12

install: ## .venv from requirements-dev.txt, which has requirements.txt in it
	@$(PYTHON) .ci/install.py

demo: install ## the main job on an embedded AWS; every record accounted for
	@$(BIN)/poller demo

lint: install ## format, lint, types, import contracts, clauses without a test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/clauses.py

unit: install ## the tests that start no process
	$(BIN)/pytest -n $(JOBS) --dist worksteal tests/unit tests/property

sim: install ## the whole worker simulated, until stopped; SEED=n STEPS=m repeats one, SEEDS=a-b runs some
	$(BIN)/python -m tests.sim.run $(if $(SEED),--seed $(SEED)) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(STEPS),--steps $(STEPS))

properties: install ## the properties with 2,000 examples each, or EXAMPLES=n (`make test` has 50)
	POLLER_EXAMPLES=$(or $(EXAMPLES),2000) $(BIN)/pytest -n $(JOBS) --dist worksteal -o timeout=7200 tests/property

test: ## all checks and all tests
	@$(PYTHON) .ci/install.py --servers
	@$(MAKE) --no-print-directory -j2 lint .venv/compiled
	$(BIN)/pytest -n $(JOBS) --dist worksteal tests

# Else each worker would compile all of them, at the same time.
.venv/compiled: $(shell find poller tests -name "*.py") .venv/installed
	@$(BIN)/pytest --collect-only -qq tests > /dev/null || $(BIN)/pytest --collect-only -q tests
	@touch $@

bench: install ## the figures of the README; SECTIONS="sqs idle" for some, JSON=file to keep them
	$(BIN)/python -m tests.bench.run $(SECTIONS) $(if $(JSON),--json $(JSON))

SECONDS ?= 600
soak: install ## the daemon under faults and kills, ten minutes or SECONDS=n; nothing lost, nothing leaked
	$(BIN)/python -m tests.faults.soak --seconds $(SECONDS)

planted: install ## bugs planted on purpose, and the test that catches each; NAMES="one another" for some
	$(BIN)/python -m tests.planted.run $(NAMES)

mutants: install ## mutation testing of the core; FILES="settle lanes" for some
	$(BIN)/python -m tests.planted.mutants $(FILES)

clean: ## what the targets above installed
	rm -rf .venv .servers
