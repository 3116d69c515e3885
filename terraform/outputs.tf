output "url" {
  description = "The URL of the service."
  value       = "https://${module.hosting.host}"
}

output "function_urls" {
  description = "The functions' own URLs, behind Hosting."
  value       = { for name, function in module.function : name => function.uri }
}

output "service_accounts" {
  description = "The e-mail addresses of the service accounts of functions and job."
  value = merge(
    { for name, function in module.function : name => function.service_account_email },
    { (local.job_name) = module.job.service_account_email },
  )
}

output "registry" {
  description = "Where images are pushed to."
  value       = module.registry.url
}

output "buckets" {
  description = "The bucket of raw models and the one of files for download."
  value       = { for name, bucket in module.bucket : name => bucket.name }
}

output "job" {
  description = "The export job."
  value       = module.job.name
}

output "firebase" {
  description = "What the Firebase CLI deploys, and where to."
  value = {
    only          = concat(var.hosting_release == "cli" ? ["hosting"] : [], var.manage_rules ? ["firestore"] : [])
    site          = module.hosting.site_id
    database      = var.firestore_database
    region        = var.region
    name_prefix   = var.name_prefix
    hub_client_id = var.hub_client_id
    app_check     = var.app_check == null ? null : merge(var.app_check, { project_number = data.google_project.this.number })
  }
}

output "release" {
  description = "The images, and how much of the traffic they have. scripts/release-file derives the next release from it."
  value       = terraform_data.release.output
}

output "dashboard" {
  description = "The dashboard's resource name."
  value       = module.monitoring.dashboard
}

output "github" {
  description = "Variables of the environments of the deploying workflow; none is a secret."
  value = length(module.github_deployer) == 0 ? null : {
    workload_identity_provider = module.github_deployer[0].provider
    service_account            = module.github_deployer[0].service_account_email
  }
}
