# Everything runs in .venv, which the first target creates. Nothing outside the checkout is changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?= -n auto --dist worksteal

.PHONY: compiled demo test year bench docs reference pictures lint types check format clean

$(VENV)/.pip:
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@touch $@

$(VENV)/.core: pyproject.toml $(VENV)/.pip
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

# This includes what .core installs, so that no package is installed twice.
$(VENV)/.dev: pyproject.toml $(VENV)/.pip
	$(BIN)/python -m pip install --quiet --editable ".[stac,vector,vector-parquet]" --group test --group lint
	@touch $(VENV)/.core $@

compiled: $(VENV)/.core  # Like an installed package, even if Python writes no bytecode.
	@$(BIN)/python -m compileall -q sedas_sync

demo: compiled  ## Plan, apply and apply again on the sandbox.
	@$(BIN)/python examples/demo.py

# The tests in this package's source distribution contain items of public STAC catalogues.
$(VENV)/.stac-items: $(VENV)/.dev
	$(BIN)/python -m pip download --quiet --no-deps --no-binary stac-geoparquet --dest $(VENV)/stac-items stac-geoparquet==0.8.3
	@touch $@

# This package contains the script of axe-core, which finds problems of access in a page. Its own code is not used.
$(VENV)/.axe: $(VENV)/.dev
	$(BIN)/python -m pip download --quiet --no-deps --dest $(VENV)/axe axe-playwright-python==0.1.8
	@touch $@

# stac-check asks for an older stac-valid than the tests use, and works with this one.
$(VENV)/.geo: pyproject.toml $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --group geo
	$(BIN)/python -m pip install --quiet --no-deps stac-check==1.14.0
	@touch $@

test: $(VENV)/.dev $(VENV)/.stac-items $(VENV)/.axe $(VENV)/.geo compiled  ## Run all tests.
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest $(PYTEST_ARGS)

year: $(VENV)/.dev compiled  ## Simulate a year of a mirror; YEAR_SEED=7 lets other things happen.
	YEAR_DAYS=365 $(BIN)/python -m pytest tests/operations/test_year.py -q -s

$(VENV)/.bench: $(VENV)/.core
	$(BIN)/python -m pip install --quiet --group bench
	@touch $@

bench: $(VENV)/.bench compiled  ## Measure against curl, aria2, rclone, rsync and the original client.
	@$(BIN)/python benchmarks/run.py

$(VENV)/.docs: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --group docs
	@touch $@

reference: $(VENV)/.dev  ## Regenerate the parts of the reference that come from code.
	@$(BIN)/python tools/reference.py

pictures: $(VENV)/.dev  ## Draw the terminal pictures of the documentation again, from real runs.
	@$(BIN)/python tools/pictures.py

docs: $(VENV)/.docs  ## Build the site in site/; fails on a broken link. A test finds pages that are out of date.
	@$(BIN)/zensical build --clean --strict
	@$(BIN)/python tools/site.py
	@touch $(VENV)/.site

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(VENV)/.dev
	$(BIN)/mypy

check: lint types test  ## Everything that must pass before a commit.

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) demo .mypy_cache .pytest_cache .ruff_cache .hypothesis
