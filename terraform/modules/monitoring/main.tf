# Metrics, alerts and the dashboard. docs/OPERATIONS.md has a section for each alert, under its name.

locals {
  functions = join(" OR ", [for name in sort(values(var.functions)) : "resource.label.service_name=\"${name}\""])

  # Log lines that are counted, by `labels`, or measured by `value`. The filters match messages in the code.
  logged = {
    exports_ended = {
      filter      = "resource.type=\"cloud_run_job\" resource.labels.job_name=\"${var.job_name}\" jsonPayload.message=\"export ended\""
      description = "Exports whose end is recorded, with the code of a failure"
      labels      = { failure_code = "EXTRACT(jsonPayload.\"failure.code\")" }
    }
    exports_started = {
      filter      = "resource.type=\"cloud_run_job\" resource.labels.job_name=\"${var.job_name}\" jsonPayload.message=\"export claimed\" jsonPayload.attempt=0"
      description = "Seconds from the request of an export to the start of its job"
      value       = "EXTRACT(jsonPayload.seconds_since_request)"
    }
    exports_long = {
      filter      = "resource.type=\"cloud_run_job\" resource.labels.job_name=\"${var.job_name}\" jsonPayload.message=\"export runs long\""
      description = "Exports that run for more than two hours"
    }
    leases_expired = {
      filter      = "resource.type=\"cloud_run_revision\" resource.labels.service_name=\"${var.functions.get}\" jsonPayload.message=\"the lease of an export expired\""
      description = "Responses with an export whose job is gone"
    }
    exports_failed = {
      filter      = "resource.type=\"cloud_run_job\" resource.labels.job_name=\"${var.job_name}\" jsonPayload.message=\"export failed\" severity>=ERROR"
      description = "Exports that ended as failed, for a reason that their callers cannot resolve"
    }
    ends_lost = {
      filter      = "resource.type=\"cloud_run_job\" resource.labels.job_name=\"${var.job_name}\" jsonPayload.message=\"the end was not recorded\""
      description = "Exports whose end could not be recorded; they count as failed when their lease expires"
    }
    launches_failed = {
      filter      = "resource.type=\"cloud_run_revision\" resource.labels.service_name=\"${var.functions.create}\" severity>=ERROR jsonPayload.message=\"a request failed with an internal error\""
      description = "Exports that could not be started"
    }
    links_failed = {
      filter      = "resource.type=\"cloud_run_revision\" resource.labels.service_name=\"${var.functions.get}\" jsonPayload.message=\"creating a download link failed\""
      description = "Download links that could not be signed"
    }
  }

  in_functions = "resource.type=\"cloud_run_revision\" AND (${local.functions})"
  in_job       = "resource.type=\"cloud_run_job\" AND resource.label.job_name=\"${var.job_name}\""

  # Conditions of the alerts: metric, threshold, duration.
  alerts = {
    "exports-failed" = {
      summary   = "More than 5 exports failed within an hour, for reasons that their callers cannot resolve."
      filter    = "${local.in_job} AND metric.type=\"logging.googleapis.com/user/${google_logging_metric.this["exports_failed"].name}\""
      aligner   = "ALIGN_DELTA"
      reducer   = "REDUCE_SUM"
      period    = 3600
      threshold = 5
      duration  = 0
      severity  = "WARNING"
    }
    "job-failures" = {
      summary   = "More than 3 executions of the export job ended within an hour before they recorded the end of their export."
      filter    = "${local.in_job} AND metric.type=\"run.googleapis.com/job/completed_execution_count\" AND metric.label.result=\"failed\""
      aligner   = "ALIGN_DELTA"
      reducer   = "REDUCE_SUM"
      period    = 3600
      threshold = 3
      duration  = 0
      severity  = "ERROR"
    }
    "ends-lost" = {
      summary   = "The end of an export could not be recorded."
      filter    = "${local.in_job} AND metric.type=\"logging.googleapis.com/user/${google_logging_metric.this["ends_lost"].name}\""
      aligner   = "ALIGN_DELTA"
      reducer   = "REDUCE_SUM"
      period    = 600
      threshold = 0
      duration  = 0
      severity  = "ERROR"
    }
    "exports-long" = {
      summary   = "An export runs for more than two hours."
      filter    = "${local.in_job} AND metric.type=\"logging.googleapis.com/user/${google_logging_metric.this["exports_long"].name}\""
      aligner   = "ALIGN_DELTA"
      reducer   = "REDUCE_SUM"
      period    = 600
      threshold = 0
      duration  = 0
      severity  = "WARNING"
    }
    "leases-expired" = {
      summary   = "The job of an export is gone, and its end is not recorded."
      filter    = "resource.type=\"cloud_run_revision\" AND metric.type=\"logging.googleapis.com/user/${google_logging_metric.this["leases_expired"].name}\""
      aligner   = "ALIGN_DELTA"
      reducer   = "REDUCE_SUM"
      period    = 600
      threshold = 0
      duration  = 0
      severity  = "ERROR"
    }
    "launches-failed" = {
      summary   = "Exports cannot be started: create returns 500."
      filter    = "resource.type=\"cloud_run_revision\" AND metric.type=\"logging.googleapis.com/user/${google_logging_metric.this["launches_failed"].name}\""
      aligner   = "ALIGN_DELTA"
      reducer   = "REDUCE_SUM"
      period    = 600
      threshold = 0
      duration  = 0
      severity  = "CRITICAL"
    }
    "links-failed" = {
      summary   = "Download links cannot be signed: finished exports cannot be downloaded."
      filter    = "resource.type=\"cloud_run_revision\" AND metric.type=\"logging.googleapis.com/user/${google_logging_metric.this["links_failed"].name}\""
      aligner   = "ALIGN_DELTA"
      reducer   = "REDUCE_SUM"
      period    = 600
      threshold = 0
      duration  = 0
      severity  = "ERROR"
    }
    "server-errors" = {
      summary   = "A function returns 5xx."
      filter    = "${local.in_functions} AND metric.type=\"run.googleapis.com/request_count\" AND metric.label.response_code_class=\"5xx\""
      aligner   = "ALIGN_DELTA"
      reducer   = "REDUCE_SUM"
      period    = 300
      threshold = 5
      duration  = 0
      severity  = "ERROR"
    }
    "slow-answers" = {
      summary   = "The p99 latency is over 2 s for 10 minutes."
      filter    = "${local.in_functions} AND metric.type=\"run.googleapis.com/request_latencies\""
      aligner   = "ALIGN_PERCENTILE_99"
      reducer   = "REDUCE_MAX"
      period    = 300
      threshold = 2000
      duration  = 600
      severity  = "WARNING"
    }
    "near-max-instances" = {
      summary   = "A function uses more than 80 % of its maximum instances."
      filter    = "${local.in_functions} AND metric.type=\"run.googleapis.com/container/instance_count\""
      aligner   = "ALIGN_MAX"
      reducer   = "REDUCE_SUM"
      period    = 300
      threshold = var.max_instances * 0.8
      duration  = 600
      severity  = "WARNING"
    }
  }

  charts = [
    { title = "Requests a second, by function", filter = "${local.in_functions} AND metric.type=\"run.googleapis.com/request_count\"", aligner = "ALIGN_RATE", reducer = "REDUCE_SUM", by = ["resource.label.service_name"] },
    { title = "p99 latency, by function", filter = "${local.in_functions} AND metric.type=\"run.googleapis.com/request_latencies\"", aligner = "ALIGN_PERCENTILE_99", reducer = "REDUCE_MAX", by = ["resource.label.service_name"] },
    { title = "Responses, by class", filter = "${local.in_functions} AND metric.type=\"run.googleapis.com/request_count\"", aligner = "ALIGN_RATE", reducer = "REDUCE_SUM", by = ["metric.label.response_code_class"] },
    { title = "Executions of the job, by result", filter = "${local.in_job} AND metric.type=\"run.googleapis.com/job/completed_execution_count\"", aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", by = ["metric.label.result"] },
    { title = "Exports running", filter = "${local.in_job} AND metric.type=\"run.googleapis.com/job/running_executions\"", aligner = "ALIGN_MAX", reducer = "REDUCE_SUM", by = [] },
    { title = "Memory of the job", filter = "${local.in_job} AND metric.type=\"run.googleapis.com/container/memory/utilizations\"", aligner = "ALIGN_PERCENTILE_99", reducer = "REDUCE_MAX", by = [] },
  ]
}

resource "google_logging_metric" "this" {
  for_each = local.logged

  project     = var.project_id
  name        = "${replace(var.name_prefix, "-", "_")}export_service/${each.key}"
  description = each.value.description
  filter      = each.value.filter

  label_extractors = lookup(each.value, "labels", null)
  value_extractor  = lookup(each.value, "value", null)

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = contains(keys(each.value), "value") ? "DISTRIBUTION" : "INT64"
    unit        = contains(keys(each.value), "value") ? "s" : "1"

    dynamic "labels" {
      for_each = lookup(each.value, "labels", {})

      content {
        key        = labels.key
        value_type = "STRING"
      }
    }
  }

  # From 1 s to 9 h, in steps of 15 %.
  dynamic "bucket_options" {
    for_each = contains(keys(each.value), "value") ? [1] : []

    content {
      exponential_buckets {
        num_finite_buckets = 75
        growth_factor      = 1.15
        scale              = 1
      }
    }
  }
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.emails

  project      = var.project_id
  display_name = "Export Service: ${each.value}"
  type         = "email"
  labels       = { email_address = each.value }
}

resource "google_monitoring_alert_policy" "this" {
  for_each = local.alerts

  project               = var.project_id
  display_name          = "Export Service (${var.name_prefix}${var.environment}): ${each.key}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = [for channel in google_monitoring_notification_channel.email : channel.name]

  conditions {
    display_name = each.value.summary

    condition_threshold {
      filter          = each.value.filter
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.threshold
      duration        = "${each.value.duration}s"

      aggregations {
        alignment_period     = "${each.value.period}s"
        per_series_aligner   = each.value.aligner
        cross_series_reducer = each.value.reducer
        group_by_fields      = each.value.reducer == "REDUCE_SUM" && strcontains(each.value.filter, "instance_count") ? ["resource.label.service_name"] : []
      }

      trigger {
        count = 1
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "${each.value.summary} What to do: docs/OPERATIONS.md, \"${each.key}\"."
  }

  alert_strategy {
    auto_close = "${24 * 3600}s"
  }
}

resource "google_monitoring_uptime_check_config" "health" {
  project          = var.project_id
  display_name     = "Export Service (${var.name_prefix}${var.environment}): /health"
  period           = "60s"
  timeout          = "10s"
  selected_regions = ["USA", "EUROPE", "ASIA_PACIFIC"]

  http_check {
    path         = "/health"
    port         = 443
    use_ssl      = true
    validate_ssl = true

    accepted_response_status_codes {
      status_class = "STATUS_CLASS_2XX"
    }
  }

  content_matchers {
    content = "\"healthy\""
    matcher = "CONTAINS_STRING"
  }

  monitored_resource {
    type = "uptime_url"
    labels = {
      project_id = var.project_id
      host       = var.host
    }
  }
}

resource "google_monitoring_alert_policy" "unreachable" {
  project               = var.project_id
  display_name          = "Export Service (${var.name_prefix}${var.environment}): unreachable"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = [for channel in google_monitoring_notification_channel.email : channel.name]

  conditions {
    display_name = "/health fails from two regions or more."

    condition_threshold {
      filter          = "resource.type=\"uptime_url\" AND metric.type=\"monitoring.googleapis.com/uptime_check/check_passed\" AND metric.label.check_id=\"${google_monitoring_uptime_check_config.health.uptime_check_id}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 1
      duration        = "120s"

      aggregations {
        alignment_period     = "120s"
        per_series_aligner   = "ALIGN_NEXT_OLDER"
        cross_series_reducer = "REDUCE_COUNT_FALSE"
        group_by_fields      = ["resource.label.host"]
      }

      trigger {
        count = 1
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "/health fails from two regions or more. What to do: docs/OPERATIONS.md, \"unreachable\"."
  }
}

resource "google_monitoring_dashboard" "this" {
  project = var.project_id
  dashboard_json = jsonencode({
    displayName = "Export Service (${var.name_prefix}${var.environment})"
    mosaicLayout = {
      columns = 12
      tiles = [
        # the API leaves zeros out of what it returns, so they would differ from it forever
        for i, chart in local.charts : merge(
          i % 2 == 0 ? {} : { xPos = 6 },
          i < 2 ? {} : { yPos = floor(i / 2) * 4 },
          { width = 6, height = 4, widget = {
            title = chart.title
            xyChart = {
              dataSets = [{
                plotType = "LINE"
                timeSeriesQuery = {
                  timeSeriesFilter = {
                    filter = chart.filter
                    aggregation = {
                      alignmentPeriod    = "300s"
                      perSeriesAligner   = chart.aligner
                      crossSeriesReducer = chart.reducer
                      groupByFields      = chart.by
                    }
                  }
                }
              }]
            }
          } }
        )
      ]
    }
  })
}

output "dashboard" {
  description = "The dashboard's resource name."
  value       = google_monitoring_dashboard.this.id
}
