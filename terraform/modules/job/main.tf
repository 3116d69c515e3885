# The export job, its service account, and the permissions to start and to cancel it.

resource "google_service_account" "this" {
  project      = var.project_id
  account_id   = "${var.name_prefix}export-job"
  display_name = "Export Service: the export job"
}

resource "google_cloud_run_v2_job" "this" {
  project             = var.project_id
  location            = var.region
  name                = "${var.name_prefix}${var.name}"
  deletion_protection = var.deletion_protection

  template {
    task_count  = 1
    parallelism = 1

    template {
      service_account = google_service_account.this.email
      timeout         = "${var.timeout_seconds}s"
      # A retry claims the export again while its lease lasts, and reuses complete artifacts.
      max_retries = 1

      containers {
        image = var.image

        resources {
          limits = {
            cpu    = tostring(var.cpu)
            memory = var.memory
          }
        }

        # The engine starts a thread per CPU; the async runtime's threads only wait for I/O, so at most 4 are enough.
        dynamic "env" {
          for_each = merge(var.env, { TOKIO_WORKER_THREADS = tostring(min(var.cpu, 4)) })

          content {
            name  = env.key
            value = env.value
          }
        }
      }
    }
  }
}

# roles/run.invoker lacks run.jobs.runWithOverrides, which EXPORT_ID and HF_TOKEN need, and
# roles/run.jobsExecutorWithOverrides also cancels executions.
resource "google_project_iam_custom_role" "launcher" {
  project     = var.project_id
  role_id     = "${replace(var.name_prefix, "-", "_")}exportJobLauncher"
  title       = "Export Service: start the export job"
  permissions = ["run.jobs.run", "run.jobs.runWithOverrides"]
}

resource "google_cloud_run_v2_job_iam_member" "launches" {
  for_each = var.launchers

  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_job.this.name
  role     = google_project_iam_custom_role.launcher.name
  member   = each.value
}

resource "google_project_iam_custom_role" "canceler" {
  project     = var.project_id
  role_id     = "${replace(var.name_prefix, "-", "_")}exportJobCanceler"
  title       = "Export Service: cancel executions of the export job"
  permissions = ["run.executions.cancel"]
}

resource "google_cloud_run_v2_job_iam_member" "cancels" {
  for_each = var.cancelers

  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_job.this.name
  role     = google_project_iam_custom_role.canceler.name
  member   = each.value
}
