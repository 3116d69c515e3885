# A bucket that cannot be made public, not even by mistake.

variable "project_id" {
  description = "The project."
  type        = string
}

variable "name" {
  description = "The bucket's name, globally unique."
  type        = string
}

variable "location" {
  description = "Location: the region of functions and job, so that transfers are free."
  type        = string
}

variable "retention_days" {
  description = "Days until objects are deleted, or 0 to keep them."
  type        = number
}

variable "kms_key_name" {
  description = "The customer-managed key (projects/…/cryptoKeys/…), or null for Google's."
  type        = string
}

variable "force_destroy" {
  description = "Whether terraform destroy may delete a bucket with objects in it."
  type        = bool
}

resource "google_storage_bucket" "this" {
  project                     = var.project_id
  name                        = var.name
  location                    = var.location
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = var.force_destroy

  dynamic "encryption" {
    for_each = var.kms_key_name == null ? [] : [var.kms_key_name]

    content {
      default_kms_key_name = encryption.value
    }
  }

  # An export can be repeated; keeping deleted models for a week would cost as much as the models.
  soft_delete_policy {
    retention_duration_seconds = 0
  }

  # Parts of the uploads of a killed job are invisible, but billed.
  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }

    condition {
      age = 1
    }
  }

  dynamic "lifecycle_rule" {
    for_each = var.retention_days == 0 ? [] : [var.retention_days]

    content {
      action {
        type = "Delete"
      }

      condition {
        age = lifecycle_rule.value
      }
    }
  }
}

output "name" {
  description = "The bucket's name."
  value       = google_storage_bucket.this.name
}
