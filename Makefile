# Two commands do their own set-up on a machine with Python 3.11: make demo, make test.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
# Further arguments for pip, for example an index that offers a CPU build of PyTorch.
PIP_ARGS ?=
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(PIP_ARGS)

.PHONY: demo test test-slow lint format bench bench-gpu clean

demo: $(VENV)/.run
	$(BIN)/plaudit run demo
	@echo "open runs/demo/report.html"

# A process for each core, each on one thread: tests are too small to share them. Files come in their
# own order: by the number of tests a file of few long ones would come last, with one process alone.
test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder -m "not slow and not gpu"

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
bench: $(VENV)/.run $(VENV)-trl/.made $(VENV)-trl-ppo/.made $(VENV)-vllm/.made
	$(BIN)/python benchmarks/run.py --suite --venv $(VENV) $(BENCH_ARGS)

# The same on a GPU, a task of a model at a time: benchmarks/gpu.sh says how one is run alone.
bench-gpu: $(VENV)/.run $(VENV)-trl/.made $(VENV)-trl-ppo/.made
	PYTHON=$(BIN)/python VENV=$(VENV) benchmarks/gpu.sh

$(VENV)/.run: pyproject.toml constraints.txt
	@echo "installing into $(VENV), PyTorch among the rest: some minutes, in which pip says nothing"
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable .
	@touch $@

# The benchmarks' peers as others have them, with nothing of ours.
PEER_INSTALL = $(@D)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS)
$(VENV)-trl/.made: benchmarks/trl-constraints.txt
$(VENV)-trl-ppo/.made: benchmarks/trl-ppo-constraints.txt
$(VENV)-trl/.made $(VENV)-trl-ppo/.made:
	$(PYTHON) -m venv $(@D)
	$(PEER_INSTALL) --constraint $< trl
	@touch $@

# All of it, and no more: its own requirements name CUDA builds that break it on a CPU.
$(VENV)-vllm/.made: benchmarks/vllm-requirements.txt
	$(PYTHON) -m venv $(@D)
	$(PEER_INSTALL) --no-deps --requirement $<
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(INSTALL) --editable ".[dev,tasks,parity]"
	@touch $@

clean:
	rm -rf runs .pytest_cache .ruff_cache
