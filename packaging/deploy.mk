# Packages and deployments. The Makefile includes this; the logic is in scripts/.

.PHONY: package lambda sbom test-image test-rules plan deploy rollback destroy logs

package: ## static binaries and images of functions and job
	@./scripts/package check
	./scripts/package binaries
	./scripts/package images

lambda: ## zips of the functions for AWS Lambda, arm64 and x86_64 (cargo-lambda, zig)
	./scripts/package lambda

sbom: ## bills of materials, CycloneDX (cargo-cyclonedx)
	./scripts/package sbom

test-image: ## build one image and look at it as Cloud Run would (buildah, podman, runc, musl-tools)
	./scripts/test-image health

test-rules: ## the security rules on the Firestore emulator
	CI=true ./scripts/with-firestore $(CARGO) test --locked --package policy security_rules

plan: ## what a deploy would change: make plan PROJECT_ID=my-project [ENVIRONMENT=staging]
	@./scripts/cloud plan

deploy: ## images, infrastructure, pages: make deploy PROJECT_ID=my-project [ENVIRONMENT=staging]
	@./scripts/cloud deploy

rollback: ## deploy images that are in the registry: make rollback PROJECT_ID=my-project TAG=0.1.0-0123456789ab
	@./scripts/cloud rollback

destroy: ## everything but the state: make destroy PROJECT_ID=my-project [ENVIRONMENT=staging]
	@./scripts/cloud destroy

logs: ## what functions and job log: make logs PROJECT_ID=my-project [SINCE=10m]
	@./scripts/cloud logs
