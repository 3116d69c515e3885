output "name" {
  description = "The service's name."
  value       = google_cloud_run_v2_service.this.name
}

output "uri" {
  description = "Its own URL."
  value       = google_cloud_run_v2_service.this.uri
}

output "service_account_email" {
  description = "Who it is."
  value       = google_service_account.this.email
}

output "service_account_name" {
  description = "Its account, as a resource that roles are bound on."
  value       = google_service_account.this.name
}

output "service_account_member" {
  description = "Who it is, for IAM."
  value       = google_service_account.this.member
}
