# install     make .venv with the project at the versions of constraints.txt
# quickstart  train, score and table a small real study; prints the table and the page's path
# test        lint, types, the whole test-suite, and published tables rebuilt: what CI runs
# check       lint, types and import order only
# bench       time the hot paths against their peers; writes results/benchmarks/

PYTHON ?= python3
VENV ?= .venv
# More arguments for pip, for example to take torch from another index.
PIP_ARGS ?=

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Spinning threads slow down machines whose cores are all in use.
export OMP_WAIT_POLICY ?= PASSIVE
export TOKENIZERS_PARALLELISM ?= false

.PHONY: install lint types check test quickstart bench

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "harness needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@# Debian's python3 makes whole environments only with python3-venv; with python3-pip there is a way round.
	@echo "making $(VENV): about two minutes"
	@$(PYTHON) -m venv $(VENV) \
	  || { $(PYTHON) -m venv --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; } \
	  || { echo "making $(VENV) failed; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet $(PIP_ARGS) -c constraints.txt -e '.[dev]'
	@touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: install
	$(BIN)/mypy

check: lint types

test: check
	$(BIN)/python -m tests.fetch
	$(BIN)/pytest -n 2 --dist loadscope
	$(BIN)/harness verify

quickstart: install
	$(BIN)/harness run ablations/quickstart.yaml

bench: install
	$(BIN)/python -m benchmarks.encode
	$(BIN)/python -m benchmarks.train
	$(BIN)/python -m benchmarks.evaluate
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.tables
	$(BIN)/python -m benchmarks.queue
	$(BIN)/python -m benchmarks.plan
	$(BIN)/python -m benchmarks.pairs
	$(BIN)/python -m benchmarks.search
