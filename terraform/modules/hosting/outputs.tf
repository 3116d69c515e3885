output "site_id" {
  description = "The site."
  value       = google_firebase_hosting_site.this.site_id
}

output "host" {
  description = "The host of the site, without a scheme."
  value       = trimprefix(google_firebase_hosting_site.this.default_url, "https://")
}
