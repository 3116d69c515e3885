# Custom roles for objects: the predefined roles that write also change metadata, folders and holds, and those that
# read also list.

variable "project_id" {
  description = "The project."
  type        = string
}

variable "name_prefix" {
  description = "What the ids of the roles begin with."
  type        = string
}

locals {
  roles = {
    writer = {
      role_id = "exportObjectWriter"
      title   = "Export Service: write objects"
      permissions = [
        "storage.multipartUploads.abort",
        "storage.multipartUploads.create",
        "storage.objects.create",
        "storage.objects.delete", # needed to overwrite objects, and to delete those of a failed export
        "storage.objects.get",
        "storage.objects.list",
      ]
    }
    object_getter = {
      role_id     = "exportObjectGetter"
      title       = "Export Service: read objects whose names are known"
      permissions = ["storage.objects.get"]
    }
    link_signer = {
      role_id     = "exportLinkSigner"
      title       = "Export Service: sign download links"
      permissions = ["iam.serviceAccounts.signBlob"]
    }
  }
}

resource "google_project_iam_custom_role" "this" {
  for_each = local.roles

  project     = var.project_id
  role_id     = "${replace(var.name_prefix, "-", "_")}${each.value.role_id}"
  title       = each.value.title
  permissions = each.value.permissions
}

output "writer" {
  description = "Reads, lists, writes and deletes objects."
  value       = google_project_iam_custom_role.this["writer"].name
}

output "object_getter" {
  description = "Reads objects by name, without listing."
  value       = google_project_iam_custom_role.this["object_getter"].name
}

output "link_signer" {
  description = "Signs as a service account, without getting tokens of it."
  value       = google_project_iam_custom_role.this["link_signer"].name
}
