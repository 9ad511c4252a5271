# Every target makes what it needs: a virtual environment in .venv, from pyproject.toml; tests need more than the demo.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEV := $(VENV)/.ready-dev
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: demo test test-slow lint types bench picture clean
.DEFAULT_GOAL := demo

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ibisagent needs Python 3.11 or newer, got " + sys.version.split()[0] + "; name one: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --editable '.[models]'
	@touch $@

# sam2 goes without its dependencies: they would bring torchvision and CUDA, which the project does without.
$(DEV): $(READY) .ci/sam2.txt
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --editable '.[dev]'
	SAM2_BUILD_CUDA=0 $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --require-hashes -r .ci/sam2.txt
	@touch $@

demo: $(READY)
	$(BIN)/python -m ibisagent.ui.demo

test: $(DEV)
	$(BIN)/python -m pytest -n 2 -m 'not slow'

test-slow: $(DEV)
	$(BIN)/python -m pytest -m slow

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV)
	$(BIN)/mypy

bench: $(DEV)
	$(BIN)/python -m ibisagent.evals.bench --sam --policy

picture: $(READY)
	$(BIN)/python -m ibisagent.ui.specimen

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis runs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
