output "database" {
  description = "The database's id."
  value       = local.database
}
