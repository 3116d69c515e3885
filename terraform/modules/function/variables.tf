variable "project_id" {
  description = "The project."
  type        = string
}

variable "region" {
  description = "The function's region."
  type        = string
}

variable "name" {
  description = "The name of the function, and of its service after the prefix."
  type        = string
}

variable "name_prefix" {
  description = "What the names of the service and of its account begin with."
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

variable "canary" {
  description = "The percentage of the traffic that the latest revision gets, and the revision that gets the rest, null if there is none yet; null if the latest gets all."
  type = object({
    percent  = number
    revision = string
  })
}

variable "memory" {
  description = "Memory of an instance."
  type        = string
}

variable "concurrency" {
  description = "Requests that an instance handles at once."
  type        = number
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
