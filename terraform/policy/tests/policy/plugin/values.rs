//! Generated values of the attributes that the cloud would compute.

use rmpv::Value;

use super::{messages::DynamicValue, schema::Block};

/// The number of every project, and of every AWS account.
pub(crate) const NUMBER: &str = "123456789012";

/// The field of an object; nil if there is none.
pub(super) fn field<'a>(object: &'a Value, name: &str) -> &'a Value {
    let fields = object.as_map().map_or(&[][..], Vec::as_slice);
    fields.iter().find(|(key, _)| key.as_str() == Some(name)).map_or(&Value::Nil, |(_, value)| value)
}

/// A Cloud Run service gets a new revision whenever its template changes.
pub(super) fn next_revision(type_name: &str, before: &Value, after: Value) -> Value {
    let changed = field(before, "template") != field(&after, "template");
    if type_name != "google_cloud_run_v2_service" || after.is_nil() || !changed {
        return after;
    }
    let last = field(before, "latest_ready_revision").as_str().and_then(|name| name.rsplit('-').next());
    let next = last.and_then(|number| number.parse::<u32>().ok()).unwrap_or(0) + 1;
    let of = |name| field(&after, name).as_str().unwrap_or_default();
    let (project, location, service) = (of("project"), of("location"), of("name"));
    let name =
        format!("projects/{project}/locations/{location}/services/{service}/revisions/{service}-{next:05}");
    let Value::Map(fields) = after else { return after };
    let set = |(key, value): (Value, Value)| match key.as_str() {
        Some("latest_ready_revision") => (key, Value::from(name.as_str())),
        _ => (key, value),
    };
    Value::Map(fields.into_iter().map(set).collect())
}

pub(super) fn decode(value: Option<&DynamicValue>) -> Value {
    let Some(value) = value else { return Value::Nil };
    if value.json.is_empty() {
        rmpv::decode::read_value(&mut value.msgpack.as_slice()).unwrap_or(Value::Nil)
    } else {
        from_json(&serde_json::from_slice(&value.json).unwrap())
    }
}

pub(super) fn encode(value: &Value) -> DynamicValue {
    let mut msgpack = Vec::new();
    rmpv::encode::write_value(&mut msgpack, value).unwrap();
    DynamicValue { msgpack, json: Vec::new() }
}

pub(super) fn from_json(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(b) => Value::from(*b),
        serde_json::Value::Number(n) => {
            n.as_i64().map_or_else(|| n.as_f64().map_or(Value::Nil, Value::from), Value::from)
        }
        serde_json::Value::String(s) => Value::from(s.as_str()),
        serde_json::Value::Array(all) => Value::Array(all.iter().map(from_json).collect()),
        serde_json::Value::Object(all) => {
            Value::Map(all.iter().map(|(k, v)| (Value::from(k.as_str()), from_json(v))).collect())
        }
    }
}

/// `planned`, with an unknown value for every attribute that the cloud computes.
pub(super) fn with_unknowns(block: &Block, planned: Value) -> Value {
    each_computed(block, planned, |_, _, _| Value::Ext(0, vec![0]))
}

/// `planned`, with a plausible value for every unknown one.
pub(super) fn with_made_up(type_name: &str, block: &Block, planned: Value) -> Value {
    each_computed(block, planned, |given, name, kind| made_up(type_name, given, name, kind))
}

/// Replaces the computed attributes that are null or unknown.
fn each_computed(
    block: &Block,
    state: Value,
    make: impl Fn(&[(Value, Value)], &str, &str) -> Value,
) -> Value {
    let Value::Map(given) = state else { return state };
    let fill = |(key, value): &(Value, Value)| {
        let name = key.as_str().unwrap_or_default();
        let computed = block.attributes.get(name).and_then(|text| text.strip_prefix("computed "));
        match (computed, value) {
            (Some(kind), Value::Nil | Value::Ext(..)) => (key.clone(), make(&given, name, kind)),
            _ => (key.clone(), value.clone()),
        }
    };
    Value::Map(given.iter().map(fill).collect())
}

fn made_up(type_name: &str, given: &[(Value, Value)], name: &str, kind: &str) -> Value {
    let of = |name: &str| {
        let found = given.iter().find(|(key, _)| key.as_str() == Some(name));
        found.and_then(|(_, value)| value.as_str()).unwrap_or_default()
    };
    let email = || format!("{}@{}.iam.gserviceaccount.com", of("account_id"), of("project"));
    let agent = |service: &str| format!("serviceAccount:service-{NUMBER}@{service}.iam.gserviceaccount.com");
    let pool = |project: &str| {
        format!(
            "projects/{project}/locations/global/workloadIdentityPools/{}",
            of("workload_identity_pool_id")
        )
    };
    let text = match (type_name, name) {
        ("google_service_account", "email") => email(),
        ("google_service_account", "member") => format!("serviceAccount:{}", email()),
        ("google_service_account", "name" | "id") => {
            format!("projects/{}/serviceAccounts/{}", of("project"), email())
        }
        ("google_project_iam_custom_role", "name" | "id") => {
            format!("projects/{}/roles/{}", of("project"), of("role_id"))
        }
        ("google_iam_workload_identity_pool", "id") => pool(of("project")),
        ("google_iam_workload_identity_pool", "name") => pool(NUMBER),
        ("google_iam_workload_identity_pool_provider", "name" | "id") => {
            let project = if name == "id" { of("project") } else { NUMBER };
            format!("{}/providers/{}", pool(project), of("workload_identity_pool_provider_id"))
        }
        ("google_storage_project_service_account", "member") => agent("gs-project-accounts"),
        ("google_project_service_identity", "member") => {
            agent(&format!("gcp-sa-{}", of("service").trim_end_matches(".googleapis.com")))
        }
        ("google_monitoring_slo", "name") => {
            format!("projects/{NUMBER}/services/{}/serviceLevelObjectives/{}", of("service"), of("slo_id"))
        }
        ("google_kms_key_ring", "id") => {
            format!("projects/{}/locations/{}/keyRings/{}", of("project"), of("location"), of("name"))
        }
        ("google_kms_crypto_key", "id") => format!("{}/cryptoKeys/{}", of("key_ring"), of("name")),
        ("google_identity_platform_config", "id") => format!("projects/{}/config", of("project")),
        ("google_cloud_run_v2_service", "uri") => {
            format!("https://{}-{NUMBER}.{}.run.app", of("name"), of("location"))
        }
        ("google_firebase_hosting_site", "default_url") => format!("https://{}.web.app", of("site_id")),
        ("google_project", "number") | ("aws_caller_identity", "account_id") => NUMBER.to_owned(),
        _ => format!("{type_name}/{name}"),
    };
    match kind {
        "string" => Value::from(text),
        "number" => Value::from(1),
        "bool" => Value::from(false),
        list if list.starts_with("list") || list.starts_with("set") => Value::Array(Vec::new()),
        _ => Value::Map(Vec::new()),
    }
}
