# Everything happens in .venv, which each command sets up for itself.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test contracts resume test-peers test-tpu format clean

## Train an LSTM on Python's own source for three minutes, and let it write.
demo: .venv/installed
	$(BIN)/python experiments/char_gen.py --preset cpu-3min

## Lint, types, and the whole suite with its coverage.
test: .venv/installed-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/python -m pytest -n 2 --dist worksteal --cov=jaxtext

## What every cell keeps to, in ten drawn cases each instead of one.
contracts: .venv/installed-test
	$(BIN)/python -m pytest -n 2 --hypothesis-profile=thorough tests/test_contracts.py

## Killed after any step and gone on: each cell, on one device and eight, both strategies.
resume: .venv/installed-test
	$(BIN)/python -m pytest -n 2 --hypothesis-profile=thorough tests/training/test_resume.py

## Weights to and from other libraries, which this installs: torch, Keras, Haiku, Equinox
## (Flax is there anyway), and that none of them is imported before it is asked for.
PEERS := torch keras haiku equinox
test-peers: .venv/installed-peers
	$(BIN)/python -m pytest -n 2 --dist worksteal tests/interop/test_layers.py \
		$(PEERS:%=tests/interop/test_%.py) $(PEERS:%=jaxtext/interop/%.py)

## Training steps compiled for TPUs, without one, by the compiler that this installs.
test-tpu: .venv/installed-tpu
	$(BIN)/python -m pytest -n 2 --dist worksteal tests/experiments/test_compile_tpu.py \
		tests/kernels/test_mosaic_compiled.py tests/benchmarks/test_tpu_schedule.py \
		tests/benchmarks/test_scaling.py

format: .venv/installed-test
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis .coverage*

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip

.venv/installed: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/installed-test: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

.venv/installed-peers: .venv/installed-test
	$(BIN)/python -m pip install --quiet --editable '.[test,peers]'
	touch $@

.venv/installed-tpu: .venv/installed-test
	$(BIN)/python -m pip install --quiet --editable '.[test,tpu]'
	touch $@
