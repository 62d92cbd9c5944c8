# The few commands people use. `make` lists them.
.DEFAULT_GOAL := help
.PHONY: help setup test quick lint docs demo images build clean
PYTHON ?= python3
BIN := .venv/bin

help: ## list these commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 10

setup: $(BIN)/.ready ## make .venv with everything for development

$(BIN)/.ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev,docs]'
	touch $@

test: ## lint, types, all tests
	bash scripts/test.sh

quick: setup ## all tests but the slow ones
	$(BIN)/python -m pytest -m 'not slow and not exhaustive' --numprocesses 2

lint: setup ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: setup ## build the documents into site/
	$(BIN)/mkdocs build --strict

demo: ## evaluate the bundled networks and draw what they look at
	bash scripts/demo.sh

images: setup ## make the pictures of the documents again
	$(BIN)/python scripts/docs_images.py

build: setup ## build and check the package
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*

clean: ## remove what was built
	rm -rf build dist site *.egg-info
