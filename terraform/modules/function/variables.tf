variable "project_id" {
  description = "The project."
  type        = string
}

variable "region" {
  description = "Where it runs."
  type        = string
}

variable "name" {
  description = "The function, and its service's name."
  type        = string
}

variable "image" {
  description = "Its image, by digest."
  type        = string
}

variable "env" {
  description = "Its environment. No secrets: everybody who may see the service sees these."
  type        = map(string)
}

variable "public" {
  description = "Whether everybody may call it, as Firebase Hosting needs. It then tells callers by their tokens."
  type        = bool
}

variable "min_instances" {
  description = "Instances kept warm."
  type        = number
}

variable "max_instances" {
  description = "The most instances."
  type        = number
}

variable "deletion_protection" {
  description = "Whether it withstands terraform destroy."
  type        = bool
}
