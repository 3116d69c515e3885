//! What Google Cloud remembers between two runs of Terraform, and what it refuses. The memory is a folder, because the
//! scripts that replace gcloud and firebase share it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use regex::Regex;
use rmpv::Value;

use super::values::{NUMBER, field};

/// A metric is known to alerts after so many further configurations of a provider, unless the file `metric-delay` says
/// otherwise. An apply configures two providers twice, once to plan and once to apply.
const METRIC_DELAY: u32 = 12;

/// APIs that reject the credentials of a person unless the request names a quota project.
const NEED_QUOTA_PROJECT: [&str; 4] =
    ["google_billing_budget", "google_firebase_", "google_firebaserules_", "google_identity_platform_"];

/// One project. Without a folder it remembers nothing and refuses nothing.
#[derive(Debug, Clone)]
pub(crate) struct Cloud(Option<PathBuf>);

/// The state of something whose id stays reserved after its deletion: a file with one word.
const ACTIVE: &str = "ACTIVE";
const DELETED: &str = "DELETED";
/// Deleted so long ago that it cannot be restored, while its id is still reserved.
pub(crate) const PURGED: &str = "PURGED";
/// An id that is reserved no more.
const FREE: &str = "FREE";
/// A key whose versions were destroyed.
const DESTROYED: &str = "DESTROYED";

impl Cloud {
    pub(crate) fn without_memory() -> Self {
        Self(None)
    }

    pub(crate) fn in_folder(folder: PathBuf) -> Self {
        fs::create_dir_all(&folder).unwrap();
        Self(Some(folder))
    }

    /// Notes whether the provider sends a quota project.
    pub(super) fn configure(&self, source: &str, config: &Value) {
        let Some(folder) = &self.0 else { return };
        write(folder, "clock", &(clock(folder) + 1).to_string());
        let sends = field(config, "user_project_override").as_bool() == Some(true)
            && field(config, "billing_project").as_str().is_some();
        write(folder, &format!("quota-project/{source}"), if sends { "sent" } else { "missing" });
    }

    /// Creates, changes or deletes a resource; nil stands for a resource that does not exist.
    ///
    /// # Errors
    /// What the cloud returns.
    pub(super) fn apply(&self, source: &str, kind: &str, change: (&Value, &Value)) -> Result<(), String> {
        let Some(folder) = &self.0 else { return Ok(()) };
        if NEED_QUOTA_PROJECT.iter().any(|prefix| kind.starts_with(prefix))
            && read(folder, &format!("quota-project/{source}")).as_deref() != Some("sent")
        {
            return Err("Error 403: Your application is authenticating by using local Application Default \
                        Credentials. The API requires a quota project, which is not set by default."
                .to_owned());
        }
        let (before, after) = change;
        is_slow(folder, kind);
        api_is_known(folder, kind)?;
        if after.is_nil() {
            match text(before, "deletion_policy") {
                "PREVENT" => return Err("Error: deletion_policy is set to \"PREVENT\"".to_owned()),
                "ABANDON" => {}
                _ => delete(folder, kind, before),
            }
            return Ok(());
        }
        starts(folder, kind, after)?;
        traffic_is_valid(folder, kind, after)?;
        alert_is_valid(kind, after)?;
        if before.is_nil() {
            create(folder, kind, after)?;
        }
        metrics_are_known(folder, kind, after)?;
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, after).unwrap();
        let kept = folder.join(format!("kept/{kind}/{}", text(after, "id").replace('/', "~")));
        fs::create_dir_all(kept.parent().unwrap()).unwrap();
        fs::write(kept, bytes).unwrap();
        Ok(())
    }

    /// What the provider says about a type that the file `deprecated` names.
    pub(super) fn warning(&self, kind: &str) -> Option<String> {
        let deprecated = read(self.0.as_ref()?, "deprecated")?;
        (deprecated == kind).then(|| "Argument is deprecated".to_owned())
    }

    /// The resource with that id, for `terraform import`, which knows no deletion policy.
    pub(super) fn find(&self, kind: &str, id: &str) -> Option<Value> {
        let bytes = fs::read(self.0.as_ref()?.join(format!("kept/{kind}/{}", id.replace('/', "~")))).ok()?;
        let Value::Map(fields) = rmpv::decode::read_value(&mut bytes.as_slice()).ok()? else { return None };
        let imported = fields.into_iter().map(|(name, value)| match name.as_str() {
            Some("deletion_policy") => (name, Value::Nil),
            _ => (name, value),
        });
        Some(Value::Map(imported.collect()))
    }

    /// The resource as the API returns it: zeros of a dashboard are left out, and the traffic of a service is where
    /// somebody has moved it.
    pub(super) fn read(&self, kind: &str, state: Value) -> Value {
        let moved =
            self.0.as_ref().and_then(|folder| read(folder, &format!("moved/{}", text(&state, "name"))));
        let Value::Map(mut fields) = state else { return state };
        if let ("google_cloud_run_v2_service", Some(revisions)) = (kind, moved) {
            for (_, value) in fields.iter_mut().filter(|(name, _)| name.as_str() == Some("traffic")) {
                *value = Value::Array(revisions.lines().map(target).collect());
            }
        }
        if kind == "google_monitoring_dashboard" {
            for (name, value) in &mut fields {
                if let (Some("dashboard_json"), Some(json)) = (name.as_str(), value.as_str()) {
                    *value = json.replace("\"xPos\":0,", "").replace("\"yPos\":0,", "").into();
                }
            }
        }
        Value::Map(fields)
    }
}

/// Something takes as long as the file `slow` has its type. The file `begun` appears at its beginning.
fn is_slow(folder: &Path, kind: &str) {
    let end = Instant::now() + Duration::from_secs(60);
    while read(folder, "slow").as_deref() == Some(kind) && Instant::now() < end {
        write(folder, "begun", kind);
        thread::sleep(Duration::from_millis(20));
    }
}

/// A revision is not ready if its container does not start: the file `not-starting` has the digest of an image.
fn starts(folder: &Path, kind: &str, after: &Value) -> Result<(), String> {
    let broken = read(folder, "not-starting");
    if kind == "google_cloud_run_v2_service"
        && broken.is_some_and(|digest| field(after, "template").to_string().contains(&digest))
    {
        return Err(format!(
            "Error waiting to update Service: Error code 9, message: Revision '{0}-00002-abc' is not ready and cannot \
             serve traffic. The user-provided container failed to start and listen on the port defined provided by \
             the PORT=8080 environment variable within the allocated timeout.",
            text(after, "name")
        ));
    }
    Ok(())
}

/// A target of traffic, of `REVISION PERCENT`.
fn target(line: &str) -> Value {
    let (revision, percent) = line.split_once(' ').unwrap();
    Value::Map(vec![
        ("percent".into(), percent.parse::<i64>().unwrap().into()),
        ("revision".into(), revision.into()),
        ("tag".into(), Value::Nil),
        ("type".into(), "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION".into()),
    ])
}

/// Traffic is given to revisions by their last name. The file `share-refused` has the name of a service and the percentage
/// that its latest revision does not get.
fn traffic_is_valid(folder: &Path, kind: &str, after: &Value) -> Result<(), String> {
    if kind != "google_cloud_run_v2_service" {
        return Ok(());
    }
    let refused = read(folder, "share-refused").unwrap_or_default();
    for part in field(after, "traffic").as_array().map_or(&[][..], Vec::as_slice) {
        let share = format!("{} {}", text(after, "name"), field(part, "percent"));
        if text(part, "revision").contains('/') || (text(part, "revision").is_empty() && share == refused) {
            return Err(format!(
                "Error updating Service: googleapi: Error 400: spec.traffic is invalid: {part}"
            ));
        }
    }
    // an update replaces what was done by hand
    let _ = fs::remove_file(folder.join("moved").join(text(after, "name")));
    Ok(())
}

/// A condition in PromQL is the only one of its alert, and is on a metric with data unless it says that this is not validated.
/// The data of quotas begins with their use.
fn alert_is_valid(kind: &str, after: &Value) -> Result<(), String> {
    if kind != "google_monitoring_alert_policy" {
        return Ok(());
    }
    let conditions = field(after, "conditions").as_array().map_or(&[][..], Vec::as_slice);
    for condition in conditions {
        let promql = field(condition, "condition_prometheus_query_language").as_array();
        let Some(promql) = promql.and_then(|blocks| blocks.first()) else { continue };
        if conditions.len() > 1 {
            return Err("Error creating AlertPolicy: googleapi: Error 400: Field alert_policy.conditions had an invalid \
                        value: a PromQL condition must be the only condition of its policy."
                .to_owned());
        }
        if field(promql, "disable_metric_validation").as_bool() != Some(true) {
            return Err("Error creating AlertPolicy: googleapi: Error 400: The metric referenced in the PromQL query \
                        does not exist."
                .to_owned());
        }
    }
    Ok(())
}

/// An API refuses everything for some minutes after it was enabled. The file `young-api` has the prefix of the types of one,
/// and the number of configurations of providers until it is known.
fn api_is_known(folder: &Path, kind: &str) -> Result<(), String> {
    let young = read(folder, "young-api").unwrap_or_default();
    match young.split_once(' ') {
        Some((prefix, known_at)) if kind.starts_with(prefix) && clock(folder) < known_at.parse().unwrap() => {
            Err(format!(
                "googleapi: Error 403: The API of {prefix} has not been used in project {NUMBER} before or it is \
                 disabled. If you enabled this API recently, wait a few minutes for the action to propagate to our \
                 systems and retry. \"reason\": \"SERVICE_DISABLED\""
            ))
        }
        _ => Ok(()),
    }
}

fn create(folder: &Path, kind: &str, after: &Value) -> Result<(), String> {
    let name = text(after, "name");
    if read(folder, &format!("taken/{kind}/{name}")).is_some() {
        return Err(format!("googleapi: Error 409: Resource '{name}' already exists."));
    }
    if let Some(error) = read(folder, &format!("refused/{kind}")) {
        return Err(error);
    }
    match kind {
        "google_logging_metric" => {
            write(folder, &metric(text(after, "name")), &clock(folder).to_string());
        }
        "google_identity_platform_config" => {
            if read(folder, "identity-platform").is_some() {
                return Err("Error creating Config: googleapi: Error 400: INVALID_PROJECT_ID : Identity \
                            Platform has already been enabled for this project."
                    .to_owned());
            }
            write(folder, "identity-platform", ACTIVE);
        }
        "google_iam_workload_identity_pool" | "google_iam_workload_identity_pool_provider" => {
            if read(folder, &pool(after)).is_some() {
                return Err("googleapi: Error 409: Requested entity already exists".to_owned());
            }
            write(folder, &pool(after), ACTIVE);
        }
        "google_project_iam_custom_role" => {
            let file = format!("roles/{}", text(after, "role_id"));
            match read(folder, &file).as_deref() {
                Some(ACTIVE) => return Err(format!("{file} already exists and must be imported")),
                Some(PURGED) => {
                    return Err(format!(
                        "googleapi: Error 400: You can't create a role_id ({}) which has been marked for deletion",
                        text(after, "role_id")
                    ));
                }
                // the provider undeletes it
                Some(_) | None => write(folder, &file, ACTIVE),
            }
        }
        "google_firestore_database" => match read(folder, "database").as_deref() {
            Some(DELETED) => {
                // the next attempt is minutes later
                write(folder, "database", FREE);
                return Err(format!(
                    "Error creating Database: googleapi: Error 409: Database ID '{name}' is not available in \
                     project '{}'. Please retry in 274 seconds.",
                    text(after, "project")
                ));
            }
            Some(ACTIVE) => {
                return Err(
                    "Error creating Database: googleapi: Error 409: Database already exists. Please use \
                            another database_id"
                        .to_owned(),
                );
            }
            Some(_) | None => write(folder, "database", ACTIVE),
        },
        "google_kms_key_ring" | "google_kms_crypto_key" => {
            if read(folder, &kms(after)).is_some() {
                return Err(format!("googleapi: Error 409: {} already exists.", text(after, "name")));
            }
            write(folder, &kms(after), ACTIVE);
        }
        "google_firebaserules_release" => {
            if read(folder, "rules").is_some() {
                return Err("googleapi: Error 409: Requested entity already exists".to_owned());
            }
            write(folder, "rules", ACTIVE);
        }
        "google_firebase_hosting_site" => {
            let file = format!("sites/{}", text(after, "site_id"));
            if read(folder, &file).as_deref() == Some(DELETED) {
                return Err(format!(
                    "googleapi: Error 400: Invalid name: `{}` is reserved",
                    text(after, "site_id")
                ));
            }
            // the provider takes an existing site
            write(folder, &file, ACTIVE);
        }
        "google_firebase_hosting_version" | "google_firebase_hosting_release"
            if read(folder, &format!("sites/{}", text(after, "site_id"))).is_none() =>
        {
            return Err("googleapi: Error 404: Requested entity was not found.".to_owned());
        }
        _ => {}
    }
    Ok(())
}

/// Some deletions only hide, and some are skipped by the provider.
fn delete(folder: &Path, kind: &str, before: &Value) {
    match kind {
        "google_iam_workload_identity_pool" | "google_iam_workload_identity_pool_provider" => {
            write(folder, &pool(before), DELETED);
        }
        "google_project_iam_custom_role" => {
            write(folder, &format!("roles/{}", text(before, "role_id")), DELETED);
        }
        "google_firestore_database" => write(folder, "database", DELETED),
        // the key stays, without a version that can encrypt
        "google_kms_crypto_key" => write(folder, &kms(before), DESTROYED),
        "google_firebaserules_release" => fs::remove_file(folder.join("rules")).unwrap(),
        // the provider never deletes the default site
        "google_firebase_hosting_site" if text(before, "site_id") != text(before, "project") => {
            write(folder, &format!("sites/{}", text(before, "site_id")), DELETED);
        }
        "google_logging_metric" => fs::remove_file(folder.join(metric(text(before, "name")))).unwrap(),
        _ => {}
    }
}

/// Monitoring refuses alerts and objectives on log-based metrics that are too young.
fn metrics_are_known(folder: &Path, kind: &str, resource: &Value) -> Result<(), String> {
    // compiled once: an apply asks for each of its resources
    static NAMED: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"logging\.googleapis\.com/user/([\w/.-]+)").unwrap());
    let resource = resource.to_string();
    let delay = read(folder, "metric-delay").and_then(|delay| delay.parse().ok()).unwrap_or(METRIC_DELAY);
    let is_unknown = |name: &str| {
        let created = read(folder, &metric(name)).and_then(|created| created.parse::<u32>().ok());
        created.is_none_or(|created| clock(folder) < created + delay)
    };
    let unknown = NAMED.captures_iter(&resource).find(|found| is_unknown(&found[1]));
    match (kind, unknown) {
        ("google_monitoring_alert_policy", Some(found)) => Err(format!(
            "Error creating AlertPolicy: googleapi: Error 404: Cannot find metric(s) that match type = \
             \"{}\". If a metric was created recently, it could take up to 10 minutes to become available. \
             Please try again soon.",
            &found[0]
        )),
        ("google_monitoring_slo", Some(_)) => {
            Err("Error creating Slo: googleapi: Error 400: Invalid SLO definition: The metric referenced by \
                 the provided filter is unknown. Check the metric name and labels."
                .to_owned())
        }
        _ => Ok(()),
    }
}

fn clock(folder: &Path) -> u32 {
    read(folder, "clock").and_then(|clock| clock.parse().ok()).unwrap_or(0)
}

fn metric(name: &str) -> String {
    format!("metrics/{}", name.replace('/', "~"))
}

/// The file of a pool, or of a provider of a pool.
fn pool(resource: &Value) -> String {
    let (pool, provider) =
        (text(resource, "workload_identity_pool_id"), text(resource, "workload_identity_pool_provider_id"));
    if provider.is_empty() { format!("pools/{pool}") } else { format!("pools/{pool}.{provider}") }
}

/// The file of a key ring or key.
fn kms(resource: &Value) -> String {
    let (ring, name) =
        (text(resource, "key_ring").rsplit('/').next().unwrap_or_default(), text(resource, "name"));
    if ring.is_empty() { format!("kms/{name}") } else { format!("kms/{ring}.{name}") }
}

fn text<'a>(resource: &'a Value, name: &str) -> &'a str {
    field(resource, name).as_str().unwrap_or_default()
}

fn read(folder: &Path, file: &str) -> Option<String> {
    fs::read_to_string(folder.join(file)).ok().map(|text| text.trim().to_owned())
}

fn write(folder: &Path, file: &str, text: &str) {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}
