output "name" {
  description = "The job's name."
  value       = google_cloud_run_v2_job.this.name
}

output "service_account_email" {
  description = "Who it is."
  value       = google_service_account.this.email
}

output "service_account_member" {
  description = "Who it is, for IAM."
  value       = google_service_account.this.member
}
