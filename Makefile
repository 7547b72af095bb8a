# Everything runs in .venv, which the first target makes; nothing outside the checkout is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?= -n auto

.PHONY: compiled demo test bench docs reference pictures lint types check format clean

$(VENV)/.core: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	$(BIN)/python -m pip install --quiet --editable ".[stac,vector]" --group test --group lint
	@touch $@

compiled: $(VENV)/.core  # As an installed package is, also where Python is told to write no bytecode.
	@$(BIN)/python -m compileall -q sedas_sync

demo: compiled  ## The whole of it on the embedded archive: plan, apply, and an apply that does nothing.
	@$(BIN)/python examples/demo.py

# Items of public STAC catalogues, which that package's source distribution has among its tests.
$(VENV)/.stac-items: $(VENV)/.dev
	$(BIN)/python -m pip download --quiet --no-deps --no-binary stac-geoparquet --dest $(VENV)/stac-items stac-geoparquet==0.8.3
	@touch $@

test: $(VENV)/.dev $(VENV)/.stac-items compiled  ## Every test.
	$(BIN)/python -m pytest $(PYTEST_ARGS)

$(VENV)/.bench: $(VENV)/.core
	$(BIN)/python -m pip install --quiet --group bench
	@touch $@

bench: $(VENV)/.bench compiled  ## Measure against curl, aria2, rclone, rsync and the original client.
	@$(BIN)/python benchmarks/run.py

$(VENV)/.docs: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --group docs
	@touch $@

reference: $(VENV)/.dev  ## Write anew what the reference takes from code.
	@$(BIN)/python tools/reference.py

pictures: $(VENV)/.dev  ## Draw the terminal's pictures of the documentation anew, from real runs.
	@$(BIN)/python tools/pictures.py

docs: $(VENV)/.docs  ## Build the site in site/; a broken link or a page that is out of date fails.
	@$(BIN)/python tools/reference.py --check
	@$(BIN)/zensical build --clean --strict

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(VENV)/.dev
	$(BIN)/mypy

check: lint types test  ## What has to pass before a commit.

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) demo .mypy_cache .pytest_cache .ruff_cache .hypothesis
