# livecam. `make` lists the targets.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all lint bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

install: $(INSTALLED) ## set up .venv with livecam and what its tests need (about 6 GB: torch)

demo: $(INSTALLED) ## explain a generated scene and write demo.mp4
	$(BIN)/livecam annotate 'demo:?size=1280x720&fps=30&seconds=10&seed=12' -o demo.mp4 --overwrite
	@echo "demo.mp4 is ready: open it in any player"

test: $(INSTALLED) ## run the tests
	$(BIN)/pytest -q

test-all: $(INSTALLED) ## run all tests, also the slow ones and those against pytorch-grad-cam
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev,bench]'
	$(BIN)/pytest -q -m ''

lint: $(INSTALLED) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED) ## measure what the README claims; JSON into results/
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	mkdir -p results
	$(BIN)/python -m benchmarks.pointing --json results/pointing.json
	$(BIN)/python -m benchmarks.methods --json results/methods.json
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m benchmarks.faithfulness --json results/faithfulness.json
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m benchmarks.classes --json results/classes.json
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m benchmarks.every --json results/every.json
	$(BIN)/python -m benchmarks.pipeline --json results/pipeline.json

clean: ## remove .venv and what was built or measured
	rm -rf .venv build results *.egg-info demo.mp4

# Linked to pyproject.toml: a change of the dependencies installs again, anything else starts at once.
$(INSTALLED): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "livecam needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@
