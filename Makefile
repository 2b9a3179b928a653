# Thin: each target is one command. The environment .venv is made on first use and again when pyproject.toml changes.
.DEFAULT_GOAL := help
BIN := .venv/bin

.PHONY: help demo test torture soak systemd-test uml-test lint types fmt docs-check fuzz api-fuzz bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv/.made: pyproject.toml
	@PYTHON='$(PYTHON)' .ci/make-venv

demo: .venv/.made ## run conf/demo.toml for about ten seconds and show what became of it
	@conf/demo.sh $(BIN)/nsvisor

test: .venv/.made ## run the test suite
	@.ci/packages
	@$(BIN)/python -m pytest

torture: .venv/.made ## kill the daemon in 200 rounds under a real user manager and check what must hold (as root, six minutes)
	@$(BIN)/python -m tests.torture --rounds 200

soak: .venv/.made ## a mixed fleet, random commands and kills for an hour; what must hold is checked (as root; MINUTES=60)
	@$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),60) $(ARGS)

systemd-test: .venv/.made ## only the checks on a full systemd, in a container (as root)
	@.ci/packages
	@$(BIN)/python -m pytest tests/vehicles/test_full_system.py

uml-test: .venv/.made ## only the checks of limits by real controllers, under User-Mode Linux (as root)
	@.ci/packages
	@$(BIN)/python -m pytest tests/vehicles/test_uml_limits.py

lint: .venv/.made ## check style and import layers
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/lint-imports

types: .venv/.made ## check types
	@$(BIN)/mypy

fmt: .venv/.made ## format the code
	@$(BIN)/ruff check --fix --exit-zero
	@$(BIN)/ruff format

docs-check: .venv/.made ## check the docs: links, and that what they show loads
	@$(BIN)/python -m pytest -q tests/test_docs.py

fuzz: .venv/.made ## feed every parser random input, other each time (EXAMPLES=2000)
	@NSVISOR_FUZZ_EXAMPLES=$(or $(EXAMPLES),2000) $(BIN)/python -m pytest -q tests/fuzz tests/spec/test_fuzz.py

.venv-fuzz/.made: pyproject.toml
	@PYTHON='$(PYTHON)' .ci/make-venv .venv-fuzz fuzz

api-fuzz: .venv-fuzz/.made ## schemathesis against the API of a real daemon (ARGS="--max-examples 500")
	@.venv-fuzz/bin/python -m tests.fuzz.api $(ARGS)

bench: .venv/.made ## measure against peers (ten minutes; ARGS=--quick: two; see bench/README.md)
	@$(BIN)/python bench/run.py $(ARGS)

clean: ## remove what make made
	rm -rf .venv .venv-fuzz .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .schemathesis schemathesis-report bench/build bench/results build dist
	find supervisor tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
