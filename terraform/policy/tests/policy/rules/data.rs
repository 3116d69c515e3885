//! Database and buckets.

use std::collections::BTreeSet;

use shared::{
    adapters::{documents, firestore::needed_indexes},
    domain::Transition,
    testing::fixtures,
};

use super::{Mutant, check, deployed, differs};
use crate::{
    plugin::NUMBER,
    rehearsal::{Deployment, Resource, Settings, read, rehearses},
};

fn indexes_are_those_that_queries_need(deployment: &Deployment) -> Vec<String> {
    let found: BTreeSet<_> = deployment
        .all("google_firestore_index")
        .map(|index| {
            let fields = index.at("fields").as_array().into_iter().flatten();
            let fields: Vec<_> = fields
                .map(|f| {
                    format!(
                        "{} {}",
                        f["field_path"].as_str().unwrap_or_default(),
                        f["order"].as_str().unwrap_or_default()
                    )
                })
                .collect();
            format!("{} ({})", index.text("collection"), fields.join(", "))
        })
        .collect();
    let expected: BTreeSet<_> = needed_indexes()
        .iter()
        .map(|index| {
            let order = |descends: bool| if descends { "DESCENDING" } else { "ASCENDING" };
            let fields: Vec<_> =
                index.fields.iter().map(|(name, descends)| format!("{name} {}", order(*descends))).collect();
            format!("{} ({})", index.collection, fields.join(", "))
        })
        .collect();
    differs("indexes", found, expected).into_iter().collect()
}

#[test]
fn indexes_equal_those_of_the_queries_in_the_code() {
    let file = "terraform/modules/firestore/main.tf";
    check(
        indexes_are_those_that_queries_need,
        &[
            Mutant(
                file,
                "path = \"user_id\", order = \"ASCENDING\"",
                "path = \"user_id\", order = \"DESCENDING\"",
            ),
            Mutant(file, "path = \"job_id\"", "path = \"user_id\""),
            Mutant(
                file,
                "latest_export = {\n      collection = \"exports\"\n",
                "latest_export = {\n      collection = \"training_jobs\"\n",
            ),
        ],
    );
}

/// Deleted is what has ended: the TTL is the one time that a running export does not have.
fn only_ended_exports_are_deleted(deployment: &Deployment) -> Vec<String> {
    let running = documents::create(&fixtures::export());
    let failure = Transition::Fail { claim: None, failure: fixtures::failure("not started") };
    let ended = documents::create(&fixtures::export().apply(&failure, fixtures::time(1)).unwrap());
    let mut wrong = Vec::new();
    let ttl: Vec<_> = deployment
        .all("google_firestore_field")
        .filter(|field| !field.at("ttl_config.0").is_null())
        .collect();
    for field in &ttl {
        let (address, name) = (&field.address, field.text("field"));
        if !running[name].is_null() {
            wrong.push(format!("{address} deletes running exports by {name}"));
        }
        if ended[name].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok()).is_none() {
            wrong.push(format!("{address} deletes nothing: an ended export has {name} = {}", ended[name]));
        }
        let indexes = field.at("index_config.0.indexes").as_array();
        if field.at("index_config.0").is_null() || indexes.is_some_and(|indexes| !indexes.is_empty()) {
            wrong.push(format!("{address} is indexed, which limits the writes of the collection"));
        }
    }
    wrong.extend(differs("TTL fields", ttl.len(), 1));
    wrong
}

#[test]
fn exports_are_deleted_some_time_after_their_end() {
    let file = "terraform/modules/firestore/main.tf";
    check(
        only_ended_exports_are_deleted,
        &[
            Mutant(file, "field      = \"expire_at\"", "field      = \"lease_until\""),
            Mutant(file, "field      = \"expire_at\"", "field      = \"deleted_at\""),
            Mutant(file, "  ttl_config {}\n", ""),
            Mutant(file, "  ttl_config {}\n\n  index_config {}\n", "  ttl_config {}\n"),
        ],
    );
}

/// A field without indexes cannot be queried.
fn queried_fields_are_indexed(deployment: &Deployment) -> Vec<String> {
    // Queries by equality use single-field indexes: these fields are in the queries and in the security rules.
    let queried = ["user_id", "status", "job_id", "started_at"];
    let exempt = deployment.all("google_firestore_field").filter(|field| {
        let (name, kept) = (field.text("field"), field.at("index_config.0.indexes").as_array());
        queried.contains(&name) && kept.is_none_or(Vec::is_empty)
    });
    exempt.map(|field| format!("{}: queries name {}", field.address, field.text("field"))).collect()
}

#[test]
fn no_queried_field_is_exempt_from_indexes() {
    let queries = read("shared/src/adapters/firestore/query.rs");
    for field in ["user_id", "status", "job_id", "started_at"] {
        assert!(queries.contains(&format!("\"{field}\"")), "{field} is not queried any more");
    }
    check(
        queried_fields_are_indexed,
        &[Mutant(
            "terraform/modules/firestore/main.tf",
            "toset([\"progress\",",
            "toset([\"job_id\", \"progress\",",
        )],
    );
}

fn the_database_is_safe(deployment: &Deployment) -> Vec<String> {
    let mut wrong = Vec::new();
    let protects =
        deployment.all("google_cloud_run_v2_job").any(|job| *job.at("deletion_protection") == true);
    for database in deployment.all("google_firestore_database") {
        let found = (
            database.text("delete_protection_state"),
            database.text("point_in_time_recovery_enablement"),
            database.text("deletion_policy"),
        );
        let expected = if protects {
            ("DELETE_PROTECTION_ENABLED", "POINT_IN_TIME_RECOVERY_ENABLED", "ABANDON")
        } else {
            ("DELETE_PROTECTION_DISABLED", "POINT_IN_TIME_RECOVERY_DISABLED", "DELETE")
        };
        wrong.extend(differs(&database.address, found, expected));
        let backups = deployment.all("google_firestore_backup_schedule").count();
        wrong.extend(differs("backup schedules", backups, usize::from(protects)));
    }
    wrong
}

#[test]
fn a_protected_database_can_be_taken_back_and_is_backed_up() {
    check(
        the_database_is_safe,
        &[
            Mutant(
                "terraform/modules/firestore/main.tf",
                "var.deletion_protection ? \"ABANDON\" : \"DELETE\"",
                "\"DELETE\"",
            ),
            Mutant(
                "terraform/modules/firestore/main.tf",
                "count = var.create_database && var.deletion_protection ? 1 : 0",
                "count = 0",
            ),
        ],
    );
}

/// The provider replaces a release by deleting it first, and without a release browsers have no access. The Firebase
/// CLI patches it.
fn terraform_releases_no_rules(deployment: &Deployment) -> Vec<String> {
    let rules =
        deployment.resources.iter().filter(|resource| resource.kind.starts_with("google_firebaserules_"));
    let rules =
        rules.map(|resource| format!("{} deletes the release before it replaces it", resource.address));
    let cli = deployment.outputs["firebase"]["value"]["only"].as_array().cloned().unwrap_or_default();
    rules.chain((!cli.contains(&"firestore".into())).then(|| "nobody releases rules".to_owned())).collect()
}

#[test]
fn security_rules_are_released_without_a_gap() {
    let release = "resource \"google_firestore_index\" \"this\" {";
    let by_terraform = concat!(
        "resource \"google_firebaserules_release\" \"other\" {\n  project = var.project_id\n",
        "  name = \"cloud.firestore\"\n  ruleset_name = \"x\"\n}\n",
        "resource \"google_firestore_index\" \"this\" {"
    );
    check(
        |deployment| {
            // production's database has the Training Service's rules
            let wrong = terraform_releases_no_rules(deployment);
            let production =
                deployment.outputs["firebase"]["value"]["only"] == serde_json::json!(["hosting"]);
            if production { Vec::new() } else { wrong }
        },
        &[
            Mutant("terraform/outputs.tf", "var.manage_rules ? [\"firestore\"] : []", "[]"),
            Mutant("terraform/modules/firestore/main.tf", release, by_terraform),
        ],
    );
}

fn buckets_are_closed_and_do_not_fill_up(deployment: &Deployment) -> Vec<String> {
    let mut wrong = Vec::new();
    for bucket in deployment.all("google_storage_bucket") {
        let mut must = |what: &str, holds: bool| {
            if !holds {
                wrong.push(format!("{}: {what}", bucket.address));
            }
        };
        must("access is not uniform", *bucket.at("uniform_bucket_level_access") == true);
        must("can be made public", bucket.text("public_access_prevention") == "enforced");
        let rules = bucket.at("lifecycle_rule").as_array().cloned().unwrap_or_default();
        let has = |action: &str, most: i64| {
            rules.iter().any(|rule| {
                let age = rule["condition"][0]["age"].as_i64();
                rule["action"][0]["type"] == action && age.is_some_and(|age| (1..=most).contains(&age))
            })
        };
        must("keeps parts of uploads that were given up", has("AbortIncompleteMultipartUpload", 7));
        must("keeps what can be made again", has("Delete", 365));
        // the job deletes the manifest before it rewrites an artifact, which a retention policy would prevent
        must("has a retention policy", bucket.at("retention_policy.0").is_null());
    }
    wrong.extend(differs("buckets", deployment.all("google_storage_bucket").count(), 2));
    wrong
}

#[test]
fn buckets_are_private_and_expire() {
    let file = "terraform/modules/bucket/main.tf";
    check(
        buckets_are_closed_and_do_not_fill_up,
        &[
            Mutant(file, "uniform_bucket_level_access = true", "uniform_bucket_level_access = false"),
            Mutant(
                file,
                "public_access_prevention    = \"enforced\"",
                "public_access_prevention    = \"inherited\"",
            ),
            Mutant(file, "\"AbortIncompleteMultipartUpload\"", "\"Delete\""),
            Mutant("terraform/main.tf", "retention_days = var.file_retention_days", "retention_days = 0"),
        ],
    );
}

/// Versions with immutable tags cannot be deleted, and every version has a tag.
fn old_images_can_be_deleted(deployment: &Deployment) -> Vec<String> {
    let mut wrong = Vec::new();
    let protects =
        deployment.all("google_cloud_run_v2_job").any(|job| *job.at("deletion_protection") == true);
    for registry in deployment.all("google_artifact_registry_repository") {
        // a new key replaces the registry
        let policy = if protects { "PREVENT" } else { "DELETE" };
        wrong.extend(differs(&registry.address, registry.text("deletion_policy"), policy));
        if *registry.at("docker_config.0.immutable_tags") == true {
            wrong.push(format!("{}: immutable tags prevent the clean-up", registry.address));
        }
        let policies = registry.at("cleanup_policies").as_array().cloned().unwrap_or_default();
        for action in ["KEEP", "DELETE"] {
            if !policies.iter().any(|policy| policy["action"] == action)
                || *registry.at("cleanup_policy_dry_run") == true
            {
                wrong.push(format!("{}: nothing does {action}", registry.address));
            }
        }
    }
    wrong.extend(differs("registries", deployment.all("google_artifact_registry_repository").count(), 1));
    wrong
}

#[test]
fn the_registry_is_cleaned_up() {
    let file = "terraform/modules/registry/main.tf";
    check(
        old_images_can_be_deleted,
        &[
            Mutant(
                file,
                "  cleanup_policy_dry_run = false\n",
                "  cleanup_policy_dry_run = false\n  docker_config {\n    immutable_tags = true\n  }\n",
            ),
            Mutant(file, "cleanup_policy_dry_run = false", "cleanup_policy_dry_run = true"),
            Mutant(file, "var.deletion_protection ? \"PREVENT\" : \"DELETE\"", "\"DELETE\""),
        ],
    );
}

/// With customer-managed keys everything that is stored is encrypted with them, and only Google's services may use them.
/// Who may use customer-managed keys: the key of Hub tokens is the deployment's own.
fn uses_of_stored_keys(deployment: &Deployment) -> impl Iterator<Item = &Resource> {
    let all = deployment.all("google_kms_crypto_key_iam_member");
    all.filter(|binding| !binding.text("crypto_key_id").ends_with("/hub-tokens"))
}

fn stored_data_has_the_keys_of_the_settings(deployment: &Deployment) -> Vec<String> {
    let key = |region: &str, name: &str| {
        format!("projects/keys/locations/{region}/keyRings/exports/cryptoKeys/{name}")
    };
    let (models, records) = (key("us-central1", "models"), key("us", "records"));
    let bindings: BTreeSet<_> = uses_of_stored_keys(deployment)
        .map(|grant| (grant.text("member"), grant.text("role"), grant.text("crypto_key_id")))
        .collect();
    let has_keys = !bindings.is_empty();
    let expected = |key: &String| if has_keys { key.clone() } else { String::new() };
    let role = "roles/cloudkms.cryptoKeyEncrypterDecrypter";
    let agents = [
        ("gs-project-accounts", &models),
        ("gcp-sa-artifactregistry", &models),
        ("gcp-sa-firestore", &records),
    ]
    .map(|(service, key)| {
        (format!("serviceAccount:service-{NUMBER}@{service}.iam.gserviceaccount.com"), key)
    });
    let all: BTreeSet<_> = agents.iter().map(|(member, key)| (member.as_str(), role, key.as_str())).collect();
    let mut wrong = Vec::new();
    wrong.extend(differs("who may use the keys", &bindings, &if has_keys { all } else { BTreeSet::new() }));
    for (kind, path, key) in [
        ("google_storage_bucket", "encryption.0.default_kms_key_name", &models),
        ("google_artifact_registry_repository", "kms_key_name", &models),
        ("google_firestore_database", "cmek_config.0.kms_key_name", &records),
    ] {
        for resource in deployment.all(kind) {
            wrong.extend(differs(&resource.address, resource.text(path).to_owned(), expected(key)));
        }
    }
    wrong
}

#[test]
fn keys_of_the_settings_encrypt_everything_that_is_stored() {
    let (encryption, bucket) = ("terraform/modules/encryption/main.tf", "terraform/modules/bucket/main.tf");
    check(
        stored_data_has_the_keys_of_the_settings,
        &[
            Mutant(bucket, "for_each = var.kms_key_name == null ? [] : [var.kms_key_name]", "for_each = []"),
            Mutant("terraform/modules/registry/main.tf", "  kms_key_name  = var.kms_key_name\n", ""),
            Mutant(
                "terraform/main.tf",
                "var.create_database ? var.firestore_kms_key_name : \"\"",
                "var.kms_key_name",
            ),
            Mutant(encryption, "roles/cloudkms.cryptoKeyEncrypterDecrypter", "roles/cloudkms.admin"),
        ],
    );
    if rehearses() {
        assert_eq!(uses_of_stored_keys(&deployed(Settings::Everything)).count(), 3);
        assert_eq!(uses_of_stored_keys(&deployed(Settings::Production)).count(), 0);
    }
}
