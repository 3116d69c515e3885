variable "project_id" {
  description = "The Google Cloud project with database, buckets and job."
  type        = string
}

variable "aws_account_id" {
  description = "The AWS account."
  type        = string
}

variable "packages" {
  description = "The folder with <function>.zip, as `scripts/package lambda` writes them."
  type        = string
}

variable "functions" {
  description = "The functions: environment and Google service account of each."
  type = map(object({
    env             = map(string)
    service_account = string
  }))
}

variable "max_concurrency" {
  description = "Maximum concurrent executions of one function."
  type        = number
  default     = 10
}
