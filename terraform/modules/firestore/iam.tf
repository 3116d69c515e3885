# Firestore's predefined roles are project-wide, and the narrowest one that writes (roles/datastore.user) also deletes
# and exports. Hence these custom roles, bound with a condition on the database.
#
# Permissions of each method: https://cloud.google.com/firestore/docs/security/iam

locals {
  roles = {
    reader = {
      title       = "Export Service: read documents"
      permissions = ["datastore.entities.get", "datastore.entities.list"]
    }
    # plan reads the training job.
    getter = {
      title       = "Export Service: read documents whose names are known"
      permissions = ["datastore.entities.get"]
    }
    # create counts the exports of the caller, writes the record, and later adds the execution's name.
    creator = {
      title = "Export Service: read, create and update documents"
      permissions = [
        "datastore.entities.create",
        "datastore.entities.get",
        "datastore.entities.list",
        "datastore.entities.update",
      ]
    }
    # cancel looks for the running export of a job, and ends its record.
    canceler = {
      title = "Export Service: read, list and update documents"
      permissions = [
        "datastore.entities.get",
        "datastore.entities.list",
        "datastore.entities.update",
      ]
    }
    # The job updates existing documents and lists none.
    updater = {
      title = "Export Service: read and update documents"
      permissions = [
        "datastore.entities.get",
        "datastore.entities.update",
      ]
    }
  }

  # {"reader/list": {role: reader, member: …}}
  bindings = merge([
    for role, members in { reader = var.readers, getter = var.getters, creator = var.creators, canceler = var.cancelers, updater = var.updaters } : {
      for name, member in members : "${role}/${name}" => { role = role, member = member }
    }
  ]...)
}

resource "google_project_iam_custom_role" "this" {
  for_each = local.roles

  project     = var.project_id
  role_id     = "${replace(var.name_prefix, "-", "_")}exportFirestore${title(each.key)}"
  title       = each.value.title
  permissions = each.value.permissions
}

resource "google_project_iam_member" "this" {
  for_each = local.bindings

  project = var.project_id
  role    = google_project_iam_custom_role.this[each.value.role].name
  member  = each.value.member

  condition {
    title       = "only-${var.database == "(default)" ? "default" : var.database}"
    description = "Only the Export Service's database"
    expression  = "resource.name == \"projects/${var.project_id}/databases/${var.database}\""
  }
}
