# Zerotrain: every target does its own set-up and is quick the second time.
#
#   make demo     train a tensor-train network on the simulated chip
#   make test     lint, types, unit tests, co-simulation
#   make cosim-mnist  the paper's network on 64 lanes against the golden model, on MNIST
#   make bench    what a training step costs on the chip, simulated, golden, in PyTorch
#                 -> build/bench.json; LANES="8 16 32 64" SIMULATE=paper: counters of all chips
#   make lint     ruff and mypy only
#   make clean    remove what the targets above made, except the build cache and runs/

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PINS   := .ci/constraints.txt
PIP    := $(BIN)/python -m pip --disable-pip-version-check
# What installing costs, from the table of docs/install.md.
COST   := $(shell sed -n 's/^| all | \([0-9]*\) | \([0-9]*\) |$$/downloads \1 MB, takes \2 MB on disk/p' \
            docs/install.md)
# One test process per processor; `make test PYTEST="-n 0 -k lfsr"` for a closer look.
PYTEST ?= -n auto --dist worksteal

.PHONY: demo test cosim-mnist lint bench clean setup
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	@$(BIN)/zerotrain demo

test: lint
	@$(BIN)/pytest -q $(PYTEST)

cosim-mnist: $(VENV)/.installed-dev
	@$(BIN)/pytest -q -s -m paper_size tests/cosim/test_paper_size.py

lint: $(VENV)/.installed-dev
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet || { echo "Run: $(BIN)/ruff format" >&2; exit 1; }
	@$(BIN)/mypy

bench: $(VENV)/.installed
	@$(BIN)/python -m zerotrain.bench $(if $(LANES),--lanes $(LANES)) \
	  $(if $(SIMULATE),--simulate $(SIMULATE)) $(BENCH)

setup: $(VENV)/.installed-dev

clean:
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find hw sw sim boards tests -name __pycache__ -type d -exec rm -rf {} +

# Bytecode is written when a module is first imported: of all that is installed, little ever is.
# The stamps say which pins are installed. A stamp is written last, so an interrupted set-up repeats.
$(VENV)/.installed: pyproject.toml $(PINS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Zerotrain needs Python 3.11 or newer as '$(PYTHON)'; install it, or name another" \
	    "one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments; on Debian and Ubuntu install" \
	    "python3-venv" >&2; exit 1; }
	@echo "Setting up $(VENV): $(COST), and half a minute besides the download (docs/install.md" \
	  "says what for). 'make demo' then trains for two to three minutes ..."
	@test -x $(BIN)/python || { rm -rf $(VENV) && $(PYTHON) -m venv $(VENV); }
	@$(PIP) install --quiet --no-compile --constraint $(PINS) --editable '.[simulation,curves]'
	@$(BIN)/python -m zerotrain.data.fetch --constraint $(PINS)
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing test tools ..."
	@$(PIP) install --quiet --no-compile --constraint $(PINS) --editable '.[dev]'
	@touch $@
