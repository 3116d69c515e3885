# Allows Google's services to encrypt and decrypt with customer-managed keys. Each service uses an account of its own.

variable "project_id" {
  description = "The project."
  type        = string
}

variable "keys" {
  description = "The keys of buckets, registry and database, by service: storage, registry, database. A key without a value is Google's."
  type        = map(string)
}

locals {
  services = {
    registry = "artifactregistry.googleapis.com"
    database = "firestore.googleapis.com"
  }

  keys = { for service, key in var.keys : service => key if key != "" }
}

# Cloud Storage's account appears when it is first read, those of others when they are asked for.
data "google_storage_project_service_account" "this" {
  count = contains(keys(local.keys), "storage") ? 1 : 0

  project = var.project_id
}

resource "google_project_service_identity" "this" {
  provider = google-beta
  for_each = { for service, api in local.services : service => api if contains(keys(local.keys), service) }

  project = var.project_id
  service = each.value
}

resource "google_kms_crypto_key_iam_member" "this" {
  for_each = local.keys

  crypto_key_id = each.value
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = each.key == "storage" ? data.google_storage_project_service_account.this[0].member : google_project_service_identity.this[each.key].member
}

output "keys" {
  description = "The key of each service, which may use it; null for Google's."
  value       = { for service in keys(var.keys) : service => try(google_kms_crypto_key_iam_member.this[service].crypto_key_id, null) }
}
