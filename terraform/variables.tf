variable "project_id" {
  description = "The Google Cloud and Firebase project."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "A project id has 6 to 30 lowercase letters, digits and hyphens, and begins with a letter."
  }
}

variable "environment" {
  description = "The name of this deployment in labels and alerts, such as staging or production."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}$", var.environment))
    error_message = "An environment's name has lowercase letters, digits and hyphens."
  }
}

variable "region" {
  description = "The region of functions, job, registry and buckets. Firebase Hosting rewrites to some regions only."
  type        = string
  default     = "us-central1"

  validation {
    condition = contains([
      "us-central1", "us-east1", "us-east4", "us-west1", "europe-west1", "europe-west2", "europe-west3",
      "asia-east1", "asia-northeast1", "asia-southeast1", "australia-southeast1",
    ], var.region)
    error_message = "region must support both Cloud Run and Firebase Hosting rewrites."
  }
}

variable "images" {
  description = "The image of each function (health, list, create, get, cancel, plan) and of the job (export-job), by digest. scripts/push-images writes them."
  type        = map(string)

  validation {
    condition     = toset(keys(var.images)) == toset(["health", "list", "create", "get", "cancel", "plan", "export-job"])
    error_message = "There must be an image for each of health, list, create, get, cancel, plan and export-job, and no other."
  }

  validation {
    condition     = alltrue([for image in values(var.images) : can(regex("@sha256:[0-9a-f]{64}$", image))])
    error_message = "Images must be named by digest (…@sha256:<64 hex digits>), so that the tested image is the one that runs."
  }
}

variable "canary" {
  description = "The percentage of the traffic that new revisions get, 0 until their test has passed, and their version; the revisions that get the rest, and the images from before. scripts/release-file writes it."
  type = object({
    percent   = number
    version   = optional(string)
    revisions = map(string)
    images    = map(string)
  })
  default = null

  validation {
    condition     = var.canary == null || try(var.canary.percent >= 0 && var.canary.percent < 100, false)
    error_message = "A canary has 0 to 99 percent of the traffic."
  }
}

variable "name_prefix" {
  description = "What names in the project begin with, such as `exports-`, if names like `list` and `get` are taken. It ends with a hyphen, and cannot be changed later."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([a-z][a-z0-9-]{0,8}-)?$", var.name_prefix))
    error_message = "name_prefix has at most 10 lowercase letters, digits and hyphens, begins with a letter and ends with a hyphen."
  }

  # https://cloud.google.com/iam/docs/reference/rest/v1/projects.locations.workloadIdentityPools/create
  validation {
    condition     = !startswith(var.name_prefix, "gcp-")
    error_message = "Google reserves ids of workload identity pools that begin with gcp-: choose another name_prefix."
  }
}

variable "deletion_protection" {
  description = "Whether functions, job, registry and database are protected from terraform destroy, and buckets keep their objects."
  type        = bool
  default     = true
}

variable "rust_log" {
  description = "RUST_LOG of functions and job."
  type        = string
  default     = "info,firestore=warn,hf_hub::retry=off,hyper=warn"
}

# Functions

variable "min_instances" {
  description = "Minimum instances, by function. Functions start in about 10 ms, so none is needed."
  type        = map(number)
  default     = {}
}

variable "max_instances" {
  description = "Maximum instances of one function. It limits the cost of a flood of requests."
  type        = number
  default     = 10
}

variable "max_running_exports" {
  description = "How many exports of one caller may run at the same time; 0 for no limit."
  type        = number
  default     = 3
}

variable "max_daily_exports" {
  description = "How many exports one caller may start within 24 hours; 0 for no limit."
  type        = number
  default     = 50
}

# Job

variable "job_cpu" {
  description = "CPUs of the export job: 1, 2, 4 or 8. Quantization uses all of them."
  type        = number
  default     = 4

  validation {
    condition     = contains([1, 2, 4, 8], var.job_cpu)
    error_message = "job_cpu must be 1, 2, 4 or 8."
  }
}

variable "job_memory" {
  description = "Memory of the export job, in Gi. The work takes up to 1Gi, whatever the size of the model; weights that fit into the rest are read once (docs/OPERATIONS.md). 4 CPUs need at least 2Gi."
  type        = string
  default     = "4Gi"
}

variable "job_timeout" {
  description = "Time limit of one attempt of the export job, in seconds. Quotas of the Hub are waited for until a minute before."
  type        = number
  default     = 6 * 3600

  validation {
    condition     = var.job_timeout > 0 && var.job_timeout <= 7 * 24 * 3600
    error_message = "Cloud Run jobs run 7 days at most."
  }
}

variable "base_models_uri" {
  description = "A bucket or folder (gs://…) with base models as <owner>/<name>/, used before the Hub, or empty."
  type        = string
  default     = ""

  validation {
    condition     = var.base_models_uri == "" || startswith(var.base_models_uri, "gs://")
    error_message = "base_models_uri begins with gs://, or is empty."
  }

  validation {
    condition     = !startswith(var.base_models_uri, "gs://example-")
    error_message = "base_models_uri names a placeholder (gs://example-…): name a bucket with base models, or leave it empty."
  }
}

variable "seal_hub_tokens" {
  description = "Whether Hub tokens are encrypted with a key of Cloud KMS on their way to the job (HF_TOKEN_KEY). Without it everyone who may see executions can read them. If it is switched off later, Terraform plans to destroy the key and its ring, and only forgets them. Each version of the key costs 0.06 USD a month, and 10,000 operations 0.03 USD."
  type        = bool
  default     = true
}

variable "verify_logits" {
  description = "The longest time in seconds for which the job compares the predictions of an export with those of its base and adapter, and measures what is left of the fine-tune. It reads both models once. 0: never."
  type        = number
  default     = 120

  validation {
    condition     = var.verify_logits >= 0 && floor(var.verify_logits) == var.verify_logits
    error_message = "verify_logits is a whole number of seconds."
  }
}

variable "adapter_buckets" {
  description = "Buckets of the Training Service with adapters, which the job may read. Whoever deploys needs storage.buckets.setIamPolicy on them."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for bucket in var.adapter_buckets : !startswith(bucket, "example-")])
    error_message = "adapter_buckets names a placeholder (example-…): name the Training Service's buckets."
  }
}

# Data

variable "firestore_database" {
  description = "The database's id."
  type        = string
  default     = "(default)"
}

variable "firestore_location" {
  description = "Location of a new database. It cannot be changed later."
  type        = string
  default     = "nam5"
}

variable "create_database" {
  description = "Whether to create the database. False if the database of the Training Service exists."
  type        = bool
  default     = true
}

variable "manage_rules" {
  description = "Whether `make deploy` releases the database's security rules. A database has one set of rules: false if another repository releases them."
  type        = bool
  default     = true
}

variable "file_retention_days" {
  description = "Days until files for download are deleted. A later export writes them again from the raw models."
  type        = number
  default     = 30
}

variable "raw_retention_days" {
  description = "Days until merged raw models are deleted, or 0 to keep them. A later export writes them again from the adapters."
  type        = number
  default     = 90
}

variable "export_retention_days" {
  description = "Days after the end of an export until its record is deleted, or 0 to keep it. A change applies to new exports."
  type        = number
  default     = 365

  validation {
    condition     = var.export_retention_days >= 0 && var.export_retention_days <= 65535 && floor(var.export_retention_days) == var.export_retention_days
    error_message = "export_retention_days must be a number of days from 1 to 65535, or 0 to keep the records."
  }
}

variable "kms_key_name" {
  description = "The customer-managed key of buckets and registry, in `region`, or empty for Google's. Whoever deploys needs roles/cloudkms.admin on it. A registry cannot change its key: another one replaces it, without its images, and is refused with deletion_protection."
  type        = string
  default     = ""

  validation {
    condition     = var.kms_key_name == "" || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key_name))
    error_message = "kms_key_name must be projects/…/locations/…/keyRings/…/cryptoKeys/…, or empty."
  }
}

variable "firestore_kms_key_name" {
  description = "The customer-managed key of a new database, in its location (`us` for nam5, `europe` for eur3), or empty for Google's. A database cannot change its key."
  type        = string
  default     = ""

  validation {
    condition     = var.firestore_kms_key_name == "" || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.firestore_kms_key_name))
    error_message = "firestore_kms_key_name must be projects/…/locations/…/keyRings/…/cryptoKeys/…, or empty."
  }
}

# Hosting and sign-in

variable "create_firebase_project" {
  description = "Whether to add Firebase to the project. False if it is already added."
  type        = bool
  default     = true
}

variable "hosting_site_id" {
  description = "The Hosting site, <id>.web.app; if empty, the project's default site, which has the project's id. A deployment replaces what the site serves, so each deployment in a project needs a site of its own."
  type        = string
  default     = ""
}

variable "hosting_release" {
  description = "What releases the site: cli (firebase deploy, with the pages) or terraform (the rewrites and headers only, no pages). Each would overwrite the other's release."
  type        = string
  default     = "cli"

  validation {
    condition     = contains(["cli", "terraform"], var.hosting_release)
    error_message = "hosting_release must be cli or terraform."
  }
}

variable "manage_auth" {
  description = "Whether to set up sign-in with e-mail and password. False if the project already has users."
  type        = bool
  default     = false
}

variable "app_check" {
  description = "The Firebase web app that the page is, with the project's API key for browsers and the site key of reCAPTCHA Enterprise; null if requests need no App Check token. None is a secret: the page contains them."
  type = object({
    app_id   = string
    api_key  = string
    site_key = string
  })
  default = null

  validation {
    condition     = var.app_check == null || can(regex("^1:[0-9]+:web:[0-9a-f]+$", var.app_check.app_id))
    error_message = "app_check.app_id must be the id of a web app, such as 1:123456789012:web:0123456789abcdef: `firebase apps:list web`."
  }
}

variable "hub_client_id" {
  description = "The client id of the public OAuth app by which the page signs in on the Hugging Face Hub; null if it only takes access tokens. It is not a secret: the page contains it."
  type        = string
  default     = null

  validation {
    condition     = var.hub_client_id == null || can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.hub_client_id))
    error_message = "hub_client_id must be the client id of an OAuth app, such as 01234567-89ab-cdef-0123-456789abcdef: the app's page in the settings on the Hub has it. It is not the app's secret."
  }
}

# Operations

variable "alert_emails" {
  description = "E-mail addresses that are notified when an alert fires."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for email in var.alert_emails : !endswith(email, "@example.com")])
    error_message = "alert_emails names a placeholder (…@example.com): name addresses that are read."
  }
}

variable "budget" {
  description = "The billing account of the project and the monthly amount, in its currency, of a budget with notifications; null for none. Whoever deploys needs roles/billing.costsManager on the billing account."
  type = object({
    billing_account = string
    monthly_amount  = number
  })
  default = null

  validation {
    condition     = var.budget == null || can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.budget.billing_account))
    error_message = "budget.billing_account must be the id that `gcloud billing accounts list` prints, such as 01AB23-45CD67-89EF01."
  }

  validation {
    condition     = var.budget == null || try(var.budget.monthly_amount > 0 && floor(var.budget.monthly_amount) == var.budget.monthly_amount, false)
    error_message = "budget.monthly_amount must be a whole number above 0."
  }
}

variable "github_repository" {
  description = "owner/name of the repository whose workflow may deploy, or empty for none."
  type        = string
  default     = ""

  validation {
    condition     = var.github_repository == "" || can(regex("^[\\w.-]+/[\\w.-]+$", var.github_repository))
    error_message = "github_repository must be owner/name, or empty."
  }

  validation {
    condition     = !startswith(var.github_repository, "example/")
    error_message = "github_repository names a placeholder (example/…): name your repository, or leave it empty."
  }
}

variable "github_repository_id" {
  description = "The numeric id of github_repository, which stays when it is renamed: `gh api repos/OWNER/NAME --jq .id`."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^[0-9]+$", var.github_repository_id)) || var.github_repository == ""
    error_message = "github_repository_id must be the number that `gh api repos/OWNER/NAME --jq .id` prints."
  }
}

variable "github_owner_id" {
  description = "The numeric id of the owner of github_repository: `gh api repos/OWNER/NAME --jq .owner.id`."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^[0-9]+$", var.github_owner_id)) || var.github_repository == ""
    error_message = "github_owner_id must be the number that `gh api repos/OWNER/NAME --jq .owner.id` prints."
  }
}
