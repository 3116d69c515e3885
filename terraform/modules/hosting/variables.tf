variable "project_id" {
  description = "The project."
  type        = string
}

variable "region" {
  description = "Where the functions are."
  type        = string
}

variable "site_id" {
  description = "The site, <id>.web.app."
  type        = string
}

variable "create_firebase_project" {
  description = "Whether Firebase is added to the project here."
  type        = bool
}

variable "release" {
  description = "Whether rewrites and headers are released from here."
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
