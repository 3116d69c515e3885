# Alerts on quotas of the APIs that functions and job call: one was exceeded, or more than 80 % of one is used. A condition in
# PromQL must be the only one of its alert.

locals {
  quotas = "monitored_resource=\"consumer_quota\", service=~\"(run|firestore|iamcredentials|cloudkms)\\\\.googleapis\\\\.com\""

  quota_use = {
    "held"     = "max by (quota_metric, location) (max_over_time(serviceruntime_googleapis_com:quota_allocation_usage{${local.quotas}}[10m]))"
    "a minute" = "sum by (quota_metric, location) (increase(serviceruntime_googleapis_com:quota_rate_net_usage{${local.quotas}}[1m]))"
  }
}

resource "google_monitoring_alert_policy" "quota_exceeded" {
  project               = var.project_id
  display_name          = "Export Service (${var.name_prefix}${var.environment}): quota-use (exceeded)"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = [for channel in google_monitoring_notification_channel.email : channel.name]

  conditions {
    display_name = "A quota was exceeded."

    condition_threshold {
      filter          = "resource.type=\"consumer_quota\" AND metric.type=\"serviceruntime.googleapis.com/quota/exceeded\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_COUNT_TRUE"
        cross_series_reducer = "REDUCE_SUM"
        group_by_fields      = ["metric.label.quota_metric", "resource.label.location"]
      }

      trigger {
        count = 1
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "A quota was exceeded. What to do: docs/OPERATIONS.md, \"quota-use\"."
  }

  alert_strategy {
    auto_close = "${24 * 3600}s"
  }
}

# Limits are sampled once a day. A quota without a limit has the limit -1.
resource "google_monitoring_alert_policy" "quota_use" {
  for_each = local.quota_use

  project               = var.project_id
  display_name          = "Export Service (${var.name_prefix}${var.environment}): quota-use (${each.key})"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = [for channel in google_monitoring_notification_channel.email : channel.name]

  conditions {
    display_name = "More than 80 % of a quota (${each.key}) is used."

    condition_prometheus_query_language {
      query               = "${each.value} / on (quota_metric, location) (min by (quota_metric, location) (last_over_time(serviceruntime_googleapis_com:quota_limit{${local.quotas}}[25h])) > 0) > 0.8"
      duration            = "300s"
      evaluation_interval = "60s"
      # a new project has no data of these metrics
      disable_metric_validation = true
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "A quota is nearly used up. What to do: docs/OPERATIONS.md, \"quota-use\"."
  }

  alert_strategy {
    auto_close = "${24 * 3600}s"
  }
}
