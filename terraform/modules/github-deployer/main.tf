# Allows one workflow on the main branch of one repository to deploy to one environment, with tokens valid for an hour
# and without keys. A repository is identified by its numeric ids: a name can be registered again by somebody else.

variable "project_id" {
  description = "The project."
  type        = string
}

variable "name_prefix" {
  description = "What the ids of the account and of the identity pool begin with."
  type        = string
}

variable "repository" {
  description = "The repository: owner/name, and the numeric ids of the repository and of its owner."
  type = object({
    name     = string
    id       = string
    owner_id = string
  })
}

variable "environment" {
  description = "The environment of the repository whose jobs may deploy to this project."
  type        = string
}

locals {
  # What `make deploy` needs after a first deployment by a person, and no more. docs/DEPLOY.md lists the same roles.
  roles = toset([
    "roles/artifactregistry.admin",
    "roles/cloudkms.admin",
    "roles/datastore.owner",
    "roles/firebase.viewer",
    "roles/firebasehosting.admin",
    "roles/firebaserules.admin",
    "roles/iam.roleAdmin",
    "roles/iam.serviceAccountAdmin",
    "roles/iam.serviceAccountUser",
    "roles/iam.workloadIdentityPoolAdmin",
    "roles/identityplatform.admin",
    "roles/logging.configWriter",
    "roles/monitoring.admin",
    "roles/resourcemanager.projectIamAdmin",
    "roles/run.admin",
    "roles/serviceusage.serviceUsageAdmin",
    "roles/storage.admin",
  ])
}

resource "google_service_account" "this" {
  project      = var.project_id
  account_id   = "${var.name_prefix}export-deployer"
  display_name = "Export Service: deploys from ${var.repository.name}"
}

resource "google_iam_workload_identity_pool" "this" {
  project                   = var.project_id
  workload_identity_pool_id = "${var.name_prefix}export-github"
  display_name              = "Export Service: GitHub"
}

resource "google_iam_workload_identity_pool_provider" "this" {
  project                            = var.project_id
  workload_identity_pool_id          = google_iam_workload_identity_pool.this.workload_identity_pool_id
  workload_identity_pool_provider_id = "github"
  display_name                       = "GitHub Actions"
  # All GitHub workflows have tokens of this issuer; the condition rejects other repositories, branches, workflows and
  # environments. The environment's protection rules decide which jobs get its tokens. The claim of the workflow has the
  # repository's name, which the token has as well: it can be renamed.
  attribute_condition = join(" && ", [
    "assertion.repository_id == '${var.repository.id}'",
    "assertion.repository_owner_id == '${var.repository.owner_id}'",
    "assertion.ref == 'refs/heads/main'",
    "assertion.workflow_ref == assertion.repository + '/.github/workflows/deploy.yml@refs/heads/main'",
    "assertion.environment == '${var.environment}'",
  ])

  attribute_mapping = {
    "google.subject"        = "assertion.sub"
    "attribute.environment" = "assertion.environment"
  }

  oidc {
    issuer_uri = "https://token.actions.githubusercontent.com"
  }
}

resource "google_service_account_iam_member" "federated" {
  service_account_id = google_service_account.this.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.this.name}/attribute.environment/${var.environment}"
}

resource "google_project_iam_member" "deploys" {
  for_each = local.roles

  project = var.project_id
  role    = each.value
  member  = google_service_account.this.member
}

output "provider" {
  description = "The provider that the workflow authenticates with."
  value       = google_iam_workload_identity_pool_provider.this.name
}

output "service_account_email" {
  description = "The service account that the workflow uses."
  value       = google_service_account.this.email
}
