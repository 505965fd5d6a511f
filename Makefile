# Benchmarks need: pip install -e ".[bench]". The documentation needs: pip install -e ".[docs]".
# PYTHON chooses the interpreter.
PYTHON ?= python
ASV = $(PYTHON) -m asv
# Commits for the dashboard, and a regular expression that selects benchmarks.
RANGE ?= HEAD~5..HEAD
BENCH ?= .

# 0 builds the documentation without running the gallery's examples.
GALLERY ?= 1

.PHONY: bench dashboard ratios bench-table roofline scaling docs lock

bench: ## all of asv's benchmarks, once each, on the installed package
	$(ASV) machine --yes
	$(ASV) run --environment existing:$(PYTHON) --quick --show-stderr

dashboard: ## a range of commits, each in its own environment, as a web page
	$(ASV) machine --yes
	$(ASV) run $(RANGE) --skip-existing-commits --bench "$(BENCH)"
	$(ASV) publish
	@echo "The dashboard is .asv/html/index.html; serve it with: $(ASV) preview"

ratios: ## fastgsm next to its rivals, with the gate
	$(PYTHON) -m pytest benchmarks --benchmark-only --benchmark-json ratios.json
	$(PYTHON) -m benchmarks.gate ratios.json

bench-table: ## the README's tables
	$(PYTHON) -m benchmarks.table

roofline: ## the tables and plots of docs/performance.md
	$(PYTHON) -m benchmarks.ratios --write
	$(PYTHON) -m benchmarks.roofline

scaling: ## the tables of docs/scaling.md
	$(PYTHON) -m benchmarks.scaling --write
	$(PYTHON) -m benchmarks.scaling --part large --write
	$(PYTHON) -m benchmarks.scaling --part beside --write

LOCK = tests/requirements.lock

lock: ## pin the packages that the tests run with, in a fresh environment; needs Python 3.11
	$(PYTHON) -m venv --clear build/lock
	build/lock/bin/pip install --quiet -e ".[test]"
	echo "# Versions with which all tests pass, for Python 3.11. Written by: make lock" > $(LOCK)
	build/lock/bin/pip freeze --exclude-editable >> $(LOCK)

docs: ## the documentation, into docs/_build/html; a warning is an error
	$(PYTHON) -m sphinx -W --keep-going -D plot_gallery=$(GALLERY) docs docs/_build/html
