# Two commands: `make demo` trains the S-curve and shows where its pictures are, `make test` runs the tests.
# Both set up what is missing in .venv; nothing but Python >= 3.11 and make has to be there.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
WORKERS ?= auto

# Modules are compiled once, not anew in each process.
unexport PYTHONDONTWRITEBYTECODE

INSTALL := $(PIP) install -q -c constraints.txt

PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

.PHONY: demo studio test test-all lint format book book-check web web-test bench clean

demo: $(VENV)/.installed
	$(BIN)/diffuscope train s_curve

studio: $(VENV)/.installed
	$(INSTALL) -e '.[studio]'
	$(BIN)/diffuscope studio

test: $(VENV)/.installed-for-tests
	$(PYTEST) -m "not slow"
	@echo "The tests marked slow were left out; make test-all runs them too."

test-all: $(VENV)/.installed-for-tests
	$(PYTEST)

lint: $(VENV)/.installed-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-for-tests
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The book in both languages, with what its cells give: build/book/index.html. What did not change is not run again.
book: $(VENV)/.installed
	$(INSTALL) -e '.[book]'
	$(BIN)/python docs/build.py

# Whether the book that was made can be read by everybody; needs chromium and npm.
book-check: $(VENV)/.installed-for-tests web/node_modules/.installed
	$(BIN)/python docs/tools/accessible.py build/book

# The page of the viewer, from its TypeScript; only who changes it needs node.
web: web/node_modules/.installed
	cd web && npm run --silent check-types && npm run --silent build

web-test: web/node_modules/.installed
	cd web && npm run --silent check && npm run --silent test

web/node_modules/.installed: web/package.json web/package-lock.json
	cd web && npm ci --silent --no-fund --no-audit
	@touch $@

bench: $(VENV)/.installed-for-tests
	for file in training_step fast_recipe sampling samplers rendering startup memory article_error_budget \
	    oracles likelihood metrics table_fit memory_format diagnose fuzz kills; do \
	  $(BIN)/python benchmarks/$$file.py || exit 1; done

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Diffuscope needs Python 3.11 or later; name one: make PYTHON=python3.12 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# torch comes first and pinned: resolved on its own, the newest one may bring gigabytes of GPU libraries.
$(VENV)/.installed: $(VENV)/.made pyproject.toml constraints.txt
	$(INSTALL) torch
	$(INSTALL) -e .
	@touch $@

$(VENV)/.installed-for-tests: $(VENV)/.made pyproject.toml constraints.txt
	$(INSTALL) torch
	$(INSTALL) -e '.[browser,mp4,test,lint]'
	@touch $(VENV)/.installed $@
