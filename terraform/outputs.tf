output "url" {
  description = "Where the service answers."
  value       = "https://${local.site_id}.web.app"
}

output "function_urls" {
  description = "The functions' own URLs, behind Hosting."
  value       = { for name, function in module.function : name => function.uri }
}

output "service_accounts" {
  description = "Who each function and the job are."
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

output "site_id" {
  description = "The Hosting site, for firebase deploy."
  value       = local.site_id
}

output "dashboard" {
  description = "The dashboard's resource name."
  value       = module.monitoring.dashboard
}

output "github" {
  description = "What the deploying workflow needs: variables of its environment, not secrets."
  value = length(module.github_deployer) == 0 ? null : {
    workload_identity_provider = module.github_deployer[0].provider
    service_account            = module.github_deployer[0].service_account_email
  }
}
