variable "project_id" {
  description = "The project."
  type        = string
}

variable "database" {
  description = "The database's id."
  type        = string
}

variable "location" {
  description = "Where a new database is."
  type        = string
}

variable "create_database" {
  description = "Whether the database is made here."
  type        = bool
}

variable "manage_rules" {
  description = "Whether security rules are released from here."
  type        = bool
}

variable "deletion_protection" {
  description = "Whether the database withstands terraform destroy, can be taken back to any minute of the last week, and is backed up daily."
  type        = bool
}

variable "readers" {
  description = "Who reads documents, by name."
  type        = map(string)
}

variable "creators" {
  description = "Who reads, creates and updates documents, by name."
  type        = map(string)
}

variable "updaters" {
  description = "Who reads and updates documents, by name."
  type        = map(string)
}
