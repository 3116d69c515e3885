locals {
  labels = {
    service     = "export"
    environment = var.environment
  }

  job_name     = "export-job"
  raw_bucket   = "${var.project_id}-${var.name_prefix}export-models"
  files_bucket = "${var.project_id}-${var.name_prefix}export-files"
  site_id      = coalesce(var.hosting_site_id, var.project_id)
  hosting      = jsondecode(file("${path.module}/../hosting/firebase.json")).hosting

  # Where create and the job find the key of Hub tokens: not its output, because what names the functions, such as metrics, would
  # then wait for it.
  token_key     = "projects/${var.project_id}/locations/${var.region}/keyRings/${var.name_prefix}export-service/cryptoKeys/hub-tokens"
  token_key_env = var.seal_hub_tokens ? { HF_TOKEN_KEY = local.token_key } : {}

  base_models_env = var.base_models_uri == "" ? {} : { BASE_MODELS_URI = var.base_models_uri }
  # Buckets of other services, which the job and plan read.
  input_buckets = setunion(
    var.adapter_buckets,
    var.base_models_uri == "" ? [] : [split("/", trimprefix(var.base_models_uri, "gs://"))[0]],
  )

  # Environment and callers of each function: everybody may call it if Firebase Hosting forwards to it, because Hosting
  # has no identity; otherwise the functions in `callers` may.
  functions = {
    health = {
      env     = { PROJECT_ID = var.project_id }
      callers = []
    }
    list = {
      env = {
        PROJECT_ID   = var.project_id
        FIRESTORE_DB = var.firestore_database
      }
      callers = ["create"]
    }
    create = {
      env = merge(local.token_key_env, {
        PROJECT_ID            = var.project_id
        REGION                = var.region
        EXPORT_JOB_NAME       = "${var.name_prefix}${local.job_name}"
        FIRESTORE_DB          = var.firestore_database
        LIST_URL              = "https://${var.name_prefix}list-${data.google_project.this.number}.${var.region}.run.app"
        MAX_RUNNING_EXPORTS   = tostring(var.max_running_exports)
        MAX_DAILY_EXPORTS     = tostring(var.max_daily_exports)
        EXPORT_RETENTION_DAYS = tostring(var.export_retention_days)
      })
      callers = []
    }
    cancel = {
      env = {
        PROJECT_ID      = var.project_id
        REGION          = var.region
        EXPORT_JOB_NAME = "${var.name_prefix}${local.job_name}"
        FIRESTORE_DB    = var.firestore_database
      }
      callers = []
    }
    plan = {
      env = merge(local.base_models_env, {
        PROJECT_ID                   = var.project_id
        FIRESTORE_DB                 = var.firestore_database
        GCS_EXPORT_BUCKET_NAME       = local.raw_bucket
        GCS_EXPORT_FILES_BUCKET_NAME = local.files_bucket
        JOB_CPU                      = tostring(var.job_cpu)
        JOB_MEMORY                   = var.job_memory
        JOB_TIMEOUT                  = tostring(var.job_timeout)
        VERIFY_LOGITS                = tostring(var.verify_logits)
      })
      callers = []
    }
    get = {
      env = {
        PROJECT_ID                   = var.project_id
        FIRESTORE_DB                 = var.firestore_database
        GCS_EXPORT_FILES_BUCKET_NAME = local.files_bucket
      }
      callers = []
    }
  }

  app_check = var.app_check == null ? {} : { APP_CHECK_PROJECT_NUMBER = data.google_project.this.number }

  # Hosting's rewrites decide which functions are public.
  public_functions = toset([for rewrite in local.hosting.rewrites : rewrite.run.serviceId])
}

data "google_project" "this" {
  project_id = var.project_id
}

module "project_services" {
  source = "./modules/project-services"

  project_id = var.project_id
}

module "encryption" {
  source = "./modules/encryption"
  providers = {
    google-beta = google-beta
  }

  project_id = var.project_id
  keys = {
    storage  = var.kms_key_name
    registry = var.kms_key_name
    database = var.create_database ? var.firestore_kms_key_name : ""
  }

  depends_on = [module.project_services]
}

module "registry" {
  source = "./modules/registry"

  project_id   = var.project_id
  region       = var.region
  name_prefix  = var.name_prefix
  kms_key_name = module.encryption.keys["registry"]

  deletion_protection = var.deletion_protection

  depends_on = [module.project_services]
}

module "function" {
  source   = "./modules/function"
  for_each = local.functions

  project_id  = var.project_id
  region      = var.region
  name        = each.key
  name_prefix = var.name_prefix
  image       = var.images[each.key]
  env         = merge(each.value.env, { RUST_LOG = var.rust_log }, each.key == "health" ? {} : local.app_check)
  public      = contains(local.public_functions, each.key)
  canary = var.canary == null ? null : {
    percent = var.canary.percent
    # null for a function that the canary adds
    revision = lookup(var.canary.revisions, each.key, null)
  }
  # plan holds a tokenizer in memory for each request
  memory              = each.key == "plan" ? "1Gi" : "256Mi"
  concurrency         = each.key == "plan" ? 8 : 80
  min_instances       = lookup(var.min_instances, each.key, 0)
  max_instances       = var.max_instances
  deletion_protection = var.deletion_protection

  depends_on = [module.project_services]
}

# Functions that call functions. Not in the module, because the caller's account must exist first.
resource "google_cloud_run_v2_service_iam_member" "calls" {
  for_each = merge([
    for name, function in local.functions : { for caller in function.callers : "${caller} calls ${name}" => [caller, name] }
  ]...)

  project  = var.project_id
  location = var.region
  name     = module.function[each.value[1]].name
  role     = "roles/run.invoker"
  member   = module.function[each.value[0]].service_account_member
}

module "job" {
  source = "./modules/job"

  project_id  = var.project_id
  region      = var.region
  name        = local.job_name
  name_prefix = var.name_prefix
  # executions have no revisions: until a canary is promoted, all run the image from before
  image           = var.canary == null ? var.images["export-job"] : var.canary.images["export-job"]
  cpu             = var.job_cpu
  memory          = var.job_memory
  timeout_seconds = var.job_timeout
  env = merge(
    {
      PROJECT_ID                   = var.project_id
      FIRESTORE_DB                 = var.firestore_database
      GCS_EXPORT_BUCKET_NAME       = module.bucket["raw"].name
      GCS_EXPORT_FILES_BUCKET_NAME = module.bucket["files"].name
      RUST_LOG                     = var.rust_log
      JOB_CPU                      = tostring(var.job_cpu)
      JOB_MEMORY                   = var.job_memory
      VERIFY_LOGITS                = tostring(var.verify_logits)
      JOB_TIMEOUT                  = tostring(var.job_timeout)
    },
    local.base_models_env,
    local.token_key_env,
  )
  launchers           = { create = module.function["create"].service_account_member }
  cancelers           = { cancel = module.function["cancel"].service_account_member }
  deletion_protection = var.deletion_protection

  depends_on = [module.project_services]
}

# An output is written also if what it depends on failed. This is not: it is what all functions and the job have.
resource "terraform_data" "release" {
  input = { images = var.images, canary = var.canary }

  depends_on = [module.function, module.job]
}

# What `create` encrypts, the job alone decrypts.
module "token_key" {
  source = "./modules/token-key"
  count  = var.seal_hub_tokens ? 1 : 0

  project_id  = var.project_id
  region      = var.region
  name_prefix = var.name_prefix

  depends_on = [module.project_services]
}

resource "google_kms_crypto_key_iam_member" "seals" {
  for_each = { for index, key in module.token_key : index => key.id }

  crypto_key_id = each.value
  role          = "roles/cloudkms.cryptoKeyEncrypter"
  member        = module.function["create"].service_account_member
}

resource "google_kms_crypto_key_iam_member" "opens" {
  for_each = { for index, key in module.token_key : index => key.id }

  crypto_key_id = each.value
  role          = "roles/cloudkms.cryptoKeyDecrypter"
  member        = module.job.service_account_member
}

module "firestore" {
  source = "./modules/firestore"

  project_id          = var.project_id
  database            = var.firestore_database
  location            = var.firestore_location
  create_database     = var.create_database
  kms_key_name        = module.encryption.keys["database"]
  name_prefix         = var.name_prefix
  deletion_protection = var.deletion_protection
  readers = {
    list = module.function["list"].service_account_member
    get  = module.function["get"].service_account_member
  }
  getters   = { plan = module.function["plan"].service_account_member }
  creators  = { create = module.function["create"].service_account_member }
  cancelers = { cancel = module.function["cancel"].service_account_member }
  updaters  = { job = module.job.service_account_member }

  depends_on = [module.project_services]
}

module "storage_roles" {
  source = "./modules/bucket/roles"

  project_id  = var.project_id
  name_prefix = var.name_prefix

  depends_on = [module.project_services]
}

module "bucket" {
  source = "./modules/bucket"
  for_each = {
    raw = {
      name           = local.raw_bucket
      retention_days = var.raw_retention_days
    }
    files = {
      name           = local.files_bucket
      retention_days = var.file_retention_days
    }
  }

  project_id     = var.project_id
  location       = var.region
  name           = each.value.name
  retention_days = each.value.retention_days
  kms_key_name   = module.encryption.keys["storage"]
  force_destroy  = !var.deletion_protection

  depends_on = [module.project_services]
}

# Access to objects: each role is bound on one bucket, never on the whole project.
resource "google_storage_bucket_iam_member" "job_writes" {
  for_each = module.bucket

  bucket = each.value.name
  role   = module.storage_roles.writer
  member = module.job.service_account_member
}

resource "google_storage_bucket_iam_member" "get_reads_files" {
  bucket = module.bucket["files"].name
  role   = module.storage_roles.object_getter
  member = module.function["get"].service_account_member
}

resource "google_storage_bucket_iam_member" "job_reads" {
  for_each = local.input_buckets

  bucket = each.value
  role   = "roles/storage.objectViewer"
  member = module.job.service_account_member
}

# `plan` reads what the job reads, and the manifests of what the job has written.
resource "google_storage_bucket_iam_member" "plan_reads" {
  for_each = local.input_buckets

  bucket = each.value
  role   = "roles/storage.objectViewer"
  member = module.function["plan"].service_account_member
}

resource "google_storage_bucket_iam_member" "plan_reads_written" {
  for_each = module.bucket

  bucket = each.value.name
  role   = "roles/storage.objectViewer"
  member = module.function["plan"].service_account_member
}

# `get` signs download links with its own service account.
resource "google_service_account_iam_member" "get_signs" {
  service_account_id = module.function["get"].service_account_name
  role               = module.storage_roles.link_signer
  member             = module.function["get"].service_account_member
}

module "hosting" {
  source = "./modules/hosting"
  providers = {
    google-beta = google-beta
  }

  project_id              = var.project_id
  region                  = var.region
  site_id                 = local.site_id
  name_prefix             = var.name_prefix
  create_firebase_project = var.create_firebase_project
  release                 = var.hosting_release == "terraform"
  rewrites                = local.hosting.rewrites
  headers                 = local.hosting.headers

  depends_on = [module.project_services, module.function]
}

module "auth" {
  source = "./modules/auth"
  count  = var.manage_auth ? 1 : 0

  project_id         = var.project_id
  authorized_domains = [module.hosting.host, replace(module.hosting.host, ".web.app", ".firebaseapp.com")]
}

module "monitoring" {
  source = "./modules/monitoring"

  project_id     = var.project_id
  project_number = data.google_project.this.number
  budget         = var.budget
  environment    = var.environment
  region         = var.region
  name_prefix    = var.name_prefix
  functions      = { for name in keys(local.functions) : name => "${var.name_prefix}${name}" }
  job_name       = "${var.name_prefix}${local.job_name}"
  host           = module.hosting.host
  emails         = var.alert_emails
  max_instances  = var.max_instances

  depends_on = [module.project_services]
}

module "github_deployer" {
  source = "./modules/github-deployer"
  count  = var.github_repository == "" ? 0 : 1

  project_id  = var.project_id
  name_prefix = var.name_prefix
  environment = var.environment
  repository = {
    name     = var.github_repository
    id       = var.github_repository_id
    owner_id = var.github_owner_id
  }

  depends_on = [module.project_services]
}

# Earlier versions released the security rules here. scripts/cloud does so now, by the Firebase CLI: the provider
# replaces a release by deleting it first, and browsers have no access to the database in between.
removed {
  from = module.firestore.google_firebaserules_release.this

  lifecycle {
    destroy = false
  }
}

removed {
  from = module.firestore.google_firebaserules_ruleset.this

  lifecycle {
    destroy = false
  }
}
