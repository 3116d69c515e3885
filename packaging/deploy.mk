# Packages and deployments. The Makefile includes this; the logic is in scripts/.

.PHONY: package lambda sbom test-image test-rules lock plan deploy promote rollback destroy logs

package: ## build static binaries and images of functions and job
	@./scripts/package check
	./scripts/package binaries
	./scripts/package images

lambda: ## build zips of the functions for AWS Lambda, arm64 and x86_64 (cargo-lambda, zig)
	./scripts/package lambda

sbom: ## write SBOMs, CycloneDX (cargo-cyclonedx)
	./scripts/package sbom

test-image: ## build one image and run it like Cloud Run (buildah, podman, runc, musl-tools)
	./scripts/test-image health

test-rules: ## test the security rules on the Firestore emulator
	CI=true ./scripts/with-firestore $(CARGO) test --locked --package policy security_rules

lock: ## write terraform/.terraform.lock.hcl, the hashes of Terraform's providers, for git
	@./scripts/cloud lock

plan: ## show what a deployment would change: make plan PROJECT_ID=my-project [ENVIRONMENT=staging]
	@./scripts/cloud plan

deploy: ## deploy images, infrastructure and pages: make deploy PROJECT_ID=my-project [ENVIRONMENT=staging] [TRAFFIC=10]
	@./scripts/cloud deploy

promote: ## give the new revisions of make deploy TRAFFIC=10 all of the traffic: make promote PROJECT_ID=my-project
	@./scripts/cloud promote

rollback: ## deploy an earlier version from the registry: make rollback PROJECT_ID=my-project TAG=0.1.0-0123456789ab
	@./scripts/cloud rollback

destroy: ## remove what can be removed, and say what stays: make destroy PROJECT_ID=my-project [ENVIRONMENT=staging]
	@./scripts/cloud destroy

logs: ## show the logs of functions and job: make logs PROJECT_ID=my-project [SINCE=10m]
	@./scripts/cloud logs
