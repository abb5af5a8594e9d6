# Two commands do everything: `make demo` and `make test`. Both make .venv on their first run.
# PYTHON=... names the Python to make it with; left out, the first of these that the tests are run with.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && exit; \
	done; echo python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
unexport PYTHONPATH PYTHONHOME

# Said where .venv is finished, still where it was made, and its Python still there; else it is made anew.
WHOLE := $(shell test -e $(READY) && grep -Fqs '$(CURDIR)/$(BIN)/python' $(BIN)/mixmerge && \
	$(BIN)/python -c '' 2>/dev/null && echo whole)

.PHONY: demo test lint types floors units bench peers prove clean anew

demo: $(READY)
	$(BIN)/mixmerge demo --out demo-study --overwrite

test: lint types floors units

# torch comes first: where pip is offered a CPU build (PIP_FIND_LINKS, PIP_EXTRA_INDEX_URL) it takes that; PyPI's on
# Linux brings several GB of CUDA packages.
$(READY): pyproject.toml src/mixmerge/version.py requirements/dev.txt $(if $(WHOLE),,anew)
ifeq ($(WHOLE),)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo '$(PYTHON) is not Python 3.11 or later: name one, as in make PYTHON=python3.12'; exit 1; }
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
endif
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --constraint requirements/dev.txt 'torch==2.13.0'
	$(BIN)/python -m pip install --quiet --constraint requirements/dev.txt --editable '.[judge]' --group dev
	touch $@

anew:

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

floors: $(READY)
	$(BIN)/lint-imports

units: $(READY)
	$(BIN)/python -m pytest -n auto --dist worksteal

# Beside `make test`: what takes minutes more, and what needs mergekit (MIXMERGE_MERGEKIT_PYTHON, MIXMERGE_MERGEKIT).
prove: $(READY)
	PROVE=1 $(BIN)/python -m pytest tests/study/test_prove_kills.py tests/study/test_prove_ray.py

peers: $(READY)
	$(BIN)/python -m pytest tests/peers

bench: $(READY)
	$(BIN)/python bench/run.py

clean:
	rm -rf $(VENV) demo-study .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
