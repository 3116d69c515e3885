output "name" {
  description = "The job's name."
  value       = google_cloud_run_v2_job.this.name
}

output "service_account_email" {
  description = "The service account's e-mail address."
  value       = google_service_account.this.email
}

output "service_account_member" {
  description = "The service account as an IAM member."
  value       = google_service_account.this.member
}
