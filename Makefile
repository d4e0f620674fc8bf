# One word per chore. `make` sets everything up and compares the frameworks on MNIST.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready-to-run
READY_TO_TEST := .venv/ready-to-test

# Two test processes, each with whole files, because a file's tests share what they have trained.
SIDE_BY_SIDE := --numprocesses 2 --dist loadfile

.PHONY: compare setup test test-fast check check-all format bench notebooks docs wheel pins clean help
.DEFAULT_GOAL := compare

compare: $(READY) ## set up, train every framework on MNIST, say where the report is
	$(BIN)/lockstep compare

setup: $(READY) ## create .venv and install the pinned requirements and the package

test: $(READY_TO_TEST) ## set up and run the tests
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not slow"

test-fast: $(READY_TO_TEST) ## the tests that need no framework, browser or process: a minute
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not slow and not costly"

check: $(READY_TO_TEST) ## format, lint, types, and who may import whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check-all: check ## everything, the slow proofs too
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

format: $(READY_TO_TEST) ## let ruff lay out and mend the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

BENCH := bench-$(shell date +%Y%m%d-%H%M%S)
bench: $(READY_TO_TEST) ## beside what a user would pick instead; how cost grows; time to an accuracy
	$(BIN)/python -m benchmarks --with benchmarks/contenders.py --name $(BENCH)-race
	$(BIN)/python -m benchmarks --growth --name $(BENCH)-growth
	$(BIN)/python -m benchmarks --to 97 --name $(BENCH)-to-97
	$(BIN)/python -m benchmarks --to 98 --name $(BENCH)-to-98
	@echo "python -m benchmarks.publish runs/$(BENCH)-* puts these into docs/benchmarks.md."

notebooks: $(READY_TO_TEST) ## run the notebooks in full and keep what they show
	$(BIN)/jupytext --quiet --sync *.ipynb
	rm -rf runs/notebooks/comparison # so that it is made anew
	$(BIN)/python notebooks/execute.py

docs: $(READY_TO_TEST) ## build the documentation; open docs/_build/html/index.html
	$(BIN)/python -m sphinx --quiet --fresh-env --fail-on-warning --keep-going docs docs/_build/html

wheel: $(READY_TO_TEST) ## build the wheel into dist/
	$(BIN)/python -m build --wheel --no-isolation

$(READY): requirements/run.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 to 3.13 is needed, this is %d.%d; try: make PYTHON=python3.12" % sys.version_info[:2] if not (3, 11) <= sys.version_info < (3, 14) else 0)'
	@echo "Setting up .venv. The first time this downloads about 730 MB: PyTorch, TensorFlow, JAX, Numba."
	@echo "(On Linux, PyPI's PyTorch brings CUDA, gigabytes more; docs/install.md has the CPU line.)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/run.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(READY_TO_TEST): $(READY) requirements/test.txt
	@echo "Adding what the tests need, about 100 MB."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/test.txt
	@touch $@

# PyTorch's own metadata pins the CUDA packages it brings; they are left to it.
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate
pins: ## renew requirements/*.txt from *.in (needs uv)
	$(COMPILE) $(UV_FLAGS) requirements/run.in | grep -vE '^(nvidia|cuda|triton|torch)' > requirements/run.new
	echo 'torch==2.13.0' >> requirements/run.new
	mv requirements/run.new requirements/run.txt
	$(COMPILE) $(UV_FLAGS) requirements/test.in > requirements/test.new
	mv requirements/test.new requirements/test.txt

clean: ## remove .venv and what was built; runs stay
	rm -rf .venv dist build docs/_build

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12
