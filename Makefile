# What people type. `make demo` and `make test` work from a bare clone, as root or with sudo: see .ci/venv and .ci/packages.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
# Debian keeps servers such as mosquitto in /usr/sbin, which is not on everybody's path.
export PATH := $(PATH):/usr/sbin:/sbin

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
# One more than the smallest machine has cores: tests with whole stations in processes wait more than they compute.
WORKERS ?= 3
# A real PC/SC daemon with virtual readers, in a namespace of its own.
CARD_READERS := pcscd=pcscd pcscd=libccid vpcd-config=vsmartcard-vpcd unshare=util-linux ip=iproute2
DESTDIR ?=
PREFIX ?= /opt/forecourt
GROUND := .ci/venv pyproject.toml requirements/demo.txt

.PHONY: help demo test prove drivers browser check format lint types imports architecture simulate mutants bench soak soak-power lock dist install boot clean

help:
	@echo 'make demo [ARGS="--for 60s"]  a whole simulated station on this machine'
	@echo 'make test [ARGS="-k scan"]    the test suite; the architecture tests are a part of make check'
	@echo 'make prove                    what takes longer: loyalty properties 500 times each, random kills, hostile input, demos that must fail'
	@echo 'make drivers [ARGS=--json]    every driver through its contract, and the level its tests prove'
	@echo 'make browser                  the handheld page in a real Chromium, pictures in build/browser/'
	@echo 'make check                    format, lint, types, imports, architecture (each also a target)'
	@echo 'make simulate [ARGS="--seed 7"] one simulated station day again, or many: ARGS="--days 1000"'
	@echo 'make mutants                  the loyalty engine changed in thousands of small ways: how many its fast tests notice'
	@echo 'make bench [ARGS="--only P1"] measurements; never fails'
	@echo 'make soak                     what takes long: real power cuts (as root), 1,000 simulated days, 50 random kills, damaged frames'
	@echo 'make soak-power [ARGS=...]     real power cuts under the agent, as root; minutes'
	@echo 'make lock [UPGRADE=--upgrade] the pinned requirements anew from pyproject.toml'
	@echo 'make dist                     an archive that installs without a network, in dist/'
	@echo 'make install [DESTDIR=...]    installs that archive here, or below DESTDIR without touching a service'
	@echo 'make boot                     installs and boots it in a container, as root'
	@echo 'make clean                    remove the virtual environment and every cache'

demo: $(VENV)/.demo
	@$(BYTECODE)
	$(BIN)/forecourt demo $(ARGS)

# Told to write no bytecode, every worker would rewrite the assertions of every test module anew in each run.
test prove architecture: export PYTHONDONTWRITEBYTECODE :=

test: $(VENV)/.test
	@$(BYTECODE)
	@.ci/packages mosquitto=mosquitto age=age zstd=zstd sqlite3=sqlite3 cc=gcc cc=libc6-dev systemd-analyze=systemd $(CARD_READERS)
	@.ci/postgresql
	@.ci/peers
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder --durations 15 $(ARGS)

# What takes longer than make test has time for: properties as often as they claim, kills at every place, demos that must fail.
# The long part of the drivers' contract is a matter of `make drivers`.
PROOFS = $(shell grep --recursive --files-with-matches --extended-regexp --include='test_*.py' --exclude-dir=contract 'support\.(examples|headoffice_databases)|mark\.long' tests)
# The link once more where the broker turns MQTT 5 away.
OLDER = tests/process/test_sync_link.py tests/process/test_headoffice_serve.py tests/process/test_broker_killed.py
prove: $(VENV)/.test
	@$(BYTECODE)
	@.ci/packages mosquitto=mosquitto
	@.ci/postgresql
	FORECOURT_LONG=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --timeout 3000 -m "" $(PROOFS) $(ARGS)
	FORECOURT_LONG=1 FORECOURT_MQTT=3.1.1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --timeout 3000 -m "" $(OLDER) $(ARGS)

drivers: $(VENV)/.test
	@.ci/packages $(CARD_READERS)
	@.ci/peers
	@$(BIN)/python -m tests.drivers_scale $(ARGS)

browser: $(VENV)/.test
	@.ci/packages chromium=chromium
	$(BIN)/python -m pytest tests/browser $(ARGS)

check: format lint types imports architecture

format: $(VENV)/.test
	$(BIN)/ruff format --check .

lint: $(VENV)/.test
	$(BIN)/ruff check .

types: $(VENV)/.test
	$(BIN)/mypy

imports: $(VENV)/.test
	$(BIN)/lint-imports

architecture: $(VENV)/.test
	$(BIN)/python -m pytest --quiet --numprocesses 2 tests/architecture

simulate: $(VENV)/.test
	@$(BYTECODE)
	$(BIN)/python -m tests.simulation $(ARGS)

bench: $(VENV)/.test
	@$(BYTECODE)
	@.ci/packages mosquitto=mosquitto
	@.ci/postgresql
	@$(BIN)/python -m tests.bench $(ARGS)

mutants: $(VENV)/.test requirements/mutants.txt
	@$(PIP) install --quiet --require-hashes --requirement requirements/mutants.txt
	@$(BIN)/python -m tests.mutants $(ARGS)

soak: soak-power
	$(BIN)/python -m tests.simulation --seed 1000 --days 1000 --workers 2
	$(BIN)/python -m tests.chaos --seed 1000 --count 1000
	FORECOURT_KILLS=50 $(BIN)/python -m pytest --timeout 1800 tests/process/test_kill_random.py
	$(BIN)/python -m tests.soak.mutated_frames

soak-power: $(VENV)/.test
	@.ci/packages mosquitto=mosquitto mkfs.ext4=e2fsprogs
	$(BIN)/python tests/soak/power_cuts.py $(ARGS)

# The test requirements hold the demo's as well, so this also satisfies `make demo`.
$(VENV)/.test: $(GROUND) requirements/test.txt
	@.ci/venv $(VENV)
	$(PIP) install --quiet --require-hashes --requirement requirements/test.txt
	$(PIP) install --quiet --no-build-isolation --no-deps --editable .
	@touch $(VENV)/.demo $@

$(VENV)/.demo: $(GROUND)
	@.ci/venv $(VENV)
	$(PIP) install --quiet --require-hashes --requirement requirements/demo.txt
	$(PIP) install --quiet --no-build-isolation --no-deps --editable .
	@touch $@

# Where Python is told to write none (PYTHONDONTWRITEBYTECODE), every process of a station would compile all of us again.
BYTECODE = $(BIN)/python -m compileall -q agent drivers sync headoffice

# uv comes into a throw-away environment; without UPGRADE the versions stay as they are wherever they still fit.
COMPILE = compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header $(UPGRADE)
lock:
	@.ci/venv $(VENV)
	@tools="$$(mktemp -d)"; trap 'rm -rf "$$tools"' EXIT; \
	$(BIN)/python -m venv "$$tools"; \
	"$$tools/bin/python" -m pip install --quiet --disable-pip-version-check uv; \
	"$$tools/bin/uv" pip $(COMPILE) --extra demo --extra test pyproject.toml requirements/build.in -o requirements/test.txt; \
	"$$tools/bin/uv" pip $(COMPILE) --extra demo -c requirements/test.txt pyproject.toml requirements/build.in -o requirements/demo.txt; \
	"$$tools/bin/uv" pip $(COMPILE) --extra mutants -c requirements/test.txt pyproject.toml -o requirements/mutants.txt; \
	"$$tools/bin/uv" pip $(COMPILE) -c requirements/test.txt pyproject.toml -o requirements/runtime.txt

# PYTHONS="3.11" packs for one version of Python only.
dist: $(VENV)/.demo
	@.ci/dist $(VENV)

# For this machine's own Python.
install: export PYTHONS = $(shell python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
install: dist
	@"$$(.ci/dist $(VENV) --stage)/install.sh" --destdir "$(DESTDIR)" --prefix "$(PREFIX)"

boot: $(VENV)/.test
	@.ci/boot $(VENV)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
