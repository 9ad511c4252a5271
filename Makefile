# Every target makes what it needs: a virtual environment in .venv, from pyproject.toml and the versions of
# constraints.txt; tests need more than the demo.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEV := $(VENV)/.ready-dev
WEB := $(VENV)/.ready-web
PINNED := --constraint constraints.txt --build-constraint constraints.txt
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: demo web screenshots test test-slow test-newest test-oldest constraints lint types bench picture docs clean
.DEFAULT_GOAL := demo

# pip with the environment of folder $(1); what a package's own setup warns of is not ours to tell.
pip = PYTHONWARNINGS=ignore $(1)/bin/python -m pip install --quiet

# An environment in folder $(1), with pip at the version that options $(2) say.
define environment
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ibisagent needs Python 3.11 or newer, got " + sys.version.split()[0] + "; name one: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(1)
	$(call pip,$(1)) $(2) --upgrade pip
endef

# All that tests need. sam2 goes without its dependencies: they would bring torchvision and CUDA, which the project does
# without.
define with_dev
	$(call pip,$(1)) $(2) --editable '.[dev]'
	SAM2_BUILD_CUDA=0 $(call pip,$(1)) --no-deps --no-build-isolation --require-hashes -r .ci/sam2.txt
endef

define fast_tests
	$(1)/bin/python -m pytest -n 2 -m 'not slow'
endef

$(READY): pyproject.toml constraints.txt
	$(call environment,$(VENV),--constraint constraints.txt)
	$(call pip,$(VENV)) $(PINNED) --editable '.[models]'
	@touch $@

$(DEV): $(READY) .ci/sam2.txt
	$(call with_dev,$(VENV),$(PINNED))
	@touch $@

$(WEB): $(READY)
	$(call pip,$(VENV)) $(PINNED) --editable '.[models,ui]'
	@touch $@

demo: $(READY)
	$(BIN)/python -m ibisagent.ui.cli.demo

web: $(WEB)
	$(BIN)/ibisagent web

test: $(DEV)
	$(call fast_tests,$(VENV))

test-slow: $(DEV)
	$(BIN)/python -m pytest -n 2 -m slow

# The newest versions that pyproject.toml admits, whatever constraints.txt says.
test-newest:
	rm -rf .venv-newest
	$(call environment,.venv-newest,)
	$(call with_dev,.venv-newest,)
	$(call fast_tests,.venv-newest)

# Our direct dependencies at the lower bounds of pyproject.toml.
test-oldest:
	rm -rf .venv-oldest
	$(call environment,.venv-oldest,)
	.venv-oldest/bin/python .ci/oldest.py >.venv-oldest/constraints.txt
	$(call with_dev,.venv-oldest,--constraint .venv-oldest/constraints.txt)
	$(call fast_tests,.venv-oldest)

# Resolve anew, and write the versions down if all tests pass with them. Run it with the oldest Python that we support.
constraints:
	rm -rf .venv-constraints
	$(call environment,.venv-constraints,)
	$(call with_dev,.venv-constraints,)
	$(call fast_tests,.venv-constraints)
	.venv-constraints/bin/python -m pytest -n 2 -m slow
	.venv-constraints/bin/python .ci/freeze.py >.venv-constraints/constraints.txt
	mv .venv-constraints/constraints.txt constraints.txt

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV)
	$(BIN)/mypy

bench: $(DEV)
	$(BIN)/python -m ibisagent.evals.benchmarks.loop_cost --sam --policy
	$(BIN)/python -m ibisagent.training.grpo.benchmark

# Pictures of the page's main states, in runs/screenshots: look at them after a change to it. Needs Chromium.
screenshots: $(DEV)
	PYTHONPATH=tests $(BIN)/python -m support.screenshots runs/screenshots

# The README's contact sheet.
picture: $(READY)
	$(BIN)/python -m ibisagent.ui.example_image

# The site, in site/: offline, every warning is an error.
docs: $(DEV)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

clean:
	rm -rf .venv .venv-* build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis runs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
