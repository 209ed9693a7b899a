# `make` lists the commands. Those that need .venv build it first; when it is current that takes no time.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

POLICY ?= policies/loans.yaml
# One process per core with one thread each: the tests' problems are too small to share among threads.
WORKERS ?= $(shell nproc 2>/dev/null || echo 2)
PYTEST_FLAGS ?=
BENCHMARK_FLAGS ?=
BIN := .venv/bin

.PHONY: help setup audit test lint format prove benchmark clean

help: ## list the commands
	@while IFS=: read -r name rest; do
	[[ $$rest == *"## "* && $$name =~ ^[a-z]+$$ ]] && printf 'make %-9s %s\n' "$$name" "$${rest#*## }" || true
	done <Makefile

setup: ## build .venv with the pinned versions and check the system libraries
	@.ci/setup

audit: setup ## audit the sample lender (POLICY=path for another policy)
	@code=0
	$(BIN)/auditkit run $(POLICY) || code=$$?
	case $$code in
	0) echo "The audit's answer (exit code 0): every rule of $(POLICY) is met." ;;
	1) echo "The audit's answer (exit code 1): at least one rule of $(POLICY) is breached. This is a finding, not a failure of make." ;;
	3) echo "The audit's answer (exit code 3): no rule of $(POLICY) is breached, but the evidence does not suffice for all of them. This is a finding, not a failure of make." ;;
	6) echo "The audit's answer (exit code 6): no rule of $(POLICY) is breached, and a format of the report is missing; see above." ;;
	*) echo "auditkit stopped with exit code $$code: there is no audit." >&2; exit $$code ;;
	esac

test: lint ## lint, types, import contracts, then every test but the acceptance lines at full size
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not prove" -n $(WORKERS) --dist loadfile --durations=15 $(PYTEST_FLAGS)

lint: setup ## ruff, mypy and the import contracts
	@$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: setup ## lay the code out with ruff
	@$(BIN)/ruff check --select I --fix --quiet .
	$(BIN)/ruff format .

prove: setup ## the acceptance lines at full size; figures go to benchmarks/results, dated
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m prove -n $(WORKERS) --dist loadfile --proof-dir=benchmarks/results --timeout 3600 --durations=15 $(PYTEST_FLAGS)

benchmark: setup ## auditkit against other influence libraries, in .venv-peers; results go to benchmarks/results, dated
	@benchmarks/setup
	.venv-peers/bin/python benchmarks/influence.py $(BENCHMARK_FLAGS)

clean: ## remove .venv, .venv-peers, caches and built packages; audits stay
	@rm -rf .venv .venv-peers build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
