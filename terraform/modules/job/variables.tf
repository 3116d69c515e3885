variable "project_id" {
  description = "The project."
  type        = string
}

variable "region" {
  description = "The job's region."
  type        = string
}

variable "name" {
  description = "The job's name, after the prefix."
  type        = string
}

variable "name_prefix" {
  description = "What the names of the job, of its account and of its role begin with."
  type        = string
}

variable "image" {
  description = "The image, by digest."
  type        = string
}

variable "cpu" {
  description = "CPUs."
  type        = number
}

variable "memory" {
  description = "Memory."
  type        = string
}

variable "timeout_seconds" {
  description = "Time limit of one attempt, in seconds."
  type        = number
}

variable "env" {
  description = "Environment variables. Each execution adds EXPORT_ID and, if given, HF_TOKEN."
  type        = map(string)
}

variable "launchers" {
  description = "IAM members that may start it with additional environment variables, by name."
  type        = map(string)
}

variable "cancelers" {
  description = "IAM members that may cancel its executions, by name."
  type        = map(string)
}

variable "deletion_protection" {
  description = "Whether it is protected from terraform destroy."
  type        = bool
}
