variable "project_id" {
  description = "The Google Cloud project with database, buckets and job."
  type        = string
}

variable "aws_account_id" {
  description = "The AWS account."
  type        = string
}

variable "packages" {
  description = "The folder with <function>.zip, as `scripts/package lambda` makes them."
  type        = string
}

variable "functions" {
  description = "The functions: their environment, and the Google account each becomes."
  type = map(object({
    env             = map(string)
    service_account = string
  }))
}

variable "max_concurrency" {
  description = "The most instances of one function."
  type        = number
  default     = 10
}
