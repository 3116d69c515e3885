# The same binaries as Lambda functions, with the data on Google Cloud. AWS identifies a function by its role, and
# workload identity federation maps the role to the function's Google service account. No key leaves either cloud.

locals {
  role_names = { for name in keys(var.functions) : name => "export-${name}" }
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "this" {
  for_each = var.functions

  name               = local.role_names[each.key]
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_cloudwatch_log_group" "this" {
  for_each = var.functions

  name              = "/aws/lambda/export-${each.key}"
  retention_in_days = 30
}

data "aws_iam_policy_document" "logs" {
  for_each = var.functions

  statement {
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this[each.key].arn}:*"]
  }
}

resource "aws_iam_role_policy" "logs" {
  for_each = var.functions

  name   = "logs"
  role   = aws_iam_role.this[each.key].id
  policy = data.aws_iam_policy_document.logs[each.key].json
}

resource "aws_lambda_function" "this" {
  for_each = var.functions

  function_name                  = "export-${each.key}"
  role                           = aws_iam_role.this[each.key].arn
  runtime                        = "provided.al2023"
  architectures                  = ["arm64"]
  handler                        = "bootstrap"
  filename                       = "${var.packages}/${each.key}.zip"
  source_code_hash               = filebase64sha256("${var.packages}/${each.key}.zip")
  memory_size                    = 256
  timeout                        = 30
  reserved_concurrent_executions = var.max_concurrency

  environment {
    variables = each.value.env
  }

  depends_on = [aws_cloudwatch_log_group.this, aws_iam_role_policy.logs]
}

resource "aws_lambda_function_url" "this" {
  for_each = var.functions

  function_name      = aws_lambda_function.this[each.key].function_name
  authorization_type = "NONE" # callers are authenticated by their Firebase tokens
}

# A public function URL needs both permissions.
resource "aws_lambda_permission" "url" {
  for_each = var.functions

  statement_id           = "url"
  action                 = "lambda:InvokeFunctionUrl"
  function_name          = aws_lambda_function.this[each.key].function_name
  principal              = "*"
  function_url_auth_type = "NONE"
}

resource "aws_lambda_permission" "invoke" {
  for_each = var.functions

  statement_id             = "invoke"
  action                   = "lambda:InvokeFunction"
  function_name            = aws_lambda_function.this[each.key].function_name
  principal                = "*"
  invoked_via_function_url = true
}

# Google's side

resource "google_iam_workload_identity_pool" "this" {
  project                   = var.project_id
  workload_identity_pool_id = "export-aws"
  display_name              = "Export Service: Lambda"
}

resource "google_iam_workload_identity_pool_provider" "this" {
  project                            = var.project_id
  workload_identity_pool_id          = google_iam_workload_identity_pool.this.workload_identity_pool_id
  workload_identity_pool_provider_id = "lambda"
  attribute_condition                = "attribute.aws_role in [${join(", ", [for name in values(local.role_names) : "'${name}'"])}]"

  attribute_mapping = {
    "google.subject"     = "assertion.arn"
    "attribute.aws_role" = "assertion.arn.extract('assumed-role/{role}/')"
  }

  aws {
    account_id = var.aws_account_id
  }
}

# Each function uses its service account of Cloud Run, with the same roles.
resource "google_service_account_iam_member" "federated" {
  for_each = var.functions

  service_account_id = "projects/${var.project_id}/serviceAccounts/${each.value.service_account}"
  role               = "roles/iam.workloadIdentityUser"
  member             = "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.this.name}/attribute.aws_role/${local.role_names[each.key]}"
}
