# One function: a Cloud Run service with its own service account.

resource "google_service_account" "this" {
  project      = var.project_id
  account_id   = "${var.name_prefix}export-${var.name}"
  display_name = "Export Service: ${var.name}"
}

locals {
  stable = try(var.canary.revision, null)
}

resource "google_cloud_run_v2_service" "this" {
  project             = var.project_id
  location            = var.region
  name                = "${var.name_prefix}${var.name}"
  ingress             = "INGRESS_TRAFFIC_ALL" # requests of Hosting, and of create to list, are external
  deletion_protection = var.deletion_protection
  # Hosting has no identity. Unlike a binding of allUsers, this is permitted under domain-restricted sharing.
  invoker_iam_disabled = var.public

  template {
    service_account                  = google_service_account.this.email
    timeout                          = "60s" # Hosting's limit
    max_instance_request_concurrency = var.concurrency

    scaling {
      min_instance_count = var.min_instances
      max_instance_count = var.max_instances
    }

    containers {
      image = var.image

      ports {
        container_port = 8080
      }

      resources {
        limits = {
          cpu    = "1"
          memory = var.memory
        }
        cpu_idle          = true
        startup_cpu_boost = true
      }

      dynamic "env" {
        for_each = var.env

        content {
          name  = env.key
          value = env.value
        }
      }

      startup_probe {
        initial_delay_seconds = 0
        timeout_seconds       = 1
        period_seconds        = 1
        failure_threshold     = 20

        http_get {
          path = "/health"
        }
      }

      # /health depends on nothing else, so a restart may repair a function that does not respond.
      liveness_probe {
        timeout_seconds   = 2
        period_seconds    = 30
        failure_threshold = 3

        http_get {
          path = "/health"
        }
      }
    }
  }

  dynamic "traffic" {
    for_each = local.stable == null ? [] : [local.stable]

    content {
      type     = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
      revision = traffic.value
      percent  = 100 - var.canary.percent
    }
  }

  # The tag gives the latest revision a URL of its own, with or without traffic.
  traffic {
    type    = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
    percent = local.stable == null ? 100 : var.canary.percent
    tag     = var.canary == null ? null : "canary"
  }
}
