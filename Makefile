# Every target makes the environment it needs: `make demo` and `make test` work on a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RUNTIME_VENV := .venv/runtime

.PHONY: setup check test demo clean lock format runtime fuzz twins mutants-hunt

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Ostraka needs Python 3.11 or newer; run: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture
	$(BIN)/deptry .
	$(BIN)/python -m pytest -q -p no:randomly tests/test_tidy.py

test: $(READY)
	$(BIN)/python -m pytest

demo: $(READY)
	$(BIN)/ostraka demo

# Long runs of the fuzz targets; `make test` runs each of them briefly.
fuzz: $(READY)
	$(BIN)/python -m fuzz --inputs 1000000 --seconds 60

# Every scenario of twins with four validators and three views (six minutes of a core); `make test` runs a sample.
# Others, and how to stop and go on: python -m tests.consensus.twins --help
twins: $(READY)
	$(BIN)/python -m tests.consensus.twins --n 4 --rounds 3

# Ten seeds against every planted bug: which checkers see it, and how often (twelve minutes of a core); `make test`
# replays the recorded witnesses. Others, and how to stop and go on: python -m tests.hunt --help
mutants-hunt: $(READY)
	$(BIN)/python -m tests.hunt

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Rebuild the image that contracts run on. Another image is another protocol version: all validators change together.
# Its tool has an environment of its own, inside of the other one, because nobody else needs it.
runtime: $(READY)
	$(PYTHON) -m venv $(RUNTIME_VENV)
	$(RUNTIME_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r contracts/runtime/requirements.txt
	$(RUNTIME_VENV)/bin/python -m contracts.runtime.build

# Renew the lock after a change of dependencies (needs uv).
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --group dev pyproject.toml \
	  -o requirements.lock --no-header --no-emit-find-links --no-emit-index-url --quiet

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
