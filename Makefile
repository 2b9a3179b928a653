# Thin: each target is one command. The environment .venv is made on first use and again when pyproject.toml changes.
.DEFAULT_GOAL := help
BIN := .venv/bin

.PHONY: help demo test lint types fmt docs-check bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv/.made: pyproject.toml
	@PYTHON='$(PYTHON)' .ci/make-venv

demo: .venv/.made ## run conf/demo.toml for about ten seconds and show what became of it
	@conf/demo.sh $(BIN)/nsvisor

test: .venv/.made ## run the test suite
	@.ci/packages
	@$(BIN)/python -m pytest

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

bench: .venv/.made ## measure against peers (about three minutes; see bench/README.md)
	@$(BIN)/python bench/run.py

clean: ## remove what make made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis bench/build bench/results build dist
	find supervisor tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
