//! The environment of functions and job has exactly the variables that their settings read, and the settings accept it.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use shared::config::{
    CloudRunConfig, ConfigError, DownloadsConfig, FirebaseConfig, FirestoreConfig, KmsConfig,
    ListServiceConfig, ListenConfig, Lookup, RetentionConfig, caller_limits,
};

use super::{Mutant, check, differs};
use crate::{
    plugin::NUMBER,
    rehearsal::{Deployment, Resource, read},
};

/// Read by libraries: the log filter, and the threads of the async runtime.
const OF_LIBRARIES: [&str; 2] = ["RUST_LOG", "TOKIO_WORKER_THREADS"];
/// Outside Google Cloud only: the settings of workload identity federation.
const OF_FEDERATION: &str = "GOOGLE_APPLICATION_CREDENTIALS";
/// Set by Cloud Run, and by `create` for one execution.
const OF_THE_PLATFORM: [(&str, &str); 4] = [
    ("PORT", "8080"),
    ("CLOUD_RUN_EXECUTION", "export-job-abcde"),
    ("CLOUD_RUN_TASK_ATTEMPT", "0"),
    ("EXPORT_ID", "0b9f8a52-3d0f-4a9e-8c3b-5f0e6f2a7d10"),
];
/// Set for a single execution, if at all; no configuration may set it.
const SECRETS: [&str; 1] = ["HF_TOKEN"];
/// For development only: emulators, and other endpoints of Google and the Hub.
const FOR_DEVELOPMENT: [&str; 7] = [
    "CLOUD_RUN_ENDPOINT",
    "FIREBASE_AUTH_EMULATOR_HOST",
    "FIREBASE_KEYS_URL",
    "FIRESTORE_EMULATOR_HOST",
    "HF_ENDPOINT",
    "KMS_ENDPOINT",
    "STORAGE_EMULATOR_HOST",
];
/// Set by the platforms; telemetry reads them to detect the platform.
const PLACES: [&str; 4] =
    ["K_SERVICE", "CLOUD_RUN_JOB", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_RUNTIME_API"];
/// Optional.
const OPTIONAL: [&str; 3] = ["APP_CHECK_PROJECT_NUMBER", "BASE_MODELS_URI", "HF_TOKEN_KEY"];

/// Reads the settings of one binary.
type Settings = fn(&Lookup<'_>) -> Result<(), ConfigError>;

fn health(lookup: &Lookup<'_>) -> Result<(), ConfigError> {
    // the trace field of a log line contains the project
    let _ = shared::telemetry::LogFormat::from(lookup);
    ListenConfig::from(lookup).map(drop)
}

fn list(lookup: &Lookup<'_>) -> Result<(), ConfigError> {
    health(lookup)?;
    FirebaseConfig::from(lookup)?;
    FirestoreConfig::from(lookup).map(drop)
}

fn create(lookup: &Lookup<'_>) -> Result<(), ConfigError> {
    list(lookup)?;
    CloudRunConfig::from(lookup)?;
    KmsConfig::from(lookup)?;
    RetentionConfig::from(lookup)?;
    caller_limits(lookup)?;
    ListServiceConfig::from(lookup).map(drop)
}

fn get(lookup: &Lookup<'_>) -> Result<(), ConfigError> {
    list(lookup)?;
    DownloadsConfig::from(lookup).map(drop)
}

fn cancel(lookup: &Lookup<'_>) -> Result<(), ConfigError> {
    list(lookup)?;
    CloudRunConfig::from(lookup).map(drop)
}

fn plan(lookup: &Lookup<'_>) -> Result<(), ConfigError> {
    list(lookup)?;
    job::config::LocationSettings::from(lookup)?;
    job::config::job_machine(lookup).map(drop)
}

fn export_job(lookup: &Lookup<'_>) -> Result<(), ConfigError> {
    KmsConfig::from(lookup)?;
    job::config::Settings::from(lookup).map(drop)
}

const BINARIES: [(&str, Settings); 7] = [
    ("health", health),
    ("list", list),
    ("create", create),
    ("get", get),
    ("cancel", cancel),
    ("plan", plan),
    ("export-job", export_job),
];

fn environment(workload: &Resource) -> BTreeMap<&str, &str> {
    let template = if workload.kind.ends_with("job") { "template.0.template.0" } else { "template.0" };
    let all = workload.at(&format!("{template}.containers.0.env")).as_array().into_iter().flatten();
    all.filter_map(|env| Some((env["name"].as_str()?, env["value"].as_str()?))).collect()
}

/// The differences between the variables `given` to `name` and those it reads. `place` is the variable that identifies
/// the platform.
pub(crate) fn differences(name: &str, given: &BTreeMap<&str, &str>, place: &str) -> Vec<String> {
    let Some((_, settings)) = BINARIES.iter().find(|(of, _)| *of == name) else {
        return vec![format!("{name} is no binary of ours")];
    };
    let (asked, mut wrong) = (RefCell::new(BTreeSet::new()), Vec::new());
    let lookup = |name: &str| {
        asked.borrow_mut().insert(name.to_owned());
        if name == place {
            return Some("function".to_owned());
        }
        let platform =
            OF_THE_PLATFORM.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned());
        given.get(name).map(|value| (*value).to_owned()).or(platform)
    };
    if let Err(error) = settings(&lookup) {
        return vec![format!("{name} does not start: {error}")];
    }
    let asked = asked.into_inner();
    let of_libraries = |variable: &str| OF_LIBRARIES.contains(&variable) || variable == OF_FEDERATION;
    let from_elsewhere = |variable: &str| {
        OF_THE_PLATFORM.iter().any(|(of, _)| *of == variable)
            || [&FOR_DEVELOPMENT[..], &SECRETS, &OPTIONAL, &PLACES].iter().any(|all| all.contains(&variable))
            || of_libraries(variable)
    };
    let missing = asked.iter().filter(|variable| !from_elsewhere(variable));
    let missing = missing.filter(|variable| !given.contains_key(variable.as_str()));
    wrong.extend(missing.map(|variable| format!("{name} reads {variable} and is not given it")));
    let useless = given.keys().filter(|variable| !asked.contains(**variable) && !of_libraries(variable));
    wrong.extend(useless.map(|variable| format!("{name} is given {variable} and does not read it")));
    let forbidden =
        given.keys().filter(|variable| FOR_DEVELOPMENT.contains(variable) || SECRETS.contains(variable));
    wrong.extend(forbidden.map(|variable| format!("{name} must not be given {variable}")));
    wrong
}

fn what_is_given_is_what_is_read(deployment: &Deployment) -> Vec<String> {
    let mut wrong = Vec::new();
    let workloads: Vec<_> = deployment
        .all("google_cloud_run_v2_service")
        .chain(deployment.all("google_cloud_run_v2_job"))
        .collect();
    for (name, _) in BINARIES {
        let Some(workload) = workloads.iter().find(|workload| workload.text("name") == name) else {
            wrong.push(format!("{name} is not deployed"));
            continue;
        };
        let given = environment(workload);
        wrong.extend(differences(name, &given, "K_SERVICE"));
        if given.contains_key(OF_FEDERATION) {
            wrong.push(format!("{name} has its account from Google Cloud itself"));
        }
    }
    wrong
}

#[test]
fn environments_are_what_settings_read() {
    let main = "terraform/main.tf";
    check(
        what_is_given_is_what_is_read,
        &[
            Mutant(main, "        EXPORT_JOB_NAME       = \"${var.name_prefix}${local.job_name}\"\n", ""),
            Mutant(main, "        EXPORT_RETENTION_DAYS = tostring(var.export_retention_days)\n", ""),
            Mutant(
                main,
                "= var.firestore_database\n        GCS_EXPORT_FILES_BUCKET_NAME = local.files_bucket",
                "= var.firestore_database\n        GCS_EXPORT_FILES_BUCKET = local.files_bucket",
            ),
            Mutant(main, "      GCS_EXPORT_BUCKET_NAME       = module.bucket[\"raw\"].name\n", ""),
            Mutant(main, "        GCS_EXPORT_BUCKET_NAME       = local.raw_bucket\n", ""),
            Mutant(main, "        VERIFY_LOGITS                = tostring(var.verify_logits)\n", ""),
            Mutant(main, "      JOB_MEMORY                   = var.job_memory\n      VERIFY", "      VERIFY"),
            Mutant(main, "        JOB_CPU                      = tostring(var.job_cpu)\n", ""),
            Mutant(main, "      JOB_TIMEOUT                  = tostring(var.job_timeout)\n    },", "    },"),
            Mutant(main, "        JOB_TIMEOUT                  = tostring(var.job_timeout)\n", ""),
            Mutant(
                main,
                "env     = { PROJECT_ID = var.project_id }",
                "env     = { PROJECT_ID = var.project_id, REGION = var.region }",
            ),
            Mutant(
                main,
                "RUST_LOG                     = var.rust_log\n",
                "RUST_LOG                     = var.rust_log\n      HF_TOKEN                     = \"hf_x\"\n",
            ),
            Mutant(
                main,
                "env     = { PROJECT_ID = var.project_id }",
                "env     = { PROJECT_ID = var.project_id, GOOGLE_APPLICATION_CREDENTIALS = \"/key.json\" }",
            ),
            Mutant(
                main,
                "        LIST_URL              = \"https://${var.name_prefix}list-",
                "        LIST_URL              = \"list-",
            ),
            Mutant(
                main,
                "        REGION                = var.region\n",
                "        REGION                = var.region\n        FIREBASE_AUTH_EMULATOR_HOST = \"localhost:9099\"\n",
            ),
        ],
    );
}

/// Every function that authenticates callers requires App Check, or none does.
fn app_check_is_required_by_all(deployment: &Deployment) -> Vec<String> {
    let required = !deployment.outputs["firebase"]["value"]["app_check"].is_null();
    let mut wrong = Vec::new();
    for workload in deployment.all("google_cloud_run_v2_service") {
        let number = environment(workload).get("APP_CHECK_PROJECT_NUMBER").copied();
        let expected = (required && workload.text("name") != "health").then_some(NUMBER);
        wrong.extend(differs(&workload.address, number, expected));
    }
    let page = &deployment.outputs["firebase"]["value"]["app_check"]["project_number"];
    wrong.extend(differs("the page's project", page.as_str(), required.then_some(NUMBER)));
    wrong
}

#[test]
fn app_check_is_one_setting() {
    let main = "terraform/main.tf";
    check(
        app_check_is_required_by_all,
        &[
            Mutant(main, "each.key == \"health\" ? {}", "each.key != \"get\" ? {}"),
            Mutant(
                main,
                "{ APP_CHECK_PROJECT_NUMBER = data.google_project.this.number }",
                "{ APP_CHECK_PROJECT_NUMBER = \"1\" }",
            ),
        ],
    );
}

/// The functions above read the settings of each binary; its `main` must read the same.
#[test]
fn the_mains_read_those_settings() {
    let settings = regex::Regex::new(
        r"\b(CloudRun|Downloads|Firebase|Firestore|ListService|Kms|Retention)Config::from\(",
    )
    .unwrap();
    for (function, expected) in [
        ("list", ["Firebase", "Firestore"].as_slice()),
        ("create", &["CloudRun", "Firebase", "Firestore", "Kms", "ListService", "Retention"]),
        ("get", &["Downloads", "Firebase", "Firestore"]),
        ("cancel", &["CloudRun", "Firebase", "Firestore"]),
        ("plan", &["Firebase", "Firestore"]),
        ("health", &[]),
    ] {
        let source = read(&format!("functions/{function}/src/main.rs"));
        let found: BTreeSet<_> = settings.captures_iter(&source).map(|found| found[1].to_owned()).collect();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), expected, "functions/{function}/src/main.rs");
    }
}

fn no_variable_holds_a_secret(deployment: &Deployment) -> Vec<String> {
    let secret = regex::Regex::new(r"(?i)token|secret|password|credential|api_?key|private_?key").unwrap();
    let mut wrong = Vec::new();
    for workload in
        deployment.all("google_cloud_run_v2_service").chain(deployment.all("google_cloud_run_v2_job"))
    {
        let named = environment(workload).into_iter().filter(|(name, _)| secret.is_match(name));
        // a resource name, not a key
        let named = named.filter(|(name, _)| *name != "HF_TOKEN_KEY");
        wrong.extend(named.map(|(name, _)| format!("{} is given {name} in plain text", workload.address)));
    }
    let value = regex::Regex::new(
        r"hf_[A-Za-z0-9]{8,}|AIza[\w-]{30,}|ya29\.|-----BEGIN|gh[pousr]_[A-Za-z0-9]{16,}|AKIA[A-Z0-9]{16}",
    )
    .unwrap();
    let held = deployment.resources.iter().filter(|resource| value.is_match(&resource.values.to_string()));
    wrong.extend(held.map(|resource| format!("{} holds a secret", resource.address)));
    wrong
}

#[test]
fn secrets_are_never_plain() {
    check(
        no_variable_holds_a_secret,
        &[
            Mutant(
                "terraform/main.tf",
                "RUST_LOG                     = var.rust_log\n",
                "RUST_LOG                     = var.rust_log\n      HUB_TOKEN = \"x\"\n",
            ),
            Mutant(
                "terraform/modules/registry/main.tf",
                "Images of the Export Service\"",
                "hf_abcdefghijklmnop\"",
            ),
        ],
    );
}
