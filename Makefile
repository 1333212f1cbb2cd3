# Two commands matter: `make serve` and `make test`. Each sets up what it needs the first time; `make help` lists all.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Two processes run tests at once; all tests of a file run in the same one, so that its servers are started once. One
# that crashes ends the run: replaced, it would wait for ever for tests to be given to it
PYTEST := pytest -n 2 --dist loadfile --max-worker-restart=0
# TensorFlow's start-up lines are noise to a student; its errors still show
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help
help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ -/' | sort

.PHONY: serve
serve: $(VENV)/.service  ## serve the shipped model at http://127.0.0.1:8000 (DIGITS_* settings are passed on)
	@exec $(BIN)/python -m service $(ARGS)

.PHONY: test
test: $(VENV)/.training  ## run all tests (ARGS="-k name" for some; COVERAGE=1 shows what of service/ they run)
ifdef COVERAGE
	$(BIN)/coverage erase
	$(BIN)/coverage run -m $(PYTEST) $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
else
	$(BIN)/python -m $(PYTEST) $(ARGS)
endif

.PHONY: test-fast
test-fast: $(VENV)/.dev  ## run the tests that need no TensorFlow, no browser and little time: under a minute
	$(BIN)/python -m $(PYTEST) -m "not slow" --ignore=tests/training $(ARGS)

.PHONY: coverage
coverage:  ## run all tests and show which branches of service/ they take; fails under 95 %
	@$(MAKE) test COVERAGE=1

.PHONY: lint
lint: $(VENV)/.training  ## ruff, mypy --strict, and the import rules (import-linter)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

.PHONY: compose-test
compose-test: $(VENV)/.training  ## build the images and try them on a real Docker Engine, if one answers
	@PYTHON=$(BIN)/python tests/compose/run $(ARGS)

.PHONY: fault-test
fault-test: $(VENV)/.training  ## kill, fill, stall and break what the service stands on; a table at the end (ARGS=--long: more of it)
	FAULT_TEST=1 $(BIN)/python -m pytest tests/faults $(ARGS)

.PHONY: fuzz
fuzz: $(VENV)/.dev  ## send random and damaged requests, messages, cards and models; a table at the end (ARGS=--more: ten times as many)
	FUZZ=1 $(BIN)/python -m pytest tests/fuzz $(ARGS)

.PHONY: client-test
client-test: $(VENV)/.dev  ## call the service with KServe's client and Triton's perf_analyzer, where they can be had
	@PYTHON=$(BIN)/python tests/clients/run $(ARGS)

.PHONY: ray-test
ray-test: $(VENV)/.whole  ## start the Ray Serve application and call it (Ray gets an environment of its own)
	@PYTHON=$(PYTHON) tests/ray/run $(ARGS)

.PHONY: train
train: $(VENV)/.training  ## train, export, evaluate, publish, promote if not worse (ARGS="--data PATH")
	$(BIN)/python -m training retrain $(ARGS)

.PHONY: clean
clean:  ## remove the virtual environment and what tools left behind
	rm -rf $(VENV) build .bench .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info

.PHONY: docs
docs: $(VENV)/.docs  ## build the documentation into build/docs; every warning is an error
	$(BIN)/python -m sphinx -b html -W --keep-going -q -d build/doctrees docs build/docs $(ARGS)
	@echo "build/docs/index.html"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; say which: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Making a virtual environment in $(VENV) ..."
	@$(PYTHON) -m venv --clear $(VENV)

# pip comes last: one that was interrupted has a Python and no pip, and is made anew
$(VENV)/.whole: $(BIN)/python
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || \
		{ echo "Making the virtual environment in $(VENV) anew ..."; $(PYTHON) -m venv --clear $(VENV); }
	@touch $@

# What is installed is what was tested, byte for byte: pip compares every file with its SHA-256 in requirements/*.txt.
# Our own package has no file to hash: it is installed last, in place, and without fetching anything
LOCKED := $(PIP) install --require-hashes -r requirements/build.txt -r requirements/service.txt
OURSELVES := $(PIP) install --no-deps --no-build-isolation -e .

# The stamps make setup quick the second time: they are newer than what they were made from
$(VENV)/.service: $(VENV)/.whole pyproject.toml requirements/build.txt requirements/service.txt
	@echo "Installing the service ..."
	@$(LOCKED)
	@$(OURSELVES)
	@touch $@

$(VENV)/.dev: $(VENV)/.service requirements/grpc.txt requirements/dev.txt
	@echo "Installing the test tools ..."
	@$(LOCKED) -r requirements/grpc.txt -r requirements/dev.txt
	@touch $@

$(VENV)/.training: $(VENV)/.dev requirements/training.txt
	@echo "Installing TensorFlow (about a minute) ..."
	@$(LOCKED) -r requirements/grpc.txt -r requirements/dev.txt -r requirements/training.txt
	@touch $@

$(VENV)/.docs: $(VENV)/.service requirements/docs.txt
	@echo "Installing Sphinx ..."
	@$(LOCKED) -r requirements/docs.txt
	@touch $@

$(VENV)/tools/.whole: $(VENV)/.whole requirements/tools.txt
	@echo "Installing the tools for the supply chain in $(VENV)/tools ..."
	@$(BIN)/python -m venv --clear $(VENV)/tools
	@$(VENV)/tools/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements/tools.txt
	@touch $@

# What the service image holds, installed as the Dockerfile does
$(VENV)/image/.whole: $(VENV)/.whole requirements/service.txt requirements/grpc.txt
	@$(BIN)/python -m venv --clear --without-pip $(VENV)/image
	@$(PIP) --python $(VENV)/image/bin/python install --only-binary :all: --no-compile \
		--require-hashes -r requirements/service.txt -r requirements/grpc.txt
	@touch $@

.PHONY: audit
audit: $(VENV)/tools/.whole  ## look up known vulnerabilities of the locked packages (ARGS=--strict fails where that is not possible)
	@$(VENV)/tools/bin/python requirements/audit.py $(ARGS)

.PHONY: sbom
sbom: $(VENV)/tools/.whole $(VENV)/image/.whole  ## list the service image's packages with licences: build/sbom.cdx.json (CycloneDX)
	@$(VENV)/tools/bin/python requirements/sbom.py $(VENV)/image/bin/python build/sbom.cdx.json

.PHONY: update-constraints
update-constraints: $(VENV)/tools/.whole  ## pin the newest versions that fit pyproject.toml, with hashes (ARGS=--keep: only what has to change)
	@TOOLS_VENV=$(VENV)/tools requirements/update $(ARGS)

.PHONY: bench
bench: $(VENV)/.service  ## time the service against its peers and the limit (half an hour; ARGS="--quick --only us,ceiling")
	$(BIN)/python -m benchmarks $(ARGS)
