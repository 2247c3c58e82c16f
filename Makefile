# make demo        set up, run a grid of experiments on this machine, print its table, draw its curves
# make test        set up, run the test suite on all cores, list its slowest tests
# make test-slurm  install SLURM (Debian, Ubuntu; as root) and run the tests that need a real one
# make numbers     run twelve recorded configs, compare every number with the recorded one
# make faults      kill runs at a hundred random instants, resume them, compare every number
# make lint        style, types, who may import whom, generated files up to date
# make docs        write docs/options.md and the JSON schemas from Config
# make clean       delete .venv and caches; runs/ and data/ stay

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := digits-example
.DEFAULT_GOAL := help
.PHONY: help demo test test-slurm numbers faults lint docs clean

help:
	@sed -n 's/^# make/make/p' Makefile

demo: $(VENV)/core
	$(BIN)/python submit_multiple.py jobs/$(DEMO).yaml --local 2 -y $(if $(wildcard runs/*-$(DEMO)),--overwrite)
	$(BIN)/python report.py "$$(ls -dt runs/*-$(DEMO) | head -n 1)"

test: $(VENV)/dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal --durations 15

SLURM := slurmctld slurmd slurm-client munge slurmdbd mariadb-server-core mariadb-client-core
test-slurm: $(VENV)/dev
	@if ! (PATH="$$PATH:/usr/sbin"; for p in slurmctld slurmd sbatch munged slurmdbd mariadbd; do command -v $$p >/dev/null || exit 1; done); then \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; \
	  then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $(SLURM); \
	  else echo "SLURM is not installed; as root: apt-get install $(SLURM)"; exit 1; fi; fi
	$(BIN)/python -m pytest -m slurm tests/slurm

numbers: $(VENV)/dev
	$(BIN)/python tests/same_numbers/compare.py

faults: $(VENV)/dev
	$(BIN)/python tests/faults/campaign.py

lint: $(VENV)/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

docs: $(VENV)/dev
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One pip command for all packages: torch, torchvision and timm must be resolved together.
$(VENV)/core: requirements.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else \
	"Python 3.11, 3.12 or 3.13 is needed and this is %d.%d; select another one: make PYTHON=python3.12 ..." % v)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/dev: requirements-dev.txt requirements-extras.txt $(VENV)/core
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@
