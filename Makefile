# `make demo` needs Python 3.10 or newer and a package index, nothing else: everything lands in .venv.
#
#   PYTHON=python3.12 make demo        another interpreter (for a fresh .venv)
#   make demo ARGS="--alpha 0.1"       options of `roleml demo`
#   make test ARGS="-k codec -x"       options of pytest
#   make test-brokers ROLEML_TEST_BROKERS="/srv/rabbitmq-4.3 amqp://user:password@host"
#
# The tests need RabbitMQ: tests/broker/fixtures.py says where they look for it. `make test` installs Debian's, and a
# browser.
#
# `make test` installs torch. Its default wheel on Linux carries CUDA (gigabytes); pip takes the small CPU
# build instead when PIP_EXTRA_INDEX_URL names PyTorch's CPU index.

PYTHON ?= python3
VENV   ?= .venv
ARGS   ?=
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test test-brokers faults soak fuzz broker browser lint format examples bench docs notebook schema clean

help: ## show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## train on real digits: five clients and a server in this process
	@$(BIN)/roleml demo $(ARGS)

test: $(VENV)/.dev lint broker browser ## lint, type check and run the tests
	$(BIN)/python -m pytest $(ARGS)

test-brokers: $(VENV)/.dev broker ## run the broker tests on each of ROLEML_TEST_BROKERS (server folders or URLs)
	@set -f; failed=; for broker in $$(echo "$${ROLEML_TEST_BROKERS:-/}" | tr , ' '); do \
	  name=$$(echo "$$broker" | sed 's,//.*@,//,'); echo "== $$name"; \
	  ROLEML_TEST_BROKER="$$broker" $(BIN)/python -m pytest -m broker $(ARGS) || failed="$$failed $$name"; \
	done; [ -z "$$failed" ] || { echo "broker tests failed on:$$failed"; exit 1; }

faults: $(VENV)/.dev broker ## mistreat a broker, processes and a network, and write docs/reliability.md (half an hour)
	@rm -f .faults.jsonl
	ROLEML_FAULTS=.faults.jsonl $(BIN)/python -m pytest tests/faults $(ARGS)
	$(BIN)/python tests/faults/table.py .faults.jsonl docs/reliability.md

soak: $(VENV)/.dev broker ## an hour of calls, events and restarts into docs/reliability.md, or ARGS="--minutes 5"
	@$(BIN)/python -m tests.faults.soak --page docs/reliability.md $(ARGS)

fuzz: $(VENV)/.dev $(VENV)/.fuzz ## look for bytes that do harm, guided by coverage (three minutes, or ARGS="--seconds 60 header")
	$(BIN)/python -m tests.fuzz.run $(ARGS)

# Where it cannot, it says in a line what to do, and the tests go on: they may find a broker elsewhere, or will say it.
broker: ## install Debian's RabbitMQ without its service, if there is none (needs root)
	@[ -n "$$ROLEML_TEST_BROKER$$ROLEML_TEST_BROKERS" ] || brokers/install-debian.sh || true

browser: ## install Debian's chromium for the tests that look at pages, if there is no browser (needs root)
	@tests/install-browser.sh || true

lint: $(VENV)/.dev ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

examples: $(VENV)/.dev broker ## run all examples on both brokers, and print how it went
	@$(BIN)/python examples/table.py $(ARGS)

bench: $(VENV)/.dev broker ## run all benchmarks, compare with the last time, and write docs/benchmarks.md
	$(BIN)/python benchmarks/all.py $(ARGS)

docs: $(VENV)/.docs ## the manual, as pages in docs/_build
	$(BIN)/sphinx-build -q -W -b html docs docs/_build
	@echo "open docs/_build/index.html"

notebook: $(VENV)/.dev ## write examples/tutorial/fedavg.ipynb from fedavg.py, with its output
	$(BIN)/python examples/tutorial/notebook.py

schema: $(VENV)/.dev ## write what the manual takes from the code: keys, schema, errors
	$(BIN)/python docs/generate.py

clean: ## remove .venv, caches and build output (runs/ stays)
	rm -rf $(VENV) build dist docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp per set of packages: a second run finds it newer than pyproject.toml and starts at once.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "RoleML needs Python 3.10 or newer; '$(PYTHON)' is `$(PYTHON) -V 2>&1`. Try: PYTHON=python3.12 make"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo $(VENV)/.dev $(VENV)/.docs $(VENV)/.fuzz: $(VENV)/.%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	@touch $@
