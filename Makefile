# Everything a newcomer needs: `make run` and `make test`. Both set up what they need first.
PYTHON ?= python3
VENV ?= .venv
# Where it serves: only what is said here goes before the environment and a .env file.
PORT ?=
GATEWAY_PORT ?=
HOST ?=
WORKERS ?=
DATA_DIR ?=
# One more than the cores that the suite is measured on: some tests wait for processes and for time, and each process more
# collects all of them anew.
JOBS ?= 3
ARGS ?=

# Container images often set this for their build; every worker and command would then compile the whole of marketd anew.
unexport PYTHONDONTWRITEBYTECODE

BIN := $(VENV)/bin
READY := $(VENV)/.ready
THIRD_PARTY := .third_party/.complete
FOREIGN := .tools/.complete

.DEFAULT_GOAL := help
.PHONY: help setup run test check unit stubs docs web lint format bench faults mutants clean

help: ## List the targets.
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(READY) ## Make the virtual environment with everything in it.

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("marketd needs Python 3.11 or newer; say make PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(READY): pyproject.toml clients/python/pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing marketd, its client and its tools (a minute with a cold cache)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --prefer-binary --constraint constraints.txt --editable clients/python --editable '.[dev]'
	@touch $@

$(THIRD_PARTY): tools/third_party.py $(READY)
	@$(BIN)/python tools/third_party.py

$(FOREIGN): tools/foreign_clients.py tests/node/package-lock.json clients/web/hello/package-lock.json $(READY)
	@$(BIN)/python tools/foreign_clients.py

run: $(READY) ## Serve the marketplace with demo data and live couriers (HOST=…, PORT=…, GATEWAY_PORT=…, WORKERS=…, DATA_DIR=…).
	@$(if $(DATA_DIR),MARKETD_DATA_DIR=$(DATA_DIR)) $(BIN)/marketd serve --demo --gateway $(if $(HOST),--host $(HOST)) $(if $(PORT),--port $(PORT)) $(if $(GATEWAY_PORT),--gateway-port $(GATEWAY_PORT)) $(if $(WORKERS),--workers $(WORKERS)) $(ARGS)

test: $(READY) $(THIRD_PARTY) $(FOREIGN) ## Run every check and test.
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadscope $(ARGS)

check: faults ## Run what is too long for `make test` (a quarter of an hour at most).

unit: $(READY) ## Run only what needs no database.
	@$(BIN)/python -m pytest tests/unit $(ARGS)

stubs: $(READY) $(THIRD_PARTY) ## Generate the Python stubs from protos/.
	@$(BIN)/python tools/generate_stubs.py

docs: $(READY) ## Make the pages that come from the code: docs/database.md, docs/rpcs.md, floors in docs/architecture.md.
	@$(BIN)/python tools/generate_docs.py

web: $(READY) $(FOREIGN) ## Build the page of clients/web/hello into its dist/.
	@$(BIN)/python tools/build_web.py

lint: $(READY) $(THIRD_PARTY) ## Check style, types, floors and the contract.
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports && $(BIN)/buf lint && $(BIN)/buf format --diff --exit-code protos && $(BIN)/python tools/check_stable.py

format: $(READY) $(THIRD_PARTY) ## Format Python and protos.
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet . && $(BIN)/buf format --write protos

bench: $(READY) ## Measure against the floors (docs/operations.md); ARGS="reads --quick".
	@$(BIN)/marketd bench $(or $(ARGS),reads cart orders positions work)

# What measures comes last, by itself. 5: no test of that kind was asked for.
faults: $(READY) $(THIRD_PARTY) $(FOREIGN) ## Run the long fault scenarios, and other tests that take long.
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "faults and not alone" $(ARGS) || [ $$? = 5 ]
	@$(BIN)/python -m pytest -n 0 -m "faults and alone" $(ARGS) || [ $$? = 5 ]

mutants: $(READY) $(THIRD_PARTY) ## Plant known faults in a copy, one at a time, and see that tests notice each (ARGS="--sample 20").
	@$(BIN)/python tools/mutants.py $(ARGS)

clean: ## Remove what make made (the data in .marketd stays).
	@rm -rf $(VENV) .third_party .tools clients/web/hello/node_modules clients/web/hello/gen .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
