# A bucket that nobody outside the project can be given access to by mistake.

variable "project_id" {
  description = "The project."
  type        = string
}

variable "name" {
  description = "The bucket's name, unique in the world."
  type        = string
}

variable "location" {
  description = "Where it is: beside what reads and writes it, so that nothing is paid for the way."
  type        = string
}

variable "retention_days" {
  description = "After how many days objects are deleted, or 0 to keep them."
  type        = number
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

  # What is in here can be made again; keeping deleted models for a week would cost as much as they do.
  soft_delete_policy {
    retention_duration_seconds = 0
  }

  # Parts of uploads that a killed job left behind are invisible, and paid for.
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
