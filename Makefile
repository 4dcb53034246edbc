# Everything happens in .venv, which each command sets up for itself. With another Python:
#     make test PYTHON=python3.13 VENV=.venv-3.13
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test test-thorough test-exhaustive smoke contracts test-peers test-tpu \
	test-cuda test-buckets test-versions notebook tables docs dist format clean

## Train an LSTM on Python's own source for three minutes, and let it write.
demo: $(VENV)/installed
	$(BIN)/python experiments/char_gen.py --preset cpu-3min
	@echo "These commands work as they are. To type python instead of $(BIN)/python:"
	@echo "    source $(BIN)/activate"

## Lint, types, and the everyday tests: each rule once. COVERAGE=--cov=jaxtext, as in
## continuous integration, also measures their coverage, which has to be 95 %.
COVERAGE ?=
test: $(VENV)/installed-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/python -m pytest -n 2 --dist worksteal $(COVERAGE)

## The cases that `make test` leaves out: each cell by each backend in each mode, runs that
## are killed after any step, long campaigns. tests/everyday.py tells how they are chosen.
test-thorough: $(VENV)/installed-test
	$(BIN)/python -m pytest -n 2 --dist worksteal -m thorough

## All combinations of cells, backends and promises, where the others meet each pair.
## For changes to what all cells share.
test-exhaustive: $(VENV)/installed-test
	$(BIN)/python -m pytest -n 2 --dist worksteal -m exhaustive

## The part that shows in minutes whether an environment works: what is imported, the
## contract of every cell but by kernels, the main job, a run that is killed and goes on.
smoke: $(VENV)/installed-test
	$(BIN)/python -m pytest -n 2 --dist worksteal -k 'not mosaic' \
		tests/test_imports.py tests/test_versions.py tests/test_contracts.py \
		tests/experiments/test_char_gen.py tests/runs/test_resume.py

## The whole suite on every Python here, with the newest packages and with the oldest allowed.
test-versions: $(VENV)/installed-test
	$(BIN)/python tools/version_matrix.py

## Makes notebooks of pages, such as docs/tutorial.ipynb; a test holds that this was done.
notebook:
	$(PYTHON) docs/notebook.py

## Writes the tables of README.md, RESULTS.md and benchmarks/README.md from the files of
## results; a test holds that this was done.
tables: $(VENV)/installed-test
	$(BIN)/python benchmarks/tables.py

## Builds the documentation site in docs/_build. Needs no network; warnings are errors.
docs: $(VENV)/installed-docs
	$(BIN)/sphinx-build -E -W --keep-going -q -b html docs docs/_build
	@echo "The site is in docs/_build/index.html"

## Builds the wheel and the source distribution, and tries the wheel outside the checkout.
dist: $(VENV)/installed-test
	$(BIN)/python tools/release.py

## What every cell keeps to, in ten drawn cases each instead of one.
contracts: $(VENV)/installed-test
	$(BIN)/python -m pytest -n 2 -m '' --hypothesis-profile=thorough \
		tests/test_contracts.py

## Weights to and from other libraries, which this installs: torch, Keras, Haiku, Equinox
## (Flax is there anyway), and that none of them is imported before it is asked for; what
## TensorBoard's own reader finds of a run and XProf in its trace, the rules of decoding
## beside Transformers', and the benchmarks that use torch.
## torch comes first and in one version: without it, pip takes the newest, which on Linux
## brings gigabytes of CUDA.
TORCH ?= torch==2.13.0
PEERS := torch keras haiku equinox
test-peers: $(VENV)/installed-peers
	$(BIN)/python -m pytest -m '' -n 2 --dist worksteal tests/interop/test_layers.py \
		$(PEERS:%=tests/interop/test_%.py) $(PEERS:%=jaxtext/interop/%.py) \
		tests/interop/test_torch_language_model.py \
		jaxtext/interop/torch_language_model.py \
		'tests/test_pages.py::test_the_code_of_a_page_prints_what_it_shows[docs/guides/weights.md]' \
		tests/experiments/test_tensorboard.py tests/experiments/test_tracing.py \
		tests/generation/test_huggingface.py tests/experiments/test_export.py \
		tests/cells/test_heads.py \
		tests/benchmarks/test_torch_cells.py tests/benchmarks/test_torch_train.py \
		tests/benchmarks/test_transformer.py

## Training steps compiled for TPUs, without one, by the compiler that this installs.
test-tpu: $(VENV)/installed-tpu
	$(BIN)/python -m pytest -m '' -n 2 --dist worksteal tests/experiments/test_compile_tpu.py \
		tests/kernels/test_mosaic_compiled.py tests/tools/test_tpu_schedule.py \
		tests/benchmarks/test_scaling.py

## The kernels for GPU compiled to machine code, without one, by what this installs: some
## gigabytes. Wants JAX 0.11, which needs Python 3.12.
test-cuda: $(VENV)/installed-cuda
	$(BIN)/python -m pytest -m '' tests/kernels/test_mosaic_gpu.py \
		tests/tools/test_gpu_compiled.py

## Runs and texts in buckets, on servers of S3 and of Google Cloud Storage that the tests
## start on this machine and that this installs. BUCKETS='' runs the campaigns too.
BUCKETS ?= not thorough and not exhaustive
test-buckets: $(VENV)/installed-buckets
	$(BIN)/python -m pytest -m '$(BUCKETS)' -n 2 --dist worksteal tests/buckets

format: $(VENV)/installed-test
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf $(VENV) dist docs/_build .pytest_cache .ruff_cache .hypothesis .coverage*

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[experiments]'
	touch $@

$(VENV)/installed-test: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

$(VENV)/installed-peers: $(VENV)/installed-test
	$(BIN)/python -m pip install --quiet '$(TORCH)'
	$(BIN)/python -m pip install --quiet --editable '.[test,peers]'
	touch $@

$(VENV)/installed-docs: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

$(VENV)/installed-tpu: $(VENV)/installed-test
	$(BIN)/python -m pip install --quiet --editable '.[test,tpu]'
	touch $@

$(VENV)/installed-cuda: $(VENV)/installed-test
	$(BIN)/python -m pip install --quiet --editable '.[test,cuda]'
	touch $@

$(VENV)/installed-buckets: $(VENV)/installed-test
	$(BIN)/python -m pip install --quiet --editable '.[test,test-buckets]'
	touch $@
