variable "project_id" {
  description = "The project."
  type        = string
}

variable "region" {
  description = "The function's region."
  type        = string
}

variable "name" {
  description = "The name of the function and of its service."
  type        = string
}

variable "image" {
  description = "The image, by digest."
  type        = string
}

variable "env" {
  description = "Environment variables. No secrets: everybody who may view the service can read them."
  type        = map(string)
}

variable "public" {
  description = "Whether everybody may call it, as Firebase Hosting requires. Callers are then authenticated by their tokens."
  type        = bool
}

variable "min_instances" {
  description = "Minimum instances."
  type        = number
}

variable "max_instances" {
  description = "Maximum instances."
  type        = number
}

variable "deletion_protection" {
  description = "Whether it is protected from terraform destroy."
  type        = bool
}
