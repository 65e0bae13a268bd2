# `make` shows the targets. Each of them works as the first command in a fresh clone:
# it makes .venv and installs what it needs, by hashed pins, before it starts.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.run.stamp
DEV := $(VENV)/.dev.stamp
ANY := $(VENV)/any-llm
FRAMEWORKS := $(VENV)/frameworks
PIP := $(BIN)/python -m pip --disable-pip-version-check
GENERATED := docs/architecture.md docs/configuration.md docs/errors.md docs/cli.md
TYPED := tests docs scripts $(wildcard bench)

.DEFAULT_GOAL := help
.PHONY: help setup run test extras e2e again check bench docs pins clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(RUN) ## make .venv with .venv/bin/promptd

run: $(RUN) ## set up and serve on 127.0.0.1:11337
	$(BIN)/promptd serve

test: $(DEV) ## all tests but slow ones and e2e, on two workers
	$(BIN)/python -m pytest -n 2 --ignore tests/e2e -m "not e2e and not slow"

extras: $(ANY)/.stamp ## tests of the extra any-llm, in an environment of its own
	$(ANY)/bin/python -m pytest tests/engines/test_any_llm.py -k "not without_the_library"

e2e: $(DEV) ## slow tests; real processes, real clients, kill -9
	$(BIN)/python -m pytest -n 2 -m "slow and not e2e" tests
	$(BIN)/python -m pytest -m e2e tests

again: $(DEV) ## once more what failed last, one test at a time
	$(BIN)/python -m pytest --last-failed --last-failed-no-failures none tests

check: $(DEV) ## format, lint, types, imports, generated docs, known vulnerabilities
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --explicit-package-bases $(TYPED)
	$(BIN)/lint-imports --no-cache
	$(BIN)/cog -I docs --check $(GENERATED)
	$(BIN)/python scripts/conformance.py --check
	$(BIN)/python scripts/audit.py requirements/run.txt

bench: $(DEV) ## measure; never part of the tests
	$(BIN)/python -m bench.queue
	$(BIN)/python -m bench.streams
	$(BIN)/python -m bench.onebackend

docs: $(DEV) ## write the generated parts of the docs anew
	$(BIN)/cog -I docs -r $(GENERATED)
	$(BIN)/python scripts/conformance.py

pins: ## resolve requirements/*.txt anew (needs pip-compile on the PATH)
	CUSTOM_COMPILE_COMMAND="make pins" pip-compile -q --upgrade $(COMPILE) -o requirements/run.txt pyproject.toml
	CUSTOM_COMPILE_COMMAND="make pins" pip-compile -q --upgrade $(COMPILE) --extra dev -c requirements/run.txt -o requirements/dev.txt pyproject.toml
	CUSTOM_COMPILE_COMMAND="make pins" pip-compile -q --upgrade $(filter-out --all-build-deps,$(COMPILE)) --extra any-llm -c requirements/run.txt \
		-o requirements/any-llm.txt pyproject.toml requirements/any-llm.in
	CUSTOM_COMPILE_COMMAND="make pins" pip-compile -q --upgrade $(filter-out --all-build-deps,$(COMPILE)) -o requirements/frameworks.txt requirements/frameworks.in

clean: ## remove .venv and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

COMPILE := --generate-hashes --allow-unsafe --strip-extras --all-build-deps \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("promptd needs Python 3.11 or newer; try make PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

# dependencies come by hash; promptd itself is linked, so that an edit needs no new set-up
$(RUN): requirements/run.txt pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --require-hashes -r requirements/run.txt
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(DEV): requirements/dev.txt $(RUN)
	$(PIP) install --quiet --require-hashes -r requirements/dev.txt
	@touch $@

$(ANY)/.stamp: requirements/any-llm.txt pyproject.toml | $(BIN)/python
	$(PYTHON) -m venv $(ANY)
	$(ANY)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements/any-llm.txt
	$(ANY)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# clients that tests/contract/gateway/test_frameworks.py runs in a process of their own; promptd itself is not in there
$(FRAMEWORKS)/.stamp: requirements/frameworks.txt | $(BIN)/python
	$(PYTHON) -m venv $(FRAMEWORKS)
	$(FRAMEWORKS)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements/frameworks.txt
	@touch $@
