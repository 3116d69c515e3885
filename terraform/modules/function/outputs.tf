output "name" {
  description = "The service's name."
  value       = google_cloud_run_v2_service.this.name
}

output "uri" {
  description = "The service's URL."
  value       = google_cloud_run_v2_service.this.uri
}

output "service_account_email" {
  description = "The service account's e-mail address."
  value       = google_service_account.this.email
}

output "service_account_name" {
  description = "The service account's resource name, for bindings on it."
  value       = google_service_account.this.name
}

output "service_account_member" {
  description = "The service account as an IAM member."
  value       = google_service_account.this.member
}
