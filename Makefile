# Each target sets up what it needs. `make` alone lists them.
BIN := .venv/bin

BENCHES := $(patsubst benchmarks/%.py,bench-%,$(shell grep -l __main__ benchmarks/*.py))

.PHONY: help setup programs definitions controlplane web screenshots image lock-debian sbom audit lint generated check test test-busy docs demo picture soak soak-gateways explore-gateways drain-test rollout-test fuzz bench
.PHONY: $(BENCHES) mutants lock
help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

setup: ## make .venv from the hash-pinned lock files
	@tools/setup

programs: setup ## get Prometheus, HAProxy, hey and others into the user's cache folder, where PATH has none
	@$(BIN)/python tools/programs.py

definitions: setup ## put the definitions of other projects' kinds into the user's cache folder
	@$(BIN)/python tools/definitions/fetch.py

controlplane: setup ## build the tests' Kubernetes control plane into the user's cache folder, once
	@$(BIN)/python tools/controlplane/build.py

image: setup ## build the container image, with Docker where an engine answers, else with buildah
	@$(BIN)/python tools/image.py

web: setup ## get what the page takes from npm, by package-lock.json; the wheel and the image take it from there
	@$(BIN)/python tools/web.py

screenshots: web build/browser/made ## take the pictures of the page for the docs, from a run of the demo in real time: docs/images/page-*.png
	@build/browser/bin/python tools/screenshots.py

lock-debian: setup ## list anew what the image is made of where no engine pulls its base; as root
	@$(BIN)/python tools/image_base.py

SBOM := build/sbom.cdx.json
sbom: setup ## list what the image has of Python as CycloneDX: build/sbom.cdx.json
	@mkdir -p build
	@$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --of JSON -o $(SBOM) requirements/controller.txt

audit: build/audit/made ## ask an advisory service about every locked package
	@for lock in requirements/*.txt; do echo "audit: $$lock"; build/audit/bin/pip-audit --strict --require-hashes --disable-pip -r $$lock || exit 1; done

build/%/made: requirements/%.txt | setup
	@echo "installing $< into build/$*"
	@$(BIN)/python -m venv --clear build/$*
	@$(BIN)/uv pip install --quiet --python build/$*/bin/python --require-hashes -r $<
	@touch $@

LINTERS := "ruff check" "ruff format --check" mypy "lint-imports --no-logo" "python tools/web.py --check"
lint: setup ## style, types and import rules; runs all of them and names those that fail
	@failed=; for linter in $(LINTERS); do echo "lint: $$linter"; $(BIN)/$$linter || failed="$$failed, $$linter"; done; \
	[ -z "$$failed" ] || { echo "lint: failed: $${failed#, }"; exit 1; }

generated: setup ## write the files that are generated from the code
	@$(BIN)/python tools/generated.py

check: setup ## the quick loop: lint, and the tests that are quick and need no other program; prints its CPU time
	@$(BIN)/python tools/check.py $(ARGS)

test: lint programs definitions controlplane build/gradio/made build/docs/made build/browser/made ## the whole suite, as two pytests side by side
	@$(BIN)/python tools/suite.py $(ARGS)

test-busy: programs definitions controlplane web build/gradio/made build/docs/made build/browser/made ## find tests that race: real_time ones three times, then all, beside two programs that take the CPU
	@$(BIN)/python tools/busy.py $(ARGS)

docs: build/docs/made ## build the documentation as a site: build/site/index.html; a warning is an error
	@build/docs/bin/zensical build --strict --clean
	@$(BIN)/python tests/docs/documentation.py

demo: setup ## the main job on this machine; ARGS="--speed 1" and others: ARGS=--help
	@$(BIN)/autoscaler demo $(ARGS)

picture: programs ## run the demo in real time, for six minutes, and draw it for the README: docs/images/zero-to-five.svg
	@mkdir -p build
	@$(BIN)/autoscaler demo --speed 1 --json build/demo.json
	@$(BIN)/python tools/picture.py build/demo.json docs/images/zero-to-five.svg

bench-gateway bench-several_gateways bench-traces: programs
soak: programs controlplane ## hurt an installation under load for 10 minutes, and close the books; ARGS="--seconds 60 --seed 2"
	@$(BIN)/python tests/cluster/soak.py $(ARGS)

soak-gateways: setup ## let everything happen to five gateways under load for 10 minutes, and close the books; ARGS="--seconds 60 --seed 2"
	@PYTHONPATH=tests/cluster $(BIN)/python tests/gateways/gateways_soak.py $(ARGS)

explore-gateways: setup ## random schedules of several gateways, with the shipped code: make explore-gateways ARGS="--seconds 3600"
	@PYTHONPATH=tests/autoscaler/gateway/peers $(BIN)/python tests/autoscaler/gateway/peers/explore_gateways.py $(ARGS)

drain-test: programs controlplane ## 10,000 requests while pods leave for every reason: none cut, none twice; ARGS="--requests 500 --seed 2"
	@$(BIN)/python tests/cluster/drains.py $(ARGS)

rollout-test: programs controlplane ## roll the gateways out under load, and scale them 3 -> 1 -> 3, ten times; ARGS="--rounds 1 --seed 2"
	@$(BIN)/python tests/cluster/rollout.py $(ARGS)

fuzz: setup ## fuzz what reads the wire, guided by coverage, for 10 minutes of a processor; ARGS="--seconds 3600"
	@nice $(BIN)/python tests/fuzz/fuzz.py $(ARGS)

bench: $(BENCHES) ## every benchmark, or one: make bench-decisions; figures go to build/bench too
$(BENCHES): bench-%: setup
	@$(BIN)/python -m benchmarks.$* $(ARGS)

bench-sim: build/peers/made

mutants: setup ## change the algorithms in small ways and list the changes that no test notices; ARGS="algorithms.kpa_core*"
	$(BIN)/mutmut run $(ARGS)
	$(BIN)/mutmut results

lock: setup ## compile the lock files anew
	@tools/lock
