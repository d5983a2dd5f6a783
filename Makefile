.DEFAULT_GOAL := help
.PHONY: help serve test lint format lock bench clean

PYTHON_IN_VENV := .venv/bin/python

# Half of the time of the tests is waiting for processes. Files are handed out whole, because the
# tests of one share its servers, and in their order, because the slow ones come first.
SIDE_BY_SIDE := -n 2 --dist loadfile --no-loadscope-reorder

# Each recipe that checks something starts with this: nothing of the caller's settings leaks in, no
# terminal is read, and all that is written goes to a folder that is removed at the end.
define ISOLATE
set -eu; exec </dev/null; \
for name in $$(env | sed -n 's/^\(PIXERVE_[A-Za-z0-9_]*\)=.*/\1/p'); do unset "$$name"; done; \
TMPDIR=$$(mktemp -d); export TMPDIR; \
trap 'rm -rf "$$TMPDIR"' EXIT; trap 'exit 130' INT; trap 'exit 143' TERM; \
export PIXERVE_DATA_DIR="$$TMPDIR/data" PIXERVE_SERVE_DIR="$$TMPDIR/serve"; \
export COVERAGE_FILE="$$TMPDIR/coverage"; \
step() { printf '== %s\n' "$$*"; $(PYTHON_IN_VENV) "$$@"; }
endef

define LINT
step -m ruff check .; \
step -m ruff format --check .; \
step -m mypy
endef

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: ## Install what is missing, then run everything on this machine (Ctrl-C stops it)
	@deploy/bootstrap.sh serve
	@exec $(PYTHON_IN_VENV) manage.py serve

test: ## Install what is missing, then check style, types, migrations, settings and run every test
	@deploy/bootstrap.sh test
	@$(ISOLATE); $(LINT); \
	step manage.py makemigrations --check --dry-run; \
	( export PIXERVE_PUBLIC_URL=https://pixerve.example; \
	    step manage.py check --deploy --fail-level WARNING ); \
	step -m coverage run -m pytest $(SIDE_BY_SIDE); \
	step -m coverage combine --quiet; \
	step -m coverage report

lint: ## Check style and types only
	@deploy/bootstrap.sh test
	@$(ISOLATE); $(LINT)

format: ## Rewrite the code in the project's style
	@deploy/bootstrap.sh test
	@$(PYTHON_IN_VENV) -m ruff check --fix .
	@$(PYTHON_IN_VENV) -m ruff format .

lock: ## Write the two lock files anew from pyproject.toml (UPGRADE=1: to the newest versions)
	@deploy/bootstrap.sh test
	@for lock in "-o requirements.lock" \
	    "--group dev -c requirements.lock -o requirements-dev.lock"; do \
	    $(PYTHON_IN_VENV) -m uv pip compile --quiet --universal --generate-hashes \
	        --python-version 3.11 $(if $(UPGRADE),--upgrade) pyproject.toml $$lock || exit; \
	done

bench: ## Measure each figure that the documentation quotes
	@deploy/bootstrap.sh test
	@$(ISOLATE); step -m benchmarks

clean: ## Remove .venv and all caches; never data/ or serve/
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov
	find . \( -path ./data -o -path ./serve -o -path ./.git \) -prune \
	    -o -name __pycache__ -type d -prune -exec rm -rf {} +
