# Allows workflows on the main branch of one repository to deploy, with tokens valid for an hour and without keys.

variable "project_id" {
  description = "The project."
  type        = string
}

variable "repository" {
  description = "owner/name of the repository."
  type        = string
}

locals {
  # What `make deploy` needs, and no more. docs/DEPLOY.md lists the same roles for people.
  roles = toset([
    "roles/artifactregistry.admin",
    "roles/datastore.owner",
    "roles/firebase.admin",
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
  account_id   = "export-deployer"
  display_name = "Export Service: deploys from ${var.repository}"
}

resource "google_iam_workload_identity_pool" "this" {
  project                   = var.project_id
  workload_identity_pool_id = "export-github"
  display_name              = "Export Service: GitHub"
}

resource "google_iam_workload_identity_pool_provider" "this" {
  project                            = var.project_id
  workload_identity_pool_id          = google_iam_workload_identity_pool.this.workload_identity_pool_id
  workload_identity_pool_provider_id = "github"
  display_name                       = "GitHub Actions"
  # All GitHub workflows have tokens of this issuer; the condition rejects other repositories and branches.
  attribute_condition = "assertion.repository == '${var.repository}' && assertion.ref == 'refs/heads/main'"

  attribute_mapping = {
    "google.subject"       = "assertion.sub"
    "attribute.repository" = "assertion.repository"
  }

  oidc {
    issuer_uri = "https://token.actions.githubusercontent.com"
  }
}

resource "google_service_account_iam_member" "federated" {
  service_account_id = google_service_account.this.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.this.name}/attribute.repository/${var.repository}"
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
