# The image registry. Images older than 30 days are deleted, except the last 10 versions: immutable tags would prevent
# it. Deployments name images by digest, so a tag that moves changes nothing.

variable "project_id" {
  description = "The project."
  type        = string
}

variable "name_prefix" {
  description = "What the registry's name begins with."
  type        = string
}

variable "kms_key_name" {
  description = "The customer-managed key (projects/…/cryptoKeys/…), or null for Google's."
  type        = string
}

variable "region" {
  description = "The registry's region."
  type        = string
}

variable "deletion_protection" {
  description = "Whether the registry is protected from terraform destroy, and from its replacement."
  type        = bool
}

resource "google_artifact_registry_repository" "this" {
  project       = var.project_id
  location      = var.region
  repository_id = "${var.name_prefix}export-service"
  description   = "Images of the Export Service"
  format        = "DOCKER"
  kms_key_name  = var.kms_key_name
  # another key would replace the registry, and delete the images that make rollback deploys
  deletion_policy = var.deletion_protection ? "PREVENT" : "DELETE"

  cleanup_policy_dry_run = false

  cleanup_policies {
    id     = "keep-recent"
    action = "KEEP"

    most_recent_versions {
      keep_count = 10
    }
  }

  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"

    condition {
      older_than = "${30 * 24 * 3600}s"
    }
  }
}

output "url" {
  description = "The prefix of image names."
  value       = "${var.region}-docker.pkg.dev/${var.project_id}/${google_artifact_registry_repository.this.repository_id}"
}
