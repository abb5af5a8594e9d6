# Two commands do everything: `make demo` and `make test`. Both make .venv on their first run.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint types floors units bench peers prove clean

demo: $(READY)
	$(BIN)/mixmerge demo --out demo-study --overwrite

test: lint types floors units

# The CPU build of torch comes first: a plain requirement would bring several GB of CUDA packages.
$(READY): pyproject.toml requirements/dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --constraint requirements/dev.txt 'torch==2.13.0'
	$(BIN)/python -m pip install --quiet --constraint requirements/dev.txt --editable '.[judge]' --group dev
	touch $@

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

floors: $(READY)
	$(BIN)/lint-imports

units: $(READY)
	$(BIN)/python -m pytest -n auto

# Beside `make test`: what takes minutes more, and what needs mergekit (MIXMERGE_MERGEKIT_PYTHON, MIXMERGE_MERGEKIT).
prove: $(READY)
	PROVE=1 $(BIN)/python -m pytest tests/study/test_prove_kills.py tests/study/test_prove_ray.py

peers: $(READY)
	$(BIN)/python -m pytest tests/peers

bench: $(READY)
	$(BIN)/python bench/run.py

clean:
	rm -rf $(VENV) demo-study .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
