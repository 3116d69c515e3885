# An example: the six functions on Lambda, with the same binaries, for a project that is already deployed on Google
# Cloud. The rewrites of the site still point to Cloud Run.

terraform {
  required_version = ">= 1.9, < 2.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "6.69.1"
    }
    google = {
      source  = "hashicorp/google"
      version = "8.7.0"
    }
  }
}

provider "google" {
  project = var.project_id
}

provider "aws" {
  region = var.aws_region

  default_tags {
    tags = { service = "export" }
  }
}

variable "project_id" {
  description = "The Google Cloud project."
  type        = string
}

variable "google_region" {
  description = "The region of the export job."
  type        = string
  default     = "us-central1"
}

variable "seal_hub_tokens" {
  description = "Whether Hub tokens are sealed with the key of the deployment on Google Cloud, as its setting of this name says."
  type        = bool
  default     = true
}

variable "aws_region" {
  description = "The region of the functions."
  type        = string
  default     = "us-east-1"
}

variable "packages" {
  description = "The folder with the functions' zips."
  type        = string
  default     = "../../../target/lambda/arm64"
}

data "aws_caller_identity" "this" {}

locals {
  database = {
    PROJECT_ID   = var.project_id
    FIRESTORE_DB = "(default)"
    RUST_LOG     = "info,firestore=warn,hf_hub::retry=off,hyper=warn"
    # the settings of workload identity federation, which `scripts/package lambda` puts into every zip
    GOOGLE_APPLICATION_CREDENTIALS = "/var/task/google.json"
  }

  token_key = var.seal_hub_tokens ? {
    HF_TOKEN_KEY = "projects/${var.project_id}/locations/${var.google_region}/keyRings/export-service/cryptoKeys/hub-tokens"
  } : {}

  env = {
    health = { PROJECT_ID = var.project_id, RUST_LOG = local.database.RUST_LOG }
    list   = local.database
    create = merge(local.database, local.token_key, {
      REGION              = var.google_region
      EXPORT_JOB_NAME     = "export-job"
      MAX_RUNNING_EXPORTS = "3"
      MAX_DAILY_EXPORTS   = "50"

      EXPORT_RETENTION_DAYS = "365"
    })
    cancel = merge(local.database, {
      REGION          = var.google_region
      EXPORT_JOB_NAME = "export-job"
    })
    plan = merge(local.database, {
      GCS_EXPORT_BUCKET_NAME       = "${var.project_id}-export-models"
      GCS_EXPORT_FILES_BUCKET_NAME = "${var.project_id}-export-files"
      JOB_CPU                      = "4"
      JOB_MEMORY                   = "4Gi"
      JOB_TIMEOUT                  = "21600"
      VERIFY_LOGITS                = "120"
    })
    get = merge(local.database, {
      GCS_EXPORT_FILES_BUCKET_NAME = "${var.project_id}-export-files"
    })
  }
}

module "functions" {
  source = "../../modules/aws-lambda"

  project_id     = var.project_id
  aws_account_id = data.aws_caller_identity.this.account_id
  packages       = var.packages
  functions = {
    for name, env in local.env : name => {
      env             = env
      service_account = "export-${name}@${var.project_id}.iam.gserviceaccount.com"
    }
  }
}

output "urls" {
  description = "The functions' URLs."
  value       = module.functions.urls
}
