variable "project_id" {
  description = "The Google Cloud and Firebase project."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "A project id has 6 to 30 lowercase letters, digits and hyphens, and begins with a letter."
  }
}

variable "environment" {
  description = "What this deployment is called in labels and alerts: staging, production."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}$", var.environment))
    error_message = "An environment's name has lowercase letters, digits and hyphens."
  }
}

variable "region" {
  description = "Where functions, job, registry and buckets are. Firebase Hosting can rewrite to a few regions only."
  type        = string
  default     = "us-central1"

  validation {
    condition = contains([
      "us-central1", "us-east1", "us-east4", "us-west1", "europe-west1", "europe-west2", "europe-west3",
      "asia-east1", "asia-northeast1", "asia-southeast1", "australia-southeast1",
    ], var.region)
    error_message = "Take a region that has both Cloud Run and Firebase Hosting rewrites to it."
  }
}

variable "images" {
  description = "The image of each function (health, list, create, get) and of the job (export-job), by digest. scripts/push-images writes them."
  type        = map(string)

  validation {
    condition     = toset(keys(var.images)) == toset(["health", "list", "create", "get", "export-job"])
    error_message = "There must be an image for each of health, list, create, get and export-job, and no other."
  }

  validation {
    condition     = alltrue([for image in values(var.images) : can(regex("@sha256:[0-9a-f]{64}$", image))])
    error_message = "Images are named by digest (…@sha256:<64 hex digits>), so that what runs is what was tested."
  }
}

variable "deletion_protection" {
  description = "Whether functions, job and database withstand terraform destroy, and buckets keep their objects."
  type        = bool
  default     = true
}

variable "rust_log" {
  description = "RUST_LOG of functions and job."
  type        = string
  default     = "info,firestore=warn,hyper=warn"
}

# Functions

variable "min_instances" {
  description = "Instances of a function that are kept warm, by function. They start in about 10 ms, so none is needed."
  type        = map(number)
  default     = {}
}

variable "max_instances" {
  description = "The most instances of one function: what a flood of requests can cost."
  type        = number
  default     = 10
}

# Job

variable "job_cpu" {
  description = "CPUs of the export job: 1, 2, 4 or 8. Conversion to quantised GGUF is what uses them."
  type        = number
  default     = 4

  validation {
    condition     = contains([1, 2, 4, 8], var.job_cpu)
    error_message = "Take 1, 2, 4 or 8."
  }
}

variable "job_memory" {
  description = "Memory of the export job. It streams, so this does not grow with the model; 4 CPUs need 2Gi at least."
  type        = string
  default     = "4Gi"
}

variable "job_timeout" {
  description = "Longest run of one attempt of the export job, in seconds."
  type        = number
  default     = 6 * 3600

  validation {
    condition     = var.job_timeout > 0 && var.job_timeout <= 7 * 24 * 3600
    error_message = "Cloud Run jobs run 7 days at most."
  }
}

variable "base_models_uri" {
  description = "A bucket or folder (gs://…) laid out as <owner>/<name>/ that is tried for base models before the Hub, or empty."
  type        = string
  default     = ""

  validation {
    condition     = var.base_models_uri == "" || startswith(var.base_models_uri, "gs://")
    error_message = "It begins with gs://."
  }
}

variable "verify_logits" {
  description = "Whether the job compares the predictions of what it makes with those of base and adapter, which takes about as long as reading both models."
  type        = bool
  default     = false
}

variable "adapter_buckets" {
  description = "Buckets of the Training Service that hold adapters: the job may read them."
  type        = set(string)
  default     = []
}

# Data

variable "firestore_database" {
  description = "The database's id."
  type        = string
  default     = "(default)"
}

variable "firestore_location" {
  description = "Where a new database is. It can never be moved."
  type        = string
  default     = "nam5"
}

variable "create_database" {
  description = "Whether the database is made here. False when the Training Service's is there already."
  type        = bool
  default     = true
}

variable "manage_rules" {
  description = "Whether the database's security rules are released from here. A database has one set of rules: false when another repository has it."
  type        = bool
  default     = true
}

variable "file_retention_days" {
  description = "After how many days files for download are deleted. They can be made again from the raw models."
  type        = number
  default     = 30
}

variable "raw_retention_days" {
  description = "After how many days merged raw models are deleted, or 0 to keep them. They can be made again from the adapters."
  type        = number
  default     = 90
}

# Hosting and sign-in

variable "create_firebase_project" {
  description = "Whether Firebase is added to the project here. False when it has been."
  type        = bool
  default     = true
}

variable "hosting_site_id" {
  description = "The Hosting site, <id>.web.app. The project's default site has the project's id."
  type        = string
  default     = ""
}

variable "hosting_release" {
  description = "Who releases the site: cli (firebase deploy, with the pages) or terraform (the rewrites and headers only, no pages). They would undo each other."
  type        = string
  default     = "cli"

  validation {
    condition     = contains(["cli", "terraform"], var.hosting_release)
    error_message = "Take cli or terraform."
  }
}

variable "manage_auth" {
  description = "Whether sign-in with e-mail and password is set up here. False when the project has users already."
  type        = bool
  default     = false
}

# Operations

variable "alert_emails" {
  description = "Who is told when an alert fires."
  type        = set(string)
  default     = []
}

variable "github_repository" {
  description = "owner/name of the repository whose workflow may deploy, or empty for none."
  type        = string
  default     = ""

  validation {
    condition     = var.github_repository == "" || can(regex("^[\\w.-]+/[\\w.-]+$", var.github_repository))
    error_message = "It is owner/name."
  }
}
