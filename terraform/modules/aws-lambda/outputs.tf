output "urls" {
  description = "The functions' URLs."
  value       = { for name, url in aws_lambda_function_url.this : name => url.function_url }
}
