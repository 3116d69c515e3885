# Service level objectives over 30 days, and alerts on the rate at which their error budgets are used.

locals {
  # Failures with these codes are faults of the service or of what it depends on.
  faults = ["internal", "interrupted", "timeout"]

  ended = "${local.in_job} AND metric.type=\"logging.googleapis.com/user/${google_logging_metric.this["exports_ended"].name}\""

  objectives = {
    availability = {
      title = "Requests without a 5xx response"
      goal  = 0.995
      total = "${local.in_functions} AND metric.type=\"run.googleapis.com/request_count\""
      bad   = "${local.in_functions} AND metric.type=\"run.googleapis.com/request_count\" AND metric.label.response_code_class=\"5xx\""
    }
    exports = {
      title = "Exports that end without a fault of the service"
      goal  = 0.99
      total = local.ended
      bad   = "${local.ended} AND metric.label.failure_code=one_of(${join(", ", [for code in local.faults : "\"${code}\""])})"
    }
    start = {
      title   = "Exports whose job starts within 2 minutes of the request"
      goal    = 0.95
      values  = "${local.in_job} AND metric.type=\"logging.googleapis.com/user/${google_logging_metric.this["exports_started"].name}\""
      seconds = 120
    }
  }

  # At the rate 14.4, 2 % of a budget of 30 days are used in an hour; at 6, 5 % in 6 hours. The short window ends the
  # alert soon after its cause. https://sre.google/workbook/alerting-on-slos/
  burn_rates = {
    fast = { rate = 14.4, windows = ["3600s", "300s"], severity = "CRITICAL" }
    slow = { rate = 6, windows = ["21600s", "1800s"], severity = "WARNING" }
  }

  burns = merge([
    for objective, settings in local.objectives : {
      for speed, burn in local.burn_rates : "${objective}-${speed}" => merge(burn, {
        objective = objective
        title     = settings.title
      })
    }
  ]...)
}

resource "google_monitoring_custom_service" "this" {
  project      = var.project_id
  service_id   = "${var.name_prefix}export-service"
  display_name = "Export Service (${var.name_prefix}${var.environment})"
}

resource "google_monitoring_slo" "this" {
  for_each = local.objectives

  project             = var.project_id
  service             = google_monitoring_custom_service.this.service_id
  slo_id              = each.key
  display_name        = each.value.title
  goal                = each.value.goal
  rolling_period_days = 30

  request_based_sli {
    dynamic "good_total_ratio" {
      for_each = contains(keys(each.value), "bad") ? [each.value] : []

      content {
        total_service_filter = good_total_ratio.value.total
        bad_service_filter   = good_total_ratio.value.bad
      }
    }

    dynamic "distribution_cut" {
      for_each = contains(keys(each.value), "values") ? [each.value] : []

      content {
        distribution_filter = distribution_cut.value.values

        range {
          max = distribution_cut.value.seconds
        }
      }
    }
  }
}

resource "google_monitoring_alert_policy" "burn" {
  for_each = local.burns

  project               = var.project_id
  display_name          = "Export Service (${var.name_prefix}${var.environment}): slo-${each.key}"
  combiner              = "AND"
  severity              = each.value.severity
  notification_channels = [for channel in google_monitoring_notification_channel.email : channel.name]

  dynamic "conditions" {
    for_each = each.value.windows

    content {
      display_name = "${each.value.title}: the error budget is used ${each.value.rate} times too fast (${conditions.value})"

      condition_threshold {
        filter          = "select_slo_burn_rate(\"${google_monitoring_slo.this[each.value.objective].name}\", \"${conditions.value}\")"
        comparison      = "COMPARISON_GT"
        threshold_value = each.value.rate
        duration        = "0s"

        trigger {
          count = 1
        }
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "${each.value.title}: the error budget is used too fast. What to do: docs/OPERATIONS.md, \"slo-${each.value.objective}\"."
  }

  alert_strategy {
    auto_close = "${24 * 3600}s"
  }
}
