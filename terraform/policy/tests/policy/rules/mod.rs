//! Rules on the deployed resources, each with mutants of the code that violate it. A rule must hold for every setting
//! and fail for every mutant.

mod data;
mod edge;
pub(crate) mod environment;
pub(crate) mod grants;
mod operations;
mod workloads;

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
};

use crate::rehearsal::{Copy, Deployment, Settings, rehearses};

/// Returns the violations, one per line; empty if the rule holds.
type Rule = fn(&Deployment) -> Vec<String>;

/// A change to one file: a text that occurs once, and its replacement.
struct Mutant(&'static str, &'static str, &'static str);

/// Checks that `rule` holds for every setting and fails for each mutant. Mutants are foreseen, not deployed, if the rule holds for what is foreseen.
fn check(rule: Rule, mutants: &[Mutant]) {
    if !rehearses() {
        return;
    }
    for settings in Settings::ALL {
        let wrong = rule(&deployed(settings));
        assert!(wrong.is_empty(), "{settings:?}:\n{}", wrong.join("\n"));
    }
    static FORESEEN: LazyLock<Deployment> =
        LazyLock::new(|| Copy::new().foresee(Settings::Everything).unwrap_or_else(|error| panic!("{error}")));
    // some values are known to an apply alone, because data is read behind resources
    let is_foreseen = rule(&FORESEEN).is_empty();
    for Mutant(file, from, to) in mutants {
        let copy = Copy::new().edit(file, from, to);
        let everything = Settings::Everything;
        let mutant = if is_foreseen { copy.foresee(everything) } else { copy.deploy(everything) };
        let mutant = mutant.unwrap_or_else(|error| panic!("{from:?} → {to:?} cannot be deployed:\n{error}"));
        assert!(!rule(&mutant).is_empty(), "nothing minds {from:?} → {to:?} in {file}");
    }
}

/// The deployment of the unchanged code with those settings; deployed once.
fn deployed(settings: Settings) -> Arc<Deployment> {
    static MADE: LazyLock<Mutex<HashMap<Settings, Arc<Deployment>>>> = LazyLock::new(Mutex::default);
    let mut made = MADE.lock().unwrap();
    let make =
        || Arc::new(Copy::new().deploy(settings).unwrap_or_else(|error| panic!("{settings:?}:\n{error}")));
    Arc::clone(made.entry(settings).or_insert_with(make))
}

/// One line for each pair that differs.
fn differs<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Option<String> {
    (found != expected).then(|| format!("{what}: {found:?} instead of {expected:?}"))
}

#[test]
fn every_setting_can_be_deployed_and_destroyed() {
    if !rehearses() {
        return;
    }
    for settings in Settings::ALL {
        let copy = Copy::new();
        copy.validate().unwrap_or_else(|error| panic!("{error}"));
        copy.deploy(settings).unwrap_or_else(|error| panic!("{settings:?}:\n{error}"));
        let again = copy.plan(settings).unwrap_or_else(|error| panic!("{settings:?}:\n{error}"));
        assert!(again.contains("No changes."), "{settings:?}: a second deploy would change\n{again}");
        let left = copy.destroy(settings).unwrap_or_else(|error| panic!("{settings:?}:\n{error}"));
        assert!(left.resources.is_empty(), "{settings:?}: {:?}", left.resources);
    }
}

#[test]
fn wrong_settings_are_refused() {
    if !rehearses() {
        return;
    }
    for (setting, said) in [
        ("project_id=Demo", "A project id has"),
        ("region=mars-north1", "region must support"),
        ("images={\"health\"=\"x\"}", "There must be an image for each"),
        ("job_cpu=3", "job_cpu must be 1, 2, 4 or 8"),
        ("job_timeout=700000", "7 days at most"),
        ("export_retention_days=70000", "days from 1 to 65535"),
        ("export_retention_days=0.5", "days from 1 to 65535"),
        ("base_models_uri=s3://models", "begins with gs://"),
        ("budget={billing_account=\"my account\",monthly_amount=100}", "`gcloud billing accounts list`"),
        ("budget={billing_account=\"01AB23-45CD67-89EF01\",monthly_amount=0}", "a whole number above 0"),
        ("hub_client_id=oauth_app_secret_0123", "It is not the app's secret"),
        ("app_check={app_id=\"page\",api_key=\"\",site_key=\"\"}", "the id of a web app"),
        ("kms_key_name=models", "kms_key_name must be projects/"),
        ("firestore_kms_key_name=records", "cryptoKeys/…, or empty"),
        ("hosting_release=both", "hosting_release must be cli or terraform"),
        ("github_repository=owner", "github_repository must be owner/name"),
        ("environment=", "An environment's name"),
        ("name_prefix=exports", "ends with a hyphen"),
        ("name_prefix=gcp-a-", "Google reserves ids"),
        ("adapter_buckets=[\"example-training-adapters\"]", "adapter_buckets names a placeholder"),
        ("base_models_uri=gs://example-base-models", "base_models_uri names a placeholder"),
        ("alert_emails=[\"oncall@example.com\"]", "alert_emails names a placeholder"),
        ("github_repository=example/export-service", "github_repository names a placeholder"),
        ("canary={percent=100,revisions={},images={}}", "0 to 99 percent"),
    ] {
        let refused = Copy::new().deploy_with(Settings::Staging, &[format!("-var={setting}")]);
        let error = refused.err().unwrap_or_else(|| panic!("{setting} is taken"));
        assert!(error.contains(said), "{setting}: {error}");
    }
}

#[test]
fn images_must_be_named_by_digest() {
    if !rehearses() {
        return;
    }
    let tagged = ["health", "list", "create", "get", "cancel", "plan", "export-job"]
        .map(|name| format!("\"{name}\"=\"r/{name}:1.0\""));
    let refused =
        Copy::new().deploy_with(Settings::Staging, &[format!("-var=images={{{}}}", tagged.join(","))]);
    assert!(refused.unwrap_err().contains("by digest"));
}
