# The key that seals the callers' Hub tokens on their way to the job. Key rings and keys cannot be deleted, only the
# versions of a key can, and then it is of no use. So Terraform only forgets both, and the next `make deploy` takes them back.

variable "project_id" {
  description = "The project."
  type        = string
}

variable "region" {
  description = "The region of the key."
  type        = string
}

variable "name_prefix" {
  description = "Starts the name of the key ring."
  type        = string
}

resource "google_kms_key_ring" "this" {
  project  = var.project_id
  location = var.region
  name     = "${var.name_prefix}export-service"
}

resource "google_kms_crypto_key" "this" {
  key_ring        = google_kms_key_ring.this.id
  name            = "hub-tokens"
  purpose         = "ENCRYPT_DECRYPT"
  rotation_period = "7776000s"
  deletion_policy = "ABANDON"
}

output "id" {
  description = "The resource name of the key."
  value       = google_kms_crypto_key.this.id
}
