variable "project_id" {
  description = "The project."
  type        = string
}

variable "database" {
  description = "The database's id."
  type        = string
}

variable "location" {
  description = "Location of a new database."
  type        = string
}

variable "create_database" {
  description = "Whether to create the database."
  type        = bool
}

variable "kms_key_name" {
  description = "The customer-managed key (projects/…/cryptoKeys/…), of a new database, or null for Google's."
  type        = string
}

variable "name_prefix" {
  description = "What the ids of the roles begin with."
  type        = string
}

variable "deletion_protection" {
  description = "Whether the database is protected from terraform destroy, has point-in-time recovery for 7 days, and is backed up daily."
  type        = bool
}

variable "readers" {
  description = "IAM members that read documents, by name."
  type        = map(string)
}

variable "getters" {
  description = "IAM members that may read documents by their names, by name."
  type        = map(string)
}

variable "creators" {
  description = "IAM members that read, create and update documents, by name."
  type        = map(string)
}

variable "cancelers" {
  description = "IAM members that read, list and update documents, by name."
  type        = map(string)
}

variable "updaters" {
  description = "IAM members that read and update documents, by name."
  type        = map(string)
}
