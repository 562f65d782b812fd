# Every target makes what it needs: `make demo` and `make test` work on a fresh clone with Python 3.11 and make.
PYTHON ?= python3.11
comma := ,
BIN := .venv/bin
EXTRAS ?= cpu,dev
ifneq (,$(findstring cpu,$(EXTRAS)))
# vLLM for CPU wants PyTorch's CPU build: from a folder of wheels where PIP_FIND_LINKS names one, else from PyTorch.
TORCH := $(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS),--torch-backend cpu)
# The tested versions; those of a GPU machine are its own.
PINS := --constraint constraints.txt
endif
INSTALLED := .venv/installed-$(subst $(comma),-,$(EXTRAS))
BENCH_INSTALLED := .venv/installed-bench
PYTEST := $(BIN)/python -m tests.support.last_words
# Only what runs alone in its process: those that start Ray and vLLM would hold each other up.
PARALLEL := -n auto --dist worksteal
# JavaScript clients for tests/contract; without npm their tests are skipped.
NODE := tests/contract/node
NODE_INSTALLED := $(if $(shell command -v npm),$(NODE)/node_modules/installed)
# Python clients for tests/contract, each in an environment of its own; tests of those that are not here are skipped.
CLIENTS := build/clients
QUICK_CLIENTS := $(foreach client,langchain pydantic-ai instructor generated,$(CLIENTS)/$(client)/installed)

# PostgreSQL's programs: Debian puts them outside PATH.
POSTGRES := $(if $(wildcard /usr/lib/postgresql/*/bin/initdb)$(shell command -v initdb),,postgres-programs)

# Debian's Chromium: browsers that others build come from outside the package registry.
CHROMIUM := $(if $(shell command -v chromium || command -v google-chrome),,chromium-program)

# What plays machines: namespaces of this one, with their own sshd. Debian's sshd lies outside some users' PATH.
CLUSTER := $(if $(and $(wildcard /usr/sbin/sshd),$(shell command -v rsync),$(shell command -v ip)),,cluster-programs)

.DEFAULT_GOAL := help
.PHONY: help install demo test test-systems test-beside browser chromium-program contract contract-postgres clients differential postgres postgres-programs long unit system torture chaos outages rehearsal mutants \
	docs cluster cluster-programs elastic wheel gpu check bench bench-peers simulate fmt clean

help:  ## Show this help
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 26

install: $(INSTALLED)  ## Create .venv and install everything

# Compiled once: a system is twenty processes, and each would compile what it imports where Python may not write it.
$(INSTALLED): pyproject.toml constraints.txt
	@began=$$(date +%s); echo "Installing into .venv ..."; \
	test -x $(BIN)/python || $(PYTHON) -m venv .venv; \
	$(BIN)/python -m pip install --quiet uv && \
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --compile-bytecode $(TORCH) $(PINS) --editable '.[$(EXTRAS)]' && \
	touch $@ && echo "Installed in $$(($$(date +%s) - began)) s"

demo: install  ## Run the main job: a chat job over HTTP on vLLM, streamed back
	@$(BIN)/infernet demo

$(NODE)/node_modules/installed: $(NODE)/package.json $(NODE)/package-lock.json
	@echo "Installing JavaScript clients into $(NODE) ..."; \
	npm ci --prefix $(NODE) --no-audit --no-fund --loglevel=error >/dev/null && touch $@

$(CLIENTS)/%/installed: tests/contract/clients/requirements/%.txt | $(INSTALLED)
	@echo "Installing the client $* into $(CLIENTS) ..."; \
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(CLIENTS)/$* && \
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(CLIENTS)/$*/bin/python --requirement $< && touch $@

test: install $(NODE_INSTALLED) $(QUICK_CLIENTS)  ## Run all tests that need no GPU
	@$(PYTEST) $(PARALLEL) tests/unit tests/system tests/browser
	@echo "Systems, and beside them what uses the processor that those leave; each is told at its end."
	@$(MAKE) --no-print-directory --output-sync --jobs 2 test-systems test-beside

# What waits most of the time, for others' processes and for what is to take effect within seconds.
test-systems:
	@$(PYTEST) -m 'not long' tests/contract tests/integration
	@$(PYTEST) -m 'not long' tests/chaos

# What waits for nothing but the processor gives way. Then what waits for an autoscaler, or for ends of systems.
test-beside:
	@nice -n 10 $(PYTEST) $(PARALLEL) tests/postgres tests/torture
	@nice -n 10 $(PYTEST) -m 'not long' tests/backends tests/differential
	@$(PYTEST) -m 'not long' tests/elastic tests/outages

long: install  ## Run the tests that take so long that `make test` leaves them out
	@$(PYTEST) -m long tests

contract: install $(NODE_INSTALLED) $(QUICK_CLIENTS)  ## Check every line of docs/contract.md; ARGS="--url URL --key KEY" for a system of yours
	@$(BIN)/python -m pytest tests/contract $(ARGS)

clients: install $(NODE_INSTALLED) $(QUICK_CLIENTS) $(CLIENTS)/lm-eval/installed  ## Run every client that others wrote, unchanged, against this system
	@$(PYTEST) -rs tests/contract/test_openai_*.py tests/contract/test_ai_sdk.py tests/contract/test_python_clients.py \
	tests/contract/test_generated_node.py \
	tests/contract/test_text_completions.py tests/integration/test_pooling.py tests/differential/test_lm_eval.py $(ARGS)

differential: install  ## Send the same requests to vLLM's own server and to this system, and list what differs: ARGS="TOPIC ..."
	@$(BIN)/python -m tests.differential.report $(ARGS)

contract-postgres: install $(POSTGRES) $(NODE_INSTALLED) $(QUICK_CLIENTS)  ## The same on a system that keeps its data in PostgreSQL
	@$(BIN)/python -m pytest tests/contract --postgres $(ARGS)

postgres: install $(POSTGRES)  ## Run a PostgreSQL for trying things out, on a port of its own; its data go when it ends
	@$(BIN)/python -m tests.support.postgres

browser: install $(CHROMIUM)  ## Look at every page of the dashboard in Chromium
	@$(BIN)/python -m pytest $(PARALLEL) tests/browser $(ARGS)

chromium-program:
	@apt-get --version >/dev/null 2>&1 && [ $$(id -u) = 0 ] || \
	{ echo "Chromium is not here. As root: apt-get install chromium"; exit 1; }; \
	echo "Installing Debian's chromium ..."; \
	apt-get install --quiet --quiet --yes --no-install-recommends chromium fonts-dejavu-core >/dev/null

postgres-programs:
	@apt-get --version >/dev/null 2>&1 && [ $$(id -u) = 0 ] || \
	{ echo "PostgreSQL's programs are not here. As root: apt-get install postgresql"; exit 1; }; \
	echo "Installing Debian's postgresql ..."; \
	apt-get install --quiet --quiet --yes --no-install-recommends postgresql >/dev/null

unit: install  ## Run the unit tests: no Ray
	@$(BIN)/python -m pytest $(PARALLEL) tests/unit

system: install  ## Run the tests of the whole control plane in one process: no Ray
	@$(BIN)/python -m pytest $(PARALLEL) tests/system

SEED ?= 1
# Rounds of tests.torture, or minutes of it; kills of tests.chaos.
ROUNDS ?=
MINUTES ?= $(if $(ROUNDS),,10)
KILLS ?= 50

torture: install  ## Draw faults for the control plane in one process: SEED=1, MINUTES=10 or ROUNDS=100, ARGS=--help
	@$(BIN)/python -m tests.torture --seed $(SEED) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(ARGS)

chaos: install  ## Kill and stop processes of a running system, one and two at once: KILLS=50, SEED=1
	@$(BIN)/python -m tests.chaos --kills $(KILLS) --seed $(SEED) $(ARGS)

outages: install  ## Stop, starve and lose what a running system is made of: all of tests/outages
	@$(BIN)/python -m pytest tests/outages $(ARGS)

rehearsal: install  ## Have outages happen to a running system, and print what clients, probes and logs say: ARGS="full" for those
	@$(BIN)/python -m tests.outages.rehearsal $(ARGS)

elastic: install  ## Have machines come and go by load alone, under both of Ray's autoscalers. Root only, else skipped
	@$(BIN)/python -m pytest tests/elastic -rPs $(ARGS)

cluster: install $(CLUSTER)  ## Bring machines up by a real `ray up`, and have things happen to them. Root only, else skipped
	@$(BIN)/python -m pytest tests/clusters -rPs $(ARGS)

# Only root can make machines; for others the tests are skipped, and say so.
cluster-programs:
	@[ $$(id -u) != 0 ] || { apt-get --version >/dev/null 2>&1 && \
	echo "Installing Debian's openssh-server, rsync and iproute2 ..." && \
	apt-get install --quiet --quiet --yes --no-install-recommends openssh-server rsync iproute2 >/dev/null; } || \
	{ echo "Needed here: sshd, rsync and ip"; exit 1; }

wheel: install  ## Build dist/, which `ray up` takes to a cluster's machines
	@rm -rf dist && $(BIN)/uv build --quiet --wheel --out-dir dist . && rm -rf build && ls dist

docs: install  ## Build the pages of docs/ as a site, into build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict && echo "Built build/site/index.html"

mutants: install  ## Change the rules of cluster/ in many ways, one at a time, and list what no unit test notices
	@$(BIN)/mutmut run --max-children 2 $(ARGS) && $(BIN)/mutmut results

gpu: install  ## Run the tests that need a GPU; EXTRAS=gpu,dev for vLLM on CUDA. Skipped where there is none
	@$(BIN)/python -m pytest tests/gpu -rs

check: install  ## Lint and check types
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

bench: install bench-peers $(BENCH_INSTALLED)  ## Compare with others that serve the same model; writes docs/benchmarks/
	@$(BIN)/python -m tests.benchmarks.throughput --full --write docs/benchmarks $(ARGS)

bench-peers: install  ## Install what the comparison compares with, apart from .venv
	@$(BIN)/python -m tests.benchmarks.install_peers

$(BENCH_INSTALLED): $(INSTALLED)
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet $(TORCH) $(PINS) --editable '.[$(EXTRAS),bench]' && touch $@

simulate: install $(BENCH_INSTALLED)  ## Play a day at 8,000 GPUs against the rules, in minutes: SEED=1; writes docs/benchmarks/
	@$(BIN)/python -m tests.benchmarks.scale --seed $(SEED) $(ARGS)

fmt: install  ## Format the code
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

clean:  ## Remove .venv and caches
	rm -rf .venv $(NODE)/node_modules build mutants dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
