# A monthly budget of the project. It limits nothing: it notifies at 50, 90 and 100 %, and when the forecast exceeds it.

resource "google_billing_budget" "this" {
  count = var.budget == null ? 0 : 1

  billing_account = var.budget.billing_account
  display_name    = "Export Service (${var.name_prefix}${var.environment})"

  budget_filter {
    projects = ["projects/${var.project_number}"]
  }

  amount {
    specified_amount {
      # in the currency of the billing account
      units = tostring(var.budget.monthly_amount)
    }
  }

  dynamic "threshold_rules" {
    for_each = [0.5, 0.9, 1]

    content {
      threshold_percent = threshold_rules.value
    }
  }

  threshold_rules {
    threshold_percent = 1
    spend_basis       = "FORECASTED_SPEND"
  }

  # without channels, the administrators of the billing account are notified
  dynamic "all_updates_rule" {
    for_each = length(var.emails) == 0 ? [] : [1]

    content {
      # at most 5
      monitoring_notification_channels = slice([for channel in google_monitoring_notification_channel.email : channel.name], 0, min(5, length(var.emails)))
    }
  }
}
