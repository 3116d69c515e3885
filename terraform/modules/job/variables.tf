variable "project_id" {
  description = "The project."
  type        = string
}

variable "region" {
  description = "Where it runs."
  type        = string
}

variable "name" {
  description = "The job's name."
  type        = string
}

variable "image" {
  description = "Its image, by digest."
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
  description = "Longest run of one attempt."
  type        = number
}

variable "env" {
  description = "Its environment. EXPORT_ID and HF_TOKEN come with each execution."
  type        = map(string)
}

variable "launchers" {
  description = "Who may start it with an environment of their own, by name."
  type        = map(string)
}

variable "deletion_protection" {
  description = "Whether it withstands terraform destroy."
  type        = bool
}
