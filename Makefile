# Each command does its own set-up. `make install` alone prepares for `.venv/bin/snakemake …`; with
# EXTRAS=simulate,remote,slurm (or htcondor, generic) for a batch system as well.
EXTRAS ?= simulate,remote
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
# Tests run side by side: one more than the cores of a small machine, since batch systems' tests wait.
LANES ?= 3
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint requirements.lock

.PHONY: install run test lint clean

install: $(VENV)/.installed-run

run: $(VENV)/.installed-run
	$(BIN)/snakemake

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest --numprocesses $(LANES) --no-loadscope-reorder --durations 30

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check Snakefile rules workflow
	$(BIN)/snakemake --lint

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "rootloom needs Python 3.11 or newer: apt-get install python3 python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-run: requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing rootloom into $(VENV) (once; one to three minutes)"
	$(PIP_INSTALL) --editable '.[$(EXTRAS)]'
	touch $@

$(VENV)/.installed-test: requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing rootloom with its tests' tools into $(VENV) (once; one to three minutes)"
	$(PIP_INSTALL) --editable '.[$(EXTRAS),slurm,htcondor,generic,tensorboard,test,dev]'
	touch $@ $(VENV)/.installed-run

clean:
	rm -rf $(VENV) .snakemake
