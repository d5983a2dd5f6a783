.DEFAULT_GOAL := help
.PHONY: help serve test faults-short faults fuzz load lint format lock bench bench-engine clean

PYTHON_IN_VENV := .venv/bin/python

# Much of the time of the tests is waiting for processes and peers. Files are handed out whole, some of them
# together (tests/together.py), because they share servers, and in their order, because the slow ones come first.
SIDE_BY_SIDE := -n 4 --dist loadfile --no-loadscope-reorder

# Each recipe that checks something starts with this: nothing of the caller's settings leaks in, no
# terminal is read, and all that is written goes to a folder that is removed at the end.
define ISOLATE
set -eu; exec </dev/null; \
for name in $$(env | sed -n 's/^\(PIXERVE_[A-Za-z0-9_]*\)=.*/\1/p'); do unset "$$name"; done; \
TMPDIR=$$(mktemp -d); export TMPDIR; \
trap 'rm -rf "$$TMPDIR"' EXIT; trap 'exit 130' INT; trap 'exit 143' TERM; \
export PIXERVE_DATA_DIR="$$TMPDIR/data" PIXERVE_SERVE_DIR="$$TMPDIR/serve"; \
mkdir "$$TMPDIR/coverage"; export COVERAGE_FILE="$$TMPDIR/coverage/data"; \
step() { printf '== %s\n' "$$*"; $(PYTHON_IN_VENV) "$$@"; }
endef

define LINT
step -m ruff check .; \
step -m ruff format --check .; \
step -m mypy
endef

# Another seed each time, for other moments; one that found something is given.
FAULTS = export FAULTS_SEED="$${FAULTS_SEED:-$$(date +%s)}"

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: ## Install what is missing, then run everything on this machine (Ctrl-C stops it)
	@deploy/bootstrap.sh serve
	@exec $(PYTHON_IN_VENV) manage.py serve

test: ## Install what is missing, then check style, types, migrations, settings and behaviour
	@deploy/bootstrap.sh test
	@$(ISOLATE); $(LINT); \
	step manage.py makemigrations --check --dry-run; \
	( export PIXERVE_PUBLIC_URL=https://pixerve.example; \
	    step manage.py check --deploy --fail-level WARNING ); \
	step -m coverage run -m pytest -m "not faults" $(SIDE_BY_SIDE); \
	step -m coverage run -m pytest -p tests.on_postgres $(SIDE_BY_SIDE); \
	step -m coverage combine --quiet; \
	step -m coverage report

faults-short: ## Kill and stop each process, database, storage and clock in the middle of work: every job ends once and right
	@deploy/bootstrap.sh test
	@$(ISOLATE); $(FAULTS); step -m pytest -m faults $(SIDE_BY_SIDE)

faults: ## The same, each process at each stage again and again, for hours (FAULTS_RUNS=20 FAULTS_SEED=)
	@deploy/bootstrap.sh test
	@$(ISOLATE); $(FAULTS); export FAULTS_RUNS="$(or $(FAULTS_RUNS),20)"; \
	step -m pytest tests/faults $(SIDE_BY_SIDE)

fuzz: ## Give broken input to everything that reads strangers' bytes, for ten minutes (FUZZ_SECONDS=)
	@deploy/bootstrap.sh test
	@$(ISOLATE); export FUZZ_SECONDS="$(or $(FUZZ_SECONDS),600)" FUZZ_SEED="$(or $(FUZZ_SEED),new)"; \
	step -m pytest -p no:cacheprovider tests/fuzz

load: ## Load whole servers with many uploads: nothing is lost, and limits are kept (LOAD_UPLOADS=10000)
	@deploy/bootstrap.sh test
	@$(ISOLATE); step -m benchmarks.load --uploads "$(or $(LOAD_UPLOADS),10000)" $(OPTIONS)

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

bench: ## Measure what a job costs beside the conversion
	@deploy/bootstrap.sh test
	@$(ISOLATE); step -m benchmarks

bench-engine: ## Measure the conversion beside sharp and others, which it fetches (OPTIONS=…)
	@deploy/bootstrap.sh test
	@$(ISOLATE); step -m benchmarks.engine $(OPTIONS)

clean: ## Remove .venv and all caches; never data/ or serve/
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov
	find . \( -path ./data -o -path ./serve -o -path ./.git \) -prune \
	    -o -name __pycache__ -type d -prune -exec rm -rf {} +
