# Every target prepares what it needs: Python >= 3.11 with pip, and make, are enough.
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
EXTRAS := server,heic,loadtest,dev
PIP_QUIET := --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo serve test lint format bench bench-peers loadtest docs constraints clean python

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile
	@echo "  Pass more with ARGS, as in: make test ARGS='-k merge'"

setup: .venv/.ready ## create .venv with the exact versions of constraints.txt

demo: .venv/.ready ## show a walk through the whole system, start to end
	@$(BIN)/gridwalk demo $(ARGS)

serve: .venv/.ready ## start the server
	@$(BIN)/gridwalk serve $(ARGS)

test: .venv/.ready ## run the tests
	@$(BIN)/python -m pytest -n auto $(ARGS)

lint: .venv/.ready ## check style, types and import directions
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: .venv/.ready ## put the code in order
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

bench: .venv/.ready ## measure speed; ARGS names what: "push pull", --list, --quick
	@$(BIN)/python -m tests.bench $(ARGS)

bench-peers: .venv/.ready ## measure beside other programs, which go to build/peers (npm, PyPI)
	@$(BIN)/python -m tests.bench.peers $(ARGS)

loadtest: .venv/.ready ## let hundreds of inspectors work on a server; ARGS="--devices 500 --seconds 60"
	@$(BIN)/python -m loadtests $(ARGS)

docs: .venv/.ready ## rewrite the pages of docs/ that follow from the code
	@$(BIN)/python -m tests.docs_pages

constraints: python ## resolve all dependencies afresh and rewrite constraints.txt
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && set -e; \
	echo "Resolving the newest versions in a scratch environment ..."; \
	$(call make_venv,"$$scratch/venv"); \
	"$$scratch/venv/bin/python" -m pip install $(PIP_QUIET) -e '.[$(EXTRAS)]'; \
	"$$scratch/venv/bin/python" -m pip freeze --exclude-editable > "$$scratch/frozen"; \
	if grep -vE '^[A-Za-z0-9._-]+==[A-Za-z0-9._!-]+$$' "$$scratch/frozen"; then \
		echo "The lines above are not plain name==version; constraints.txt is unchanged." >&2; exit 1; \
	fi; \
	{ echo "# Exact versions of every dependency, transitive ones too."; \
	  echo "# Regenerate with: make constraints (resolves afresh and freezes a scratch environment)."; \
	  LC_ALL=C sort -f "$$scratch/frozen"; } > "$$scratch/constraints.txt"; \
	cat "$$scratch/constraints.txt" > constraints.txt; \
	echo "Wrote constraints.txt: $$(grep -c == constraints.txt) packages."

clean: ## remove the environment, caches and build products (data stays)
	@rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.ready: pyproject.toml constraints.txt | python
	@echo "Setting up .venv (first time: a minute or two) ..."
	@$(call make_venv,.venv)
	@$(BIN)/python -m pip install $(PIP_QUIET) -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

python:
	@command -v $(PYTHON) >/dev/null || { \
		echo "Gridwalk needs Python 3.11 or newer, and '$(PYTHON)' is not on the PATH. Try: make PYTHON=python3.11" >&2; \
		exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Gridwalk needs Python 3.11 or newer, but '$(PYTHON)' is $$($(PYTHON) --version 2>&1)." \
			"Try: make PYTHON=python3.11" >&2; \
		exit 1; }

# Debian's Python comes without ensurepip: there the system's pip puts pip into the environment.
define make_venv
if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then $(PYTHON) -m venv $(1); \
else $(PYTHON) -m venv --without-pip $(1) && \
	$(PYTHON) -m pip --python $(1)/bin/python install $(PIP_QUIET) pip; fi
endef
