resource "google_firestore_database" "this" {
  count = var.create_database ? 1 : 0

  project                           = var.project_id
  name                              = var.database
  location_id                       = var.location
  type                              = "FIRESTORE_NATIVE"
  concurrency_mode                  = "PESSIMISTIC"
  app_engine_integration_mode       = "DISABLED"
  point_in_time_recovery_enablement = var.deletion_protection ? "POINT_IN_TIME_RECOVERY_ENABLED" : "POINT_IN_TIME_RECOVERY_DISABLED"
  delete_protection_state           = var.deletion_protection ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"
  deletion_policy                   = var.deletion_protection ? "ABANDON" : "DELETE"

  dynamic "cmek_config" {
    for_each = var.kms_key_name == null ? [] : [var.kms_key_name]

    content {
      kms_key_name = cmek_config.value
    }
  }
}

resource "google_firestore_backup_schedule" "daily" {
  count = var.create_database && var.deletion_protection ? 1 : 0

  project   = var.project_id
  database  = local.database
  retention = "${7 * 24 * 3600}s"

  daily_recurrence {}
}

locals {
  # Known only after the database exists, so that everything below depends on it.
  database = var.create_database ? google_firestore_database.this[0].name : var.database

  # The queries of the code need these and no others (Firestore adds __name__).
  indexes = {
    latest_export = {
      collection = "exports"
      fields = [
        { path = "job_id", order = "ASCENDING" },
        { path = "started_at", order = "DESCENDING" },
      ]
    }
    exports_of_caller = {
      collection = "exports"
      fields = [
        { path = "user_id", order = "ASCENDING" },
        { path = "started_at", order = "DESCENDING" },
      ]
    }
  }

  # Fields that no query uses and every write of progress changes: an index would only add writes.
  unindexed = toset(["progress", "message", "lease_until", "artifacts"])
}

resource "google_firestore_index" "this" {
  for_each = local.indexes

  project     = var.project_id
  database    = local.database
  collection  = each.value.collection
  query_scope = "COLLECTION"

  dynamic "fields" {
    for_each = each.value.fields

    content {
      field_path = fields.value.path
      order      = fields.value.order
    }
  }
}

resource "google_firestore_field" "unindexed" {
  for_each = local.unindexed

  project    = var.project_id
  database   = local.database
  collection = "exports"
  field      = each.value

  index_config {}
}

# The service sets `expire_at` when an export ends. `lease_until` and its other times must never be TTL fields. Without
# the exemption from indexes, times that only grow would limit the writes of the whole collection.
resource "google_firestore_field" "ttl" {
  project    = var.project_id
  database   = local.database
  collection = "exports"
  field      = "expire_at"

  ttl_config {}

  index_config {}
}
