# Everything a developer or CI runs. `make` alone lists it.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
KAFKA ?= 4.3.1
SBOM ?= build/sbom.cdx.json
BESIDE_STREAMS := org.slf4j:slf4j-simple:1.7.36+com.fasterxml.jackson.core:jackson-databind:2.21.2+org.eclipse.jdt:ecj:3.44.0

# Karar as it is deployed has a compiled core; where there is no compiler the same code runs as it stands.
compiler := $(shell command -v $(CC))
as_deployed := $(if $(compiler),PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/build/compiled:$(CURDIR))

# $(call missing,FILE,SENTENCE): one line and exit 2 as long as FILE does not exist.
missing = $(if $(wildcard $(1)),,$(error $@: $(2)))
is_python_311 = $(shell $(PYTHON) -c 'import sys; print("yes" if sys.version_info >= (3, 11) else "")' 2>/dev/null)

.PHONY: help venv demo test lint bench bench-core bench-flat bench-hour bench-rebalance compiled shuffles ops-test soak schemas dashboards mutation constraints audit-dependencies sbom jars clean

help: ## list what can be made
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "%-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP) ## real Kafka, a worker and a simulated contact center, live (ARGS="--for 60 --seed 7")
	@$(BIN)/karar demo $(ARGS)

test: $(STAMP) ## run every test; schemas, streams/core and streams/engine must be covered to 95 %
	@$(BIN)/python -m tests.together

lint: $(STAMP) ## ruff, mypy --strict, the published schemas and the dashboard against the code
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(if $(wildcard streams/cli.py),$(BIN)/karar schemas --check,echo "karar schemas --check is left out: streams/cli.py does not exist yet")
	@$(BIN)/python -m deploy.grafana.dashboard --check

bench-core: $(STAMP) $(if $(compiler),build/compiled/.installed) ## measure: the core alone, a scrape, and on real Kafka throughput, latency, memory, recovery (ARGS="--parts latency")
	@$(BIN)/python -m tests.bench.core --profile
	@$(as_deployed) $(BIN)/python -m tests.bench.core
	@$(BIN)/python -m tests.bench.exposition
	@$(as_deployed) $(BIN)/python -m tests.bench.live $(ARGS)

bench-flat: $(STAMP) $(if $(compiler),build/compiled/.installed) ## what an event costs with 3·10^4 to 10^6 open chains, and with 4 to 64 partitions (about 15 minutes)
	@$(as_deployed) $(BIN)/python -m tests.bench.flat $(ARGS)

bench-hour: $(STAMP) $(if $(compiler),build/compiled/.installed) ## 10^6 open chains, an hour of calls at half speed, and how long a new worker then takes to be ready (ARGS="--seconds 60")
	@$(as_deployed) $(BIN)/python -m tests.bench.recovery $(ARGS)

bench-rebalance: $(STAMP) $(if $(compiler),build/compiled/.installed) ## how long shards stand still that stay where they are, while a worker joins and leaves (about 3 minutes)
	@$(as_deployed) $(BIN)/python -m tests.bench.rebalance $(ARGS)

bench: $(STAMP) build/peers/.installed $(if $(compiler),build/compiled/.installed) ## the engine, and the whole core, against other stream processors on real Kafka: RESULTS.md (about two hours; ARGS="--workload whole --rounds 1 --events 30000")
	@$(as_deployed) $(BIN)/python -m tests.bench.against $(ARGS)

shuffles: $(STAMP) ## the oracle against 200 orders of arrival of each set of events (about 15 minutes)
	@KARAR_SHUFFLES=200 $(BIN)/pytest -q --timeout=3600 tests/test_agrees_with_the_oracle.py

ops-test: $(STAMP) ## real Prometheus and Alertmanager, two workers, a load that goes wrong on purpose (about 5 minutes; CHAINS=100 MOVES=10)
	@$(BIN)/python -m tests.ops

compiled: build/compiled/.installed ## the same code with its core compiled, about twice as fast, in build/compiled (needs a C compiler)

soak: $(STAMP) $(if $(compiler),build/compiled/.installed) ## kill, freeze and restart workers and Kafka under load, count what is lost: nothing (SECONDS=900 SEED=1 SUBJECT=counting; FAULT=all: those of the catalogue)
	@$(as_deployed) $(BIN)/python -m tests.soak

venv: $(STAMP) ## make .venv with exactly what constraints.txt pins

schemas: ## write schemas/published anew
	$(call missing,streams/cli.py,karar schemas does not exist yet; it comes with streams/cli.py)
	@$(MAKE) --no-print-directory venv
	@$(BIN)/karar schemas

dashboards: $(STAMP) ## write deploy/grafana/dashboards anew
	@$(BIN)/python -m deploy.grafana.dashboard

mutation: ## break the core in small ways and see whether a test notices
	$(call missing,streams/core/facts.py,there is nothing to break yet; it comes with streams/core)
	@$(MAKE) --no-print-directory venv
	@rm -rf mutants
	@$(BIN)/mutmut run
	@$(BIN)/mutmut results

constraints: $(STAMP) ## pin what pyproject.toml asks for (UPGRADE=--upgrade: the newest of everything)
	@$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 --no-config --quiet $(UPGRADE) \
		--generate-hashes --no-annotate --custom-compile-command "make constraints" --output-file constraints.txt
	@$(BIN)/uv pip compile tests/bench/peers/requirements.in --universal --python-version 3.11 --no-config --quiet $(UPGRADE) \
		--generate-hashes --no-annotate --custom-compile-command "make constraints" --output-file tests/bench/peers/requirements.txt
	@if grep -n '://' constraints.txt tests/bench/peers/requirements.txt; then echo "a pinned list names a host" >&2; exit 1; fi

audit-dependencies: $(STAMP) ## known vulnerabilities of what constraints.txt pins; left out where the registry does not answer
	@$(BIN)/python -m deploy.dependencies.audit

sbom: $(STAMP) ## a CycloneDX bill of materials of .venv: all that Karar is built, tested and run with (SBOM=build/sbom.cdx.json)
	@mkdir -p $(dir $(SBOM))
	@$(BIN)/cyclonedx-py environment .venv --pyproject pyproject.toml --output-reproducible --validate --output-file $(SBOM)
	@echo "sbom: $(SBOM)"

# Only whoever pins needs jgo's command line: it is no dependency, and gets a Maven repository of its own.
jars: $(STAMP) ## pin the jars of Apache Kafka for `karar broker`, and of Kafka Streams for `make bench` (KAFKA=4.3.1)
	@set -eu; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	pin() { \
		$(BIN)/uv tool run --no-config --from 'jgo[cli]==3.2.0' jgo --ignore-config --resolver python --repo-cache "$$folder/repository" \
			--cache-dir "$$folder/cache" list "$$2" > "$$folder/coordinates"; \
		$(BIN)/python -m streams.broker.pin "$$1" < "$$folder/coordinates" > "$$folder/jars.txt"; \
		cp "$$folder/jars.txt" "$$3"; \
	}; \
	pin 'Apache Kafka' org.apache.kafka:kafka_2.13:$(KAFKA)+org.slf4j:slf4j-simple:1.7.36 streams/broker/jars.txt; \
	pin 'Kafka Streams' org.apache.kafka:kafka-streams:$(KAFKA)+$(BESIDE_STREAMS) tests/bench/peers/jars.txt

# From an archive of the sources, because the compiler leaves what it makes beside what it reads.
build/compiled/.installed: $(STAMP) pyproject.toml $(shell find schemas/. streams/. -name '*.py' -o -type d -not -name __pycache__)
	$(if $(compiler),,$(error $@: there is no C compiler, `$(CC)`; install one, or go on without: Karar runs as it is, half as fast))
	@rm -rf build/sources build/compiled
	@$(BIN)/hatchling build --target sdist --directory build/sources >/dev/null
	@tar --extract --file build/sources/*.tar.gz --directory build/sources --strip-components 1
	@cd build/sources && HATCH_BUILD_HOOKS_ENABLE=1 $(CURDIR)/$(BIN)/hatchling build --target wheel --directory wheel >/dev/null
	@$(BIN)/python -m pip install --quiet --no-deps --target build/compiled build/sources/wheel/*.whl
	@touch $@

# The peers of the benchmark, in an environment of their own: nothing of theirs is in constraints.txt.
build/peers/.installed: tests/bench/peers/requirements.txt
	$(if $(is_python_311),,$(error $@: the peers need Python 3.11 or newer, and `$(PYTHON)` is not; say PYTHON=/path/to/python3.11))
	@rm -rf build/peers/venv
	@$(PYTHON) -m venv build/peers/venv
	@build/peers/venv/bin/python -m pip install --quiet --require-hashes --no-deps -r tests/bench/peers/requirements.txt
	@touch $@

clean: ## remove everything that was made
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov mutants build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	$(if $(is_python_311),,$(error Karar needs Python 3.11 or newer, and `$(PYTHON)` is not; say PYTHON=/path/to/python3.11))
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r constraints.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
