# Verbs only: each is a line or two over the tools it names. `make help` lists them.

.DEFAULT_GOAL := help
.PHONY: help run demo test test-api test-emulators test-peers openapi lint lint-terraform advisories guards
.PHONY: bench bench-engine bench-service fuzz build clean

CARGO ?= cargo

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## start the whole service on this machine, run the demo, keep serving on 127.0.0.1:8080
	$(CARGO) run --package local -- run

demo: ## start the service, run the demo, exit with its status
	$(CARGO) run --package local -- demo

test: ## every test that needs nothing but Rust and a C compiler
	$(CARGO) test --workspace --locked
	./scripts/guards

test-emulators: ## the same beside emulators of Firestore, Firebase and Cloud Storage, end to end with the release binaries (needs Java, npm, python3, musl-tools)
	./scripts/package binaries
	./scripts/with-emulators env CI=true SERVICE_BINARIES=$(CURDIR)/target/package $(MAKE) test

test-api: ## try the local stack from docs/openapi.json with schemathesis (makes a Python environment)
	./scripts/test-api

test-peers: ## compare with PEFT, transformers and llama.cpp (makes a Python environment; slow)
	./scripts/test-peers

openapi: ## write docs/openapi.json anew from the code's types
	UPDATE_OPENAPI=1 $(CARGO) test --package shared --test openapi the_document_in_the_repository

lint: ## formatting, clippy, unused dependencies, licences
	$(CARGO) fmt --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	./scripts/lint-dependencies

lint-terraform: ## form of the Terraform code, and checkov over it, images and workflows (installs checkov; needs python3)
	./scripts/lint-terraform

advisories: ## known weaknesses of dependencies, and versions that were taken back (cargo-deny; asks the network)
	cargo deny check advisories

guards: ## what the crates may depend on
	./scripts/guards

bench: bench-engine bench-service ## both of these

bench-engine: ## measure merge and quantisation of a 1B-shaped model beside cp, and beside PEFT and llama.cpp where they are
	$(CARGO) run --release --package bench

bench-service: build ## measure the functions beside a FastAPI service (needs Java, the Firestore emulator, python3)
	./scripts/bench-service

fuzz: ## hostile input for every reader of the engine, a minute each (cargo-fuzz): make fuzz [SECONDS=600]
	./scripts/fuzz $(or $(SECONDS),60)

build: ## the release binaries: health, list, create, get, export-job, gemma-export
	$(CARGO) build --release --locked --package health --package list --package create --package get --package job --package cli

clean: ## remove what was built, and the local stack's data
	$(CARGO) clean
	rm -rf .local .venv-api .venv-bench .venv-peers .venv-checkov .venv-emulators .emulators

include packaging/deploy.mk
