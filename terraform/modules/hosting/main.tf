# The Hosting site. Its rewrites and headers come from hosting/firebase.json. They are released by the Firebase CLI,
# which also uploads the pages, or by Terraform, which cannot upload them.

resource "google_firebase_project" "this" {
  provider = google-beta
  count    = var.create_firebase_project ? 1 : 0

  project = var.project_id
}

resource "google_firebase_hosting_site" "this" {
  provider = google-beta

  # The provider takes a site that exists. A site that is deleted cannot be made again, by nobody.
  project         = var.project_id
  site_id         = var.site_id
  deletion_policy = "ABANDON"

  depends_on = [google_firebase_project.this]
}

resource "google_firebase_hosting_version" "this" {
  provider = google-beta
  count    = var.release ? 1 : 0

  site_id = google_firebase_hosting_site.this.site_id

  config {
    dynamic "rewrites" {
      for_each = var.rewrites

      content {
        glob = rewrites.value.source

        run {
          service_id = "${var.name_prefix}${rewrites.value.run.serviceId}"
          region     = var.region
        }
      }
    }

    dynamic "headers" {
      for_each = var.headers

      content {
        glob    = headers.value.source
        headers = { for header in headers.value.headers : header.key => header.value }
      }
    }
  }
}

resource "google_firebase_hosting_release" "this" {
  provider = google-beta
  count    = var.release ? 1 : 0

  site_id      = google_firebase_hosting_site.this.site_id
  version_name = google_firebase_hosting_version.this[0].name
  message      = "Rewrites and headers of hosting/firebase.json"
}
