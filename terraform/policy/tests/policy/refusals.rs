//! Deployments in a cloud that refuses what the real one is known to refuse.

use std::{fs, process::Output};

use serde_json::Value;

use crate::{
    newcomer::{Newcomer, text},
    plugin::{NUMBER, cloud::PURGED},
    rehearsal::{PROJECT, read, rehearses},
};

impl Newcomer {
    /// Signed in, with locked providers, and with the settings of staging and these lines in addition. A line replaces
    /// the setting of the same name.
    pub(crate) fn with_settings(lines: &[&str]) -> Self {
        let newcomer = Self::new();
        newcomer.settings(lines);
        let signs_in = "firebase login; make lock";
        assert!(newcomer.types(signs_in, &[]).status.success());
        newcomer
    }

    pub(crate) fn settings(&self, lines: &[&str]) {
        let names: Vec<_> = lines.iter().filter_map(|line| line.split(" = ").next()).collect();
        let staging = read("terraform/environments/staging.tfvars.example");
        let kept =
            staging.lines().filter(|line| !names.contains(&line.split_whitespace().next().unwrap_or("")));
        let kept: Vec<_> = kept.map(|line| line.replace("example-", "")).collect();
        let file = self.repository().join("terraform/environments/staging.tfvars");
        fs::write(file, format!("{}\n{}\n", kept.join("\n"), lines.join("\n"))).unwrap();
    }

    pub(crate) fn make(&self, verb: &str) -> Output {
        self.make_with(verb, &[])
    }

    pub(crate) fn make_with(&self, verb: &str, environment: &[(&str, Option<&str>)]) -> Output {
        self.types(&format!("make {verb} PROJECT_ID={PROJECT} ENVIRONMENT=staging"), environment)
    }

    pub(crate) fn succeeds(&self, verb: &str) -> String {
        let output = self.make(verb);
        assert!(output.status.success(), "{verb}: {}", text(&output));
        text(&output)
    }

    /// Replaces a text of a file of the repository.
    pub(crate) fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.repository().join(file);
        let before = fs::read_to_string(&path).unwrap();
        assert!(before.contains(from), "{file} must hold {from:?}");
        fs::write(path, before.replace(from, to)).unwrap();
    }

    pub(crate) fn count(&self, beginning: &str) -> usize {
        self.calls().iter().filter(|call| call.starts_with(beginning)).count()
    }

    pub(crate) fn remembered(&self, file: &str) -> String {
        fs::read_to_string(self.cloud().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    /// The attributes of each instance of a resource.
    pub(crate) fn resources(&self, kind: &str) -> Vec<Value> {
        let state = self.state();
        let groups = state["resources"].as_array().unwrap().iter().filter(|group| group["type"] == kind);
        let instances = groups.flat_map(|group| group["instances"].as_array().unwrap().clone());
        instances.map(|instance| instance["attributes"].clone()).collect()
    }
}

/// Log-based metrics are known after so many configurations of providers.
pub(crate) fn metrics_are_known_after(newcomer: &Newcomer, configurations: u32) {
    fs::write(newcomer.cloud().join("metric-delay"), configurations.to_string()).unwrap();
}

#[test]
fn alerts_wait_for_their_metrics_and_pages_do_not_wait_for_alerts() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&[]);
    metrics_are_known_after(&newcomer, 1_000_000);
    // a warning about what is refused is no error, and no error is one of monitoring because of a warning
    fs::write(newcomer.cloud().join("deprecated"), "google_monitoring_slo").unwrap();
    let output = newcomer.make("deploy");
    let said = text(&output);
    assert!(said.contains("Argument is deprecated"), "{said}");
    assert!(
        !output.status.success() && said.contains("but alerts or objectives are missing: run make deploy"),
        "{said}"
    );
    assert_eq!((newcomer.count("sleep 60"), newcomer.count("firebase deploy")), (11, 1));
    let applies: Vec<_> = newcomer.calls().into_iter().filter(|call| call.contains(" apply ")).collect();
    assert!(applies[0].contains("-target module.monitoring.google_logging_metric.this"), "{}", applies[0]);

    // an hour later
    metrics_are_known_after(&newcomer, 0);
    newcomer.succeeds("deploy");

    // any other error ends a deployment at once, before pages that would call what is not there
    newcomer.edit("terraform/modules/job/main.tf", "max_retries = 1", "max_retries = \"one\"");
    let output = newcomer.make("deploy");
    assert!(!output.status.success(), "{}", text(&output));
    assert_eq!((newcomer.count("sleep 60"), newcomer.count("firebase deploy")), (11, 2));
}

/// Objectives are refused in other words than alerts, and may be all that is refused.
#[test]
fn objectives_wait_for_their_metrics() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&[]);
    let log_alerts = "metric.type=\\\"logging.googleapis.com/user/${google_logging_metric";
    newcomer.edit(
        "terraform/modules/monitoring/main.tf",
        log_alerts,
        "metric.type=\\\"custom/${google_logging_metric",
    );
    let said = newcomer.succeeds("deploy");
    assert!(said.contains("The metric referenced by the provided filter is unknown"), "{said}");
    assert!(!said.contains("Cannot find metric"), "{said}");
    assert_eq!(newcomer.resources("google_monitoring_slo").len(), 3);
}

/// Google does not know an API for some minutes after it was enabled. That ends no deployment, also where the question is
/// whether something exists.
#[test]
fn an_api_that_was_just_enabled_is_waited_for() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&GITHUB);
    fs::write(newcomer.cloud().join("young-api"), "google_artifact_registry_ 6").unwrap();
    let said = newcomer.succeeds("deploy");
    assert!(said.contains("The API of google_artifact_registry_ has not been used in project"), "{said}");
    assert_eq!(newcomer.count("gcloud kms keyrings list"), 3);
    assert_eq!(newcomer.count("gcloud iam workload-identity-pools list"), 3);
    let sign_in = |call: &&String| call.contains("identitytoolkit.googleapis.com/admin/v2/");
    assert_eq!(newcomer.calls().iter().filter(sign_in).count(), 3);

    let never = Newcomer::with_settings(&[]);
    fs::write(never.cloud().join("api-delay"), "1000000").unwrap();
    let output = never.make("deploy");
    let said = text(&output);
    assert!(!output.status.success() && said.contains("[kms.googleapis.com] has not been used"), "{said}");
    assert!(said.contains("run make deploy again in a few minutes"), "{said}");
    assert_eq!(never.count("gcloud kms keyrings list"), 20);
}

/// An answer that says neither that sign-in exists nor that it does not.
#[test]
fn sign_in_that_may_not_be_read_is_not_taken_as_absent() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&[]);
    let output = newcomer.make_with("deploy", &[("NO_SIGN_IN_ADMIN", Some("yes"))]);
    let said = text(&output);
    assert!(!output.status.success() && said.contains("PERMISSION_DENIED: identitytoolkit"), "{said}");
    assert_eq!(newcomer.count("docker push"), 0);
}

#[test]
fn alerts_are_what_monitoring_takes() {
    if !rehearses() {
        return;
    }
    let quotas = "terraform/modules/monitoring/quotas.tf";
    let promql = "  conditions {\n    display_name = \"More than";
    let other = "  conditions {\n    display_name = \"other\"\n    condition_threshold {\n      filter     = \"f\"\n      comparison = \"COMPARISON_GT\"\n      duration   = \"0s\"\n    }\n  }\n\n";
    for (from, to, refusal) in [
        (promql, format!("{other}{promql}"), "a PromQL condition must be the only condition"),
        ("      disable_metric_validation = true\n", String::new(), "in the PromQL query does not exist"),
    ] {
        let newcomer = Newcomer::with_settings(&[]);
        newcomer.edit(quotas, from, &to);
        let output = newcomer.make("deploy");
        assert!(!output.status.success() && text(&output).contains(refusal), "{}", text(&output));
    }
}

#[test]
fn requests_name_a_quota_project() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&[]);
    newcomer.succeeds("deploy");
    for file in ["quota-project/hashicorp/google", "quota-project/hashicorp/google-beta"] {
        assert_eq!(newcomer.remembered(file), "sent", "{file}");
    }
    let without = Newcomer::with_settings(&[]);
    without.edit("terraform/versions.tf", "  user_project_override = true\n", "");
    let said = text(&without.make("deploy"));
    assert!(said.contains("requires a quota project"), "{said}");
}

/// Names of buckets are global, so somebody else can have made the one of the state, and let everybody write there.
#[test]
fn a_state_in_the_bucket_of_another_project_is_refused() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&[]);
    fs::write(newcomer.cloud().join("state"), "999999999999\n").unwrap();
    for verb in ["plan", "deploy", "destroy"] {
        let output = newcomer.make(verb);
        let said = "belongs to the project with the number 999999999999, not to demo-export (123456789012)";
        assert!(!output.status.success() && text(&output).contains(said), "{}", text(&output));
    }
    assert!(!newcomer.calls().iter().any(|call| call.contains("terraform init")), "{:?}", newcomer.calls());
}

/// A bucket that may not be read exists, perhaps; and one whose creation was interrupted has no versions yet.
#[test]
fn the_state_is_kept_in_versions_and_created_only_if_it_is_missing() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&[]);
    let output = newcomer.make_with("plan", &[("STATE_DENIED", Some("yes"))]);
    let said = text(&output);
    assert!(!output.status.success() && said.contains("does not have storage.buckets.get access"), "{said}");
    assert!(
        said.contains("gs://demo-export-terraform-state, the bucket of Terraform's state, cannot be read"),
        "{said}"
    );
    assert_eq!(newcomer.count("gcloud storage buckets create"), 0);

    assert!(!newcomer.make_with("plan", &[("INTERRUPTED", Some("yes"))]).status.success());
    newcomer.succeeds("plan");
    newcomer.succeeds("plan");
    let versions = "gcloud storage buckets update gs://demo-export-terraform-state --versioning";
    assert_eq!((newcomer.count("gcloud storage buckets create"), newcomer.count(versions)), (1, 1));
}

/// A public app of the Hugging Face Hub.
const HUB_APP: &str = "hub_client_id = \"01234567-89ab-cdef-0123-456789abcdef\"";

#[test]
fn errors_of_the_firebase_cli_are_shown() {
    if !rehearses() {
        return;
    }
    let app =
        "app_check = { app_id = \"1:123456789012:web:0123abcd\", api_key = \"key\", site_key = \"site\" }";
    let newcomer = Newcomer::with_settings(&[app, HUB_APP]);
    let output = newcomer.make_with("deploy", &[("HOSTING_DOWN", Some("yes"))]);
    assert!(!output.status.success() && text(&output).contains("had HTTP Error: 503"), "{}", text(&output));
    assert!(!text(&output).contains("deployed: https://"));
    for made in
        ["public/app-check.json", "public/hub-sign-in.json", ".firebase.deploy.json", ".firestore.rules"]
    {
        assert!(!newcomer.repository().join("hosting").join(made).exists(), "{made} is left behind");
    }
}

const GITHUB: [&str; 3] = [
    "github_repository = \"owner/export-service\"",
    "github_repository_id = \"1\"",
    "github_owner_id = \"2\"",
];

#[test]
fn what_was_destroyed_can_be_deployed_again() {
    if !rehearses() {
        return;
    }
    let site = ["hosting_site_id = \"demo-exports\""];
    let newcomer = Newcomer::with_settings(&[&GITHUB[..], &site].concat());
    newcomer.succeeds("deploy");
    let said = newcomer.succeeds("destroy");
    for stays in [
        "gs://demo-export-terraform-state",
        "the API key \"Export Service: sign-in\"",
        "firebase hosting:disable --project demo-export --site demo-exports",
        "manage_auth",
        "identity pool",
        "the key ring export-service",
        "custom roles",
    ] {
        assert!(said.contains(stays), "destroy does not say that {stays} stays:\n{said}");
    }
    assert_eq!(newcomer.remembered("pools/export-github"), "DELETED");
    assert!(newcomer.succeeds("deploy").contains("Database ID '(default)' is not available"));
    for (file, state) in [
        ("pools/export-github", "ACTIVE"),
        ("pools/export-github.github", "ACTIVE"),
        ("identity-platform", "ACTIVE"),
        ("database", "ACTIVE"),
        ("roles/exportObjectWriter", "ACTIVE"),
        ("sites/demo-exports", "ACTIVE"),
        ("kms/export-service", "ACTIVE"),
        ("kms/export-service.hub-tokens", "ACTIVE"),
    ] {
        assert_eq!(newcomer.remembered(file), state, "{file}");
    }
    assert!(newcomer.succeeds("deploy").contains("0 added, 0 changed, 0 destroyed"));

    // weeks later the ids of roles are reserved, and nothing can restore them
    newcomer.succeeds("destroy");
    for role in fs::read_dir(newcomer.cloud().join("roles")).unwrap() {
        fs::write(role.unwrap().path(), PURGED).unwrap();
    }
    let output = newcomer.make("deploy");
    assert!(
        !output.status.success() && text(&output).contains("then set another name_prefix"),
        "{}",
        text(&output)
    );
    newcomer.succeeds("destroy");
    newcomer.settings(&[&GITHUB[..], &site, &["name_prefix = \"again-\""]].concat());
    newcomer.succeeds("deploy");
    assert_eq!(newcomer.remembered("roles/again_exportObjectWriter"), "ACTIVE");
}

/// Another service has a function of the same name.
#[test]
fn a_name_that_is_taken_is_met_with_another() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&[]);
    let taken = newcomer.cloud().join("taken/google_cloud_run_v2_service");
    fs::create_dir_all(&taken).unwrap();
    fs::write(taken.join("list"), "of another service").unwrap();
    let said = text(&newcomer.make("deploy"));
    let advice = "rename that, or, if nothing is deployed yet, run make destroy, then set name_prefix, in terraform/environments/staging.tfvars";
    assert!(said.contains("'list' already exists") && said.contains(advice), "{said}");
    newcomer.succeeds("destroy");
    newcomer.settings(&["name_prefix = \"ours-\""]);
    newcomer.succeeds("deploy");
    assert!(taken.join("list").exists());
}

/// A plan says what a deployment does: without sealing, the key leaves the state and stays in the project.
#[test]
fn hub_tokens_need_not_be_sealed_any_more() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&[]);
    newcomer.succeeds("deploy");
    newcomer.settings(&["seal_hub_tokens = false"]);
    let plan = newcomer.succeeds("plan");
    assert!(plan.contains("0 to add, 2 to change, 4 to destroy"), "{plan}");
    newcomer.succeeds("deploy");
    assert!(newcomer.resources("google_kms_crypto_key").is_empty());
    assert_eq!(newcomer.remembered("kms/export-service.hub-tokens"), "ACTIVE");
    newcomer.settings(&[]);
    newcomer.succeeds("deploy");
    assert_eq!(newcomer.resources("google_kms_crypto_key").len(), 1);
}

/// A key that was taken back is safe before anything else is applied.
#[test]
fn a_deployment_that_nobody_approves_can_be_destroyed() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&[]);
    newcomer.succeeds("deploy");
    newcomer.succeeds("destroy");
    let output = newcomer.make_with("deploy", &[("APPROVE", None)]);
    assert!(!output.status.success() && text(&output).contains("approval"), "{}", text(&output));
    assert_eq!(newcomer.resources("google_kms_crypto_key").len(), 1);
    newcomer.succeeds("destroy");
    assert_eq!(newcomer.remembered("kms/export-service.hub-tokens"), "ACTIVE");
}

/// A pool that somebody has undeleted after its provider was gone for good, and one that lost its provider only.
#[test]
fn a_pool_without_its_provider_is_completed() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&GITHUB);
    newcomer.succeeds("deploy");
    newcomer.succeeds("destroy");
    fs::write(newcomer.cloud().join("pools/export-github"), "ACTIVE").unwrap();
    fs::remove_file(newcomer.cloud().join("pools/export-github.github")).unwrap();
    let kept = newcomer.cloud().join("kept/google_iam_workload_identity_pool_provider");
    fs::remove_dir_all(kept).unwrap();
    newcomer.succeeds("deploy");
    assert_eq!(newcomer.remembered("pools/export-github.github"), "ACTIVE");

    newcomer.succeeds("destroy");
    fs::write(newcomer.cloud().join("pools/export-github"), "ACTIVE").unwrap();
    newcomer.succeeds("deploy");
    assert_eq!(newcomer.remembered("pools/export-github.github"), "ACTIVE");
}

/// The project of another service, whose database has rules and whose sign-in has users.
#[test]
fn rules_and_sign_in_that_exist_are_left_or_replaced_and_never_absent() {
    if !rehearses() {
        return;
    }
    for (managed, ours) in [("false", false), ("true", true)] {
        let newcomer =
            Newcomer::with_settings(&[&format!("manage_rules = {managed}"), "create_database = false"]);
        for file in ["rules", "identity-platform"] {
            fs::write(newcomer.cloud().join(file), "of the Training Service").unwrap();
        }
        let kept = newcomer.cloud().join("kept/google_identity_platform_config");
        fs::create_dir_all(&kept).unwrap();
        // {"id": …, "project": …} as MessagePack, all other attributes unset
        let config = Newcomer::with_settings(&[]);
        config.succeeds("deploy");
        let existing = "kept/google_identity_platform_config/projects~demo-export~config";
        fs::copy(config.cloud().join(existing), newcomer.cloud().join(existing)).unwrap();
        newcomer.succeeds("deploy");
        let rules = read("terraform/modules/firestore/firestore.rules");
        assert_eq!(newcomer.remembered("rules") == rules, ours, "manage_rules = {managed}");
        assert_eq!(newcomer.resources("google_identity_platform_config").len(), 1);
    }
}

#[test]
fn terraform_releases_hosting_in_a_project_without_a_site() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&["hosting_release = \"terraform\""]);
    newcomer.succeeds("deploy");
    assert_eq!(newcomer.remembered("sites/demo-export"), "ACTIVE");
    assert_eq!(newcomer.count("firebase deploy --only firestore --project"), 1);
}

#[test]
fn digests_are_those_of_the_push() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&[]);
    let output = newcomer.make_with("deploy", &[("ENGINE", Some("podman"))]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(newcomer.count("podman push --digestfile"), 7);
    assert_eq!(
        newcomer.count("gcloud artifacts docker images"),
        0,
        "Container Analysis is another permission"
    );
}

#[test]
fn the_page_knows_app_check_where_functions_require_it() {
    if !rehearses() {
        return;
    }
    let app =
        "app_check = { app_id = \"1:123456789012:web:0123abcd\", api_key = \"key\", site_key = \"site\" }";
    let newcomer = Newcomer::with_settings(&[app]);
    newcomer.succeeds("deploy");
    let settings: Value = serde_json::from_str(&newcomer.remembered("app-check.json")).unwrap();
    assert_eq!((&settings["site_key"], &settings["project_number"]), (&"site".into(), &NUMBER.into()));
    let released: Value = serde_json::from_str(&newcomer.remembered("firebase.json")).unwrap();
    let policy = released["hosting"]["headers"][0]["headers"][0]["value"].as_str().unwrap().to_owned();
    for allowed in [
        "script-src https://www.google.com/recaptcha/ https://www.gstatic.com/recaptcha/ 'self' https://apis.google.com;",
        "connect-src https://firebaseappcheck.googleapis.com https://www.google.com/recaptcha/ 'self' https://identitytoolkit.",
        "; frame-src https://www.google.com/recaptcha/ 'self';",
    ] {
        assert!(policy.contains(allowed), "{policy}");
    }
    newcomer.settings(&[]);
    newcomer.succeeds("deploy");
    assert!(!newcomer.cloud().join("app-check.json").exists());
    assert!(!newcomer.remembered("firebase.json").contains("recaptcha"));
}

#[test]
fn the_page_signs_in_on_the_hub_where_an_app_is_set() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&[HUB_APP]);
    newcomer.succeeds("deploy");
    let settings: Value = serde_json::from_str(&newcomer.remembered("hub-sign-in.json")).unwrap();
    assert_eq!(settings["client_id"], "01234567-89ab-cdef-0123-456789abcdef");
    assert_eq!(settings["endpoint"], "https://huggingface.co");
    let policy = newcomer.remembered("firebase.json");
    assert!(
        policy.contains("; connect-src https://huggingface.co 'self' https://identitytoolkit."),
        "{policy}"
    );
    newcomer.settings(&[]);
    newcomer.succeeds("deploy");
    assert!(!newcomer.cloud().join("hub-sign-in.json").exists());
    assert!(!newcomer.remembered("firebase.json").contains("huggingface"));
}

/// Two deployments in one project share no name.
#[test]
fn the_prefix_is_in_every_name() {
    if !rehearses() {
        return;
    }
    let newcomer = Newcomer::with_settings(&[&GITHUB[..], &["name_prefix = \"second-\""]].concat());
    newcomer.succeeds("deploy");
    for (kind, name) in [
        ("google_cloud_run_v2_service", "name"),
        ("google_cloud_run_v2_job", "name"),
        ("google_service_account", "account_id"),
        ("google_project_iam_custom_role", "role_id"),
        ("google_artifact_registry_repository", "repository_id"),
        ("google_iam_workload_identity_pool", "workload_identity_pool_id"),
        ("google_storage_bucket", "name"),
        ("google_logging_metric", "name"),
        ("google_monitoring_custom_service", "service_id"),
    ] {
        let found = newcomer.resources(kind);
        assert!(!found.is_empty(), "{kind}");
        for resource in found {
            let name = resource[name].as_str().unwrap();
            let prefixes = ["second-", "second_", "demo-export-second-"];
            assert!(prefixes.iter().any(|prefix| name.starts_with(prefix)), "{kind} {name}");
        }
    }
    let released = newcomer.remembered("firebase.json");
    assert!(released.contains("\"serviceId\": \"second-create\""), "{released}");
    assert!(
        newcomer.calls().iter().any(|call| call.contains("-backend-config=prefix=second-export-service"))
    );
}

/// Whoever can write to the registry can give a version's tag to another image before the version is deployed.
#[test]
fn a_tag_that_names_another_image_is_neither_deployed_nor_signed() {
    if !rehearses() {
        return;
    }
    for engine in ["docker", "podman"] {
        let newcomer = Newcomer::with_settings(&[]);
        let version = text(&newcomer.types("scripts/package version", &[]));
        let foreign = format!("sha256:{}", "e".repeat(64));
        let pushed = newcomer.cloud().join("pushed");
        fs::create_dir_all(&pushed).unwrap();
        for name in ["health", "list", "create", "get", "cancel", "export-job"] {
            fs::write(pushed.join(format!("{name}:{}", version.trim())), &foreign).unwrap();
        }
        let output = newcomer.make_with("deploy", &[("ENGINE", Some(engine))]);
        assert!(output.status.success(), "{}", text(&output));
        let pushed = "terraform/environments/demo-export.pushed.tfvars.json";
        let subjects = newcomer.types(&format!("scripts/attestation-subjects {pushed}"), &[]);
        let signed = text(&subjects);
        assert!(subjects.status.success() && signed.contains("export-job"), "{signed}");
        assert!(!signed.contains(&"e".repeat(64)), "{signed}");
        assert!(!newcomer.state().to_string().contains(&foreign), "{engine} deployed the foreign image");
    }
}
