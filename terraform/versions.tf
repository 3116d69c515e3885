terraform {
  required_version = ">= 1.9, < 2.0"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "6.50.0"
    }
    google-beta = {
      source  = "hashicorp/google-beta"
      version = "6.50.0"
    }
  }

  # scripts/cloud creates the bucket, one per project, and names it at init.
  backend "gcs" {
    prefix = "export-service"
  }
}

provider "google" {
  project        = var.project_id
  region         = var.region
  default_labels = local.labels
}

# Firebase's management APIs count against a project's quota, not against the caller's.
provider "google-beta" {
  project               = var.project_id
  region                = var.region
  default_labels        = local.labels
  billing_project       = var.project_id
  user_project_override = true
}
