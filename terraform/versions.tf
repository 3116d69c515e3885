terraform {
  required_version = ">= 1.9, < 2.0"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "8.7.0"
    }
    google-beta = {
      source  = "hashicorp/google-beta"
      version = "8.7.0"
    }
  }

  # scripts/cloud creates the bucket, one per project, and names it at init.
  backend "gcs" {
    prefix = "export-service"
  }
}

# Identity Platform, Firebase and billing budgets reject a person's credentials without a quota project. Terraform
# ignores that of the application-default credentials.
provider "google" {
  project               = var.project_id
  region                = var.region
  default_labels        = local.labels
  billing_project       = var.project_id
  user_project_override = true
}

provider "google-beta" {
  project               = var.project_id
  region                = var.region
  default_labels        = local.labels
  billing_project       = var.project_id
  user_project_override = true
}
