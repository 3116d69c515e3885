variable "project_id" {
  description = "The project."
  type        = string
}

variable "environment" {
  description = "What this deployment is called in alerts."
  type        = string
}

variable "region" {
  description = "Where functions and job run."
  type        = string
}

variable "functions" {
  description = "The functions' service names."
  type        = list(string)
}

variable "job_name" {
  description = "The export job's name."
  type        = string
}

variable "host" {
  description = "The host whose /health is asked from outside."
  type        = string
}

variable "emails" {
  description = "Who is told when an alert fires."
  type        = set(string)
}

variable "max_instances" {
  description = "The most instances of a function: an alert fires before it is reached."
  type        = number
}
