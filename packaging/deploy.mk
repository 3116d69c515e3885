# Packages and deployments. The Makefile includes this; the logic is in scripts/.

.PHONY: package lambda sbom test-image test-rules plan deploy rollback destroy logs

package: ## build static binaries and images of the functions and the job
	@./scripts/package check
	./scripts/package binaries
	./scripts/package images

lambda: ## build zips of the functions for AWS Lambda, arm64 and x86_64 (cargo-lambda, zig)
	./scripts/package lambda

sbom: ## write CycloneDX bills of materials (cargo-cyclonedx)
	./scripts/package sbom

test-image: ## build the image of one function and run it as Cloud Run does (buildah, podman, runc, musl-tools)
	./scripts/test-image health

test-rules: ## test the security rules on the Firestore emulator
	CI=true ./scripts/with-firestore $(CARGO) test --locked --package policy security_rules

plan: ## show what a deploy would change: make plan PROJECT_ID=my-project [ENVIRONMENT=staging]
	@./scripts/cloud plan

deploy: ## deploy images, infrastructure and pages: make deploy PROJECT_ID=my-project [ENVIRONMENT=staging]
	@./scripts/cloud deploy

rollback: ## deploy images from the registry: make rollback PROJECT_ID=my-project TAG=0.1.0-0123456789ab
	@./scripts/cloud rollback

destroy: ## destroy everything except Terraform's state: make destroy PROJECT_ID=my-project [ENVIRONMENT=staging]
	@./scripts/cloud destroy

logs: ## show the logs of the functions and the job: make logs PROJECT_ID=my-project [SINCE=10m]
	@./scripts/cloud logs
