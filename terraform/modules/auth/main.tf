# Sign-in by e-mail, with a password or with a link, for a project that has no users yet.

variable "project_id" {
  description = "The project."
  type        = string
}

variable "authorized_domains" {
  description = "Domains that may have sign-in pages."
  type        = list(string)
}

resource "google_identity_platform_config" "this" {
  project            = var.project_id
  authorized_domains = var.authorized_domains

  sign_in {
    email {
      enabled           = true
      password_required = false
    }
  }
}
