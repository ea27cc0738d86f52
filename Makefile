# Each target sets up what it needs. `make` alone lists them.
BIN := .venv/bin

.PHONY: help setup programs lint check test demo mutants lock
help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

setup: ## make .venv from the hash-pinned lock files
	@tools/setup

programs: setup ## get Prometheus, promtool and hey into the user's cache folder, where PATH has none
	@$(BIN)/python tools/programs.py

lint: setup ## style, types and import rules
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

check: lint ## the quick inner loop: lint, and the tests that need no other program
	$(BIN)/pytest -m "not program" $(ARGS)

test: lint programs ## the whole suite
	$(BIN)/pytest $(ARGS)

demo: setup ## the main job on this machine; ARGS="--speed 1" and others: ARGS=--help
	@$(BIN)/autoscaler demo $(ARGS)

mutants: setup ## change the algorithms in small ways and list the changes that no test notices; ARGS="algorithms.kpa*"
	$(BIN)/mutmut run $(ARGS)
	$(BIN)/mutmut results

lock: setup ## compile the lock files anew
	@tools/lock
