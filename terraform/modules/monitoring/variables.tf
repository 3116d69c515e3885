variable "project_id" {
  description = "The project."
  type        = string
}

variable "project_number" {
  description = "The project's number."
  type        = string
}

variable "budget" {
  description = "The billing account and the monthly amount of a budget with notifications, or null for none."
  type = object({
    billing_account = string
    monthly_amount  = number
  })
}

variable "name_prefix" {
  description = "What the names of metrics begin with."
  type        = string
}

variable "environment" {
  description = "The name of this deployment in alerts."
  type        = string
}

variable "region" {
  description = "The region of functions and job."
  type        = string
}

variable "functions" {
  description = "The name of each function's service, by function."
  type        = map(string)
}

variable "job_name" {
  description = "The export job's name."
  type        = string
}

variable "host" {
  description = "The host of the uptime check on /health."
  type        = string
}

variable "emails" {
  description = "E-mail addresses that are notified when an alert fires."
  type        = set(string)
}

variable "max_instances" {
  description = "Maximum instances of a function; an alert fires at 80 %."
  type        = number
}
