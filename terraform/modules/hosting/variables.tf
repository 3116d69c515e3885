variable "project_id" {
  description = "The project."
  type        = string
}

variable "region" {
  description = "The region of the functions."
  type        = string
}

variable "name_prefix" {
  description = "What the names of the functions' services begin with."
  type        = string
}

variable "site_id" {
  description = "The site, <id>.web.app."
  type        = string
}

variable "create_firebase_project" {
  description = "Whether to add Firebase to the project."
  type        = bool
}

variable "release" {
  description = "Whether to release rewrites and headers."
  type        = bool
}

variable "rewrites" {
  description = "The rewrites of hosting/firebase.json."
  type = list(object({
    source = string
    run    = object({ serviceId = string, region = string })
  }))
}

variable "headers" {
  description = "The headers of hosting/firebase.json."
  type = list(object({
    source  = string
    headers = list(object({ key = string, value = string }))
  }))
}
