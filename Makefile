# make run   everything from nothing to the report of the default config
# make test  everything from nothing to the tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORES ?= all
CONFIG ?= config/config.yaml
SOURCES := $(wildcard csrc/*) $(wildcard csrc/*/*) setup.py pyproject.toml

.PHONY: run test install lint format clean
.DELETE_ON_ERROR:

run: install
	$(BIN)/snakemake --cores $(CORES) --configfile $(CONFIG)

test: install
	$(BIN)/python -m pytest

install: $(VENV)/.built

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "naswot needs Python 3.11 or newer; found `$(PYTHON) --version`. Use make PYTHON=/path/to/python3.11"; exit 1; }
	@command -v g++ > /dev/null || { echo "naswot compiles C++: install g++ (package gcc or build-essential)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.requirements: requirements.txt | $(VENV)/.python
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	touch $@

$(VENV)/.built: $(VENV)/.requirements $(SOURCES)
	$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps --editable .
	touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check . --exclude "*.md"
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow/rules

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format . --exclude "*.md"
	$(BIN)/snakefmt Snakefile workflow/rules

clean:
	rm -rf build *.egg-info naswot_ext/*.so naswot_ext/_build.json $(VENV)/.built
