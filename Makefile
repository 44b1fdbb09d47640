# Two commands do their own set-up on a machine with Python 3.11: make demo, make test.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
# Further arguments for pip, for example an index that offers a CPU build of PyTorch.
PIP_ARGS ?=
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(PIP_ARGS)

.PHONY: demo test test-slow lint format bench clean

demo: $(VENV)/.run
	$(BIN)/plaudit run demo
	@echo "open runs/demo/report.html"

test: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow and not gpu"

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m "slow and not gpu"

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Further options of the suite, for example BENCH_ARGS="--tasks dpo --models 6m".
BENCH_ARGS ?=
bench: $(VENV)/.run $(VENV)-trl/.made
	$(BIN)/python benchmarks/run.py --suite --peer-python $(VENV)-trl/bin/python $(BENCH_ARGS)

$(VENV)/.run: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable .
	@touch $@

# TRL and transformers as others have them, with nothing of ours.
$(VENV)-trl/.made: benchmarks/trl-constraints.txt
	$(PYTHON) -m venv $(VENV)-trl
	$(VENV)-trl/bin/python -m pip install --quiet --disable-pip-version-check --constraint $< $(PIP_ARGS) trl
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(INSTALL) --editable ".[dev,tasks,parity]"
	@touch $@

clean:
	rm -rf runs .pytest_cache .ruff_cache
