//! Alerts, the metrics behind them, and the enabled APIs.

use std::collections::BTreeSet;

use regex::Regex;

use shared::domain::FailureCode;

use super::{Mutant, check, deployed, differs};
use crate::{
    plugin::NUMBER,
    rehearsal::{Deployment, Resource, Settings, read, rehearses, root},
};

/// The source of a crate, without its tests.
fn source(folder: &str) -> String {
    let mut text = String::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    text
}

/// A metric on a message that is not in the code stays at zero, and its alert never fires.
fn counted_texts_are_logged(deployment: &Deployment) -> Vec<String> {
    let name = Regex::new("(?:job_name|service_name)=\"([^\"]+)\"").unwrap();
    let message = Regex::new("jsonPayload.message=\"([^\"]+)\"").unwrap();
    let field = Regex::new("jsonPayload\\.\"?([\\w.]+)").unwrap();
    let mut wrong = Vec::new();
    for metric in deployment.all("google_logging_metric") {
        let filter = metric.text("filter");
        let Some(text) = message.captures(filter).map(|found| found[1].to_owned()) else {
            wrong.push(format!("{} counts no text: {filter}", metric.address));
            continue;
        };
        let logged = if filter.contains("cloud_run_job") {
            source("job/src")
        } else {
            source("shared/src") + &source("functions")
        };
        if !logged.contains(&format!("\"{text}\"")) {
            wrong.push(format!("{} counts {text:?}, which is not logged there", metric.address));
        }
        let extractors = metric.at("label_extractors").as_object().into_iter().flat_map(|all| all.values());
        let values = extractors.filter_map(|value| value.as_str()).chain([metric.text("value_extractor")]);
        let read = values
            .chain([filter])
            .flat_map(|text| field.captures_iter(text))
            .map(|found| found[1].to_owned());
        let unknown = read.filter(|name| name != "message" && !logged.contains(&format!("{name} = ")));
        wrong.extend(unknown.map(|name| format!("{} reads {name}, which no line has", metric.address)));
        let names = ["health", "list", "create", "get", "cancel", "plan", "export-job"];
        if !name.captures(filter).is_some_and(|found| names.contains(&&found[1])) {
            wrong.push(format!("{} counts in nothing that is deployed: {filter}", metric.address));
        }
    }
    wrong.extend(differs("log metrics", deployment.all("google_logging_metric").count(), 8));
    wrong
}

#[test]
fn log_metrics_count_what_is_logged() {
    let file = "terraform/modules/monitoring/main.tf";
    check(
        counted_texts_are_logged,
        &[
            Mutant(
                file,
                "jsonPayload.message=\\\"export failed\\\"",
                "jsonPayload.message=\\\"export has failed\\\"",
            ),
            Mutant(
                file,
                "service_name=\\\"${var.functions.get}\\\" jsonPayload.message=\\\"creating",
                "service_name=\\\"gets\\\" jsonPayload.message=\\\"creating",
            ),
            Mutant(
                file,
                "EXTRACT(jsonPayload.seconds_since_request)",
                "EXTRACT(jsonPayload.seconds_since_claim)",
            ),
            Mutant(file, "EXTRACT(jsonPayload.\\\"failure.code\\\")", "EXTRACT(jsonPayload.cause_of_end)"),
        ],
    );
}

/// Metrics of Google Cloud that alerts and objectives watch, also by their names in PromQL.
const OF_THE_PLATFORM: [&str; 9] = [
    "monitoring.googleapis.com/uptime_check/check_passed",
    "run.googleapis.com/container/instance_count",
    "run.googleapis.com/job/completed_execution_count",
    "run.googleapis.com/request_count",
    "run.googleapis.com/request_latencies",
    "serviceruntime.googleapis.com/quota/exceeded",
    "serviceruntime_googleapis_com:quota_allocation_usage",
    "serviceruntime_googleapis_com:quota_limit",
    "serviceruntime_googleapis_com:quota_rate_net_usage",
];

/// What the conditions of an alert and the objectives watch.
fn queries(resource: &Resource) -> Vec<String> {
    let conditions = resource.at("conditions").as_array().into_iter().flatten();
    let of_alert = conditions.flat_map(|condition| {
        [
            condition["condition_threshold"][0]["filter"].clone(),
            condition["condition_prometheus_query_language"][0]["query"].clone(),
        ]
    });
    let of_objective = [
        "request_based_sli.0.good_total_ratio.0.total_service_filter",
        "request_based_sli.0.good_total_ratio.0.bad_service_filter",
        "request_based_sli.0.distribution_cut.0.distribution_filter",
    ];
    let of_objective = of_objective.map(|path| resource.at(path).clone());
    of_alert.chain(of_objective).filter_map(|query| query.as_str().map(str::to_owned)).collect()
}

fn alerts_watch_what_can_go_wrong(deployment: &Deployment) -> Vec<String> {
    let mut wrong = Vec::new();
    let metrics: BTreeSet<_> = deployment
        .all("google_logging_metric")
        .map(|m| format!("logging.googleapis.com/user/{}", m.text("name")))
        .chain(OF_THE_PLATFORM.map(str::to_owned))
        .collect();
    let objectives: BTreeSet<_> =
        deployment.all("google_monitoring_slo").map(|slo| slo.text("name").to_owned()).collect();
    let named = Regex::new("metric.type=\"([^\"]+)\"|(serviceruntime_googleapis_com:\\w+)").unwrap();
    let burn = Regex::new("^select_slo_burn_rate\\(\"([^\"]+)\", \"[0-9]+s\"\\)$").unwrap();
    let (mut watched, mut burning) = (BTreeSet::new(), BTreeSet::new());
    let emails = deployment.all("google_monitoring_notification_channel").count();
    let alerts = deployment.all("google_monitoring_alert_policy");
    for resource in alerts.chain(deployment.all("google_monitoring_slo")) {
        for query in queries(resource) {
            if let Some(objective) = burn.captures(&query) {
                burning.insert(objective[1].to_owned());
                continue;
            }
            let names: BTreeSet<_> = named
                .captures_iter(&query)
                .filter_map(|found| found.get(1).or(found.get(2)))
                .map(|found| found.as_str().to_owned())
                .collect();
            let unknown: Vec<_> = names.difference(&metrics).collect();
            if names.is_empty() || !unknown.is_empty() {
                wrong.push(format!("{} watches {query:?}, which nothing writes", resource.address));
            }
            if !query.contains("resource.type=") && !query.contains("monitored_resource=") {
                wrong.push(format!("{} does not say whose metric it watches", resource.address));
            }
            watched.extend(names);
        }
    }
    for alert in deployment.all("google_monitoring_alert_policy") {
        let told = alert.at("notification_channels").as_array().map_or(0, Vec::len);
        wrong.extend(differs(&format!("{} channels", alert.address), told, emails));
    }
    wrong.extend(differs("watched", watched, metrics));
    wrong.extend(differs("objectives with alerts", burning, objectives));
    let uptime = deployment.all("google_monitoring_uptime_check_config").next();
    let asks = uptime.is_some_and(|check| {
        check.text("http_check.0.path") == "/health" && *check.at("http_check.0.validate_ssl") == true
    });
    if !asks {
        wrong.push("nobody asks for /health from outside".to_owned());
    }
    wrong
}

#[test]
fn every_metric_has_an_alert_and_every_alert_a_reader() {
    let file = "terraform/modules/monitoring/main.tf";
    check(
        alerts_watch_what_can_go_wrong,
        &[
            Mutant(
                file,
                "run.googleapis.com/job/completed_execution_count\\\" AND metric.label.result=\\\"failed\\\"",
                "run.googleapis.com/job/completed\\\" AND metric.label.result=\\\"failed\\\"",
            ),
            Mutant(file, "    path         = \"/health\"", "    path         = \"/\""),
            Mutant(
                file,
                "  severity              = each.value.severity\n  notification_channels = [for channel in google_monitoring_notification_channel.email : channel.name]",
                "  severity              = each.value.severity\n  notification_channels = []",
            ),
            Mutant(
                "terraform/modules/monitoring/quotas.tf",
                "metric.type=\\\"serviceruntime.googleapis.com/quota/exceeded\\\"",
                "metric.type=\\\"serviceruntime.googleapis.com/quota\\\"",
            ),
            Mutant(
                "terraform/modules/monitoring/slo.tf",
                "values  = \"${local.in_job} AND metric.type=\\\"logging.googleapis.com/user/${google_logging_metric.this[\"exports_started\"].name}",
                "values  = \"${local.in_job} AND metric.type=\\\"logging.googleapis.com/user/started",
            ),
            Mutant(
                "terraform/modules/monitoring/slo.tf",
                "select_slo_burn_rate(\\\"${google_monitoring_slo.this[each.value.objective].name}",
                "select_slo_burn_rate(\\\"${google_monitoring_slo.this[\"start\"].name}",
            ),
        ],
    );
}

/// The quotas of every API that functions and job call, by the permissions of their calls. Cloud Storage has no quota of
/// requests.
fn quotas_of_called_apis_are_watched(deployment: &Deployment) -> Vec<String> {
    let mut called = BTreeSet::new();
    for permission in super::grants::rows().into_iter().flat_map(|row| row.permissions) {
        called.insert(match permission.split('.').next().unwrap_or_default() {
            "datastore" => "firestore".to_owned(),
            "iam" => "iamcredentials".to_owned(),
            other => other.to_owned(),
        });
    }
    called.remove("storage");
    let named = Regex::new("service=~\"\\(([a-z|]+)\\)").unwrap();
    let mut wrong = Vec::new();
    let alerts = deployment.all("google_monitoring_alert_policy").flat_map(queries);
    for query in alerts.filter(|query| query.contains("consumer_quota") && query.contains("service=~")) {
        let watched = named.captures(&query).map(|found| found[1].split('|').map(str::to_owned).collect());
        wrong.extend(differs("APIs whose quotas are watched", watched.unwrap_or_default(), called.clone()));
    }
    wrong
}

#[test]
fn the_quotas_of_every_called_api_are_watched() {
    check(
        quotas_of_called_apis_are_watched,
        &[Mutant("terraform/modules/monitoring/quotas.tf", "|iamcredentials|cloudkms)", "|iamcredentials)")],
    );
}

/// The text of every alert refers to a heading of docs/OPERATIONS.md.
fn alerts_lead_to_a_paragraph(deployment: &Deployment) -> Vec<String> {
    let operations = read("docs/OPERATIONS.md");
    let (_, section) = operations.split_once("\n## Alerts\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let headings: BTreeSet<_> = section.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let heading = Regex::new("docs/OPERATIONS.md, \"([^\"]+)\"").unwrap();
    let alerts: Vec<_> = deployment.all("google_monitoring_alert_policy").collect();
    let led: BTreeSet<_> = alerts
        .iter()
        .filter_map(|alert| heading.captures(alert.text("documentation.0.content")))
        .map(|found| found.get(1).unwrap().as_str())
        .collect();
    let lost = alerts.iter().filter(|alert| !heading.is_match(alert.text("documentation.0.content")));
    let lost = lost.map(|alert| format!("{} leads to no heading", alert.address));
    differs("headings", led, headings).into_iter().chain(lost).collect()
}

#[test]
fn every_alert_has_its_paragraph_and_every_paragraph_its_alert() {
    let file = "terraform/modules/monitoring/main.tf";
    check(
        alerts_lead_to_a_paragraph,
        &[
            Mutant(file, "    \"ends-lost\" = {", "    \"lost-ends\" = {"),
            Mutant(file, "What to do: docs/OPERATIONS.md, \\\"unreachable\\\".", "Ask somebody."),
        ],
    );
}

/// The code of a failure, and whether it is the caller's to resolve.
const CODES: [FailureCode; 7] = [
    FailureCode::Cancelled,
    FailureCode::InvalidInput,
    FailureCode::AccessDenied,
    FailureCode::NotFound,
    FailureCode::Interrupted,
    FailureCode::Timeout,
    FailureCode::Internal,
];

/// Each objective has an alert on a fast and one on a slow use of its budget, each with a long and a short window; only
/// faults of the service count against the objective of exports.
fn objectives_count_faults_and_alert_on_their_budgets(deployment: &Deployment) -> Vec<String> {
    let mut wrong = Vec::new();
    for slo in deployment.all("google_monitoring_slo") {
        let goal = slo.at("goal").as_f64().unwrap_or_default();
        if !(0.9..1.0).contains(&goal) || slo.at("rolling_period_days") != 30 {
            wrong.push(format!("{}: {goal} of {}", slo.address, slo.at("rolling_period_days")));
        }
        let of_slo = |alert: &&Resource| {
            queries(alert).iter().any(|query| query.contains(&format!("(\"{}\"", slo.text("name"))))
        };
        let alerts: Vec<_> = deployment.all("google_monitoring_alert_policy").filter(of_slo).collect();
        wrong.extend(differs(&format!("{} alerts", slo.address), alerts.len(), 2));
        for alert in alerts {
            let windows: BTreeSet<_> = queries(alert).into_iter().collect();
            if windows.len() != 2 || alert.text("combiner") != "AND" {
                wrong.push(format!("{} needs a long and a short window: {windows:?}", alert.address));
            }
        }
    }
    let faults: BTreeSet<_> =
        CODES.iter().filter(|code| !code.is_for_the_caller()).map(|code| code.as_str().to_owned()).collect();
    let listed = Regex::new("metric.label.failure_code=one_of\\(([^)]*)\\)").unwrap();
    let counted: BTreeSet<_> = deployment
        .all("google_monitoring_slo")
        .flat_map(queries)
        .filter_map(|query| listed.captures(&query).map(|found| found[1].to_owned()))
        .flat_map(|codes| codes.split(", ").map(|code| code.trim_matches('"').to_owned()).collect::<Vec<_>>())
        .collect();
    wrong.extend(differs("faults", counted, faults));
    wrong.extend(differs("objectives", deployment.all("google_monitoring_slo").count(), 3));
    wrong
}

#[test]
fn objectives_are_of_the_service_and_their_budgets_are_watched() {
    let file = "terraform/modules/monitoring/slo.tf";
    check(
        objectives_count_faults_and_alert_on_their_budgets,
        &[
            Mutant(file, "\"internal\", \"interrupted\", \"timeout\"", "\"internal\", \"not_found\""),
            Mutant(file, "[\"21600s\", \"1800s\"]", "[\"21600s\"]"),
            Mutant(file, "goal    = 0.95", "goal    = 1"),
            Mutant(file, "  combiner              = \"AND\"\n", "  combiner              = \"OR\"\n"),
            Mutant(file, "    slow = {", "    # slow = {"),
        ],
    );
}

/// Someone is told before the money is spent; without a budget nothing needs the billing account.
fn a_budget_notifies_early(deployment: &Deployment) -> Vec<String> {
    let emails = deployment.all("google_monitoring_notification_channel").count();
    let mut wrong = Vec::new();
    for budget in deployment.all("google_billing_budget") {
        let rules = budget.at("threshold_rules").as_array().cloned().unwrap_or_default();
        let early =
            |rule: &serde_json::Value| rule["threshold_percent"].as_f64().is_some_and(|part| part < 1.0);
        let forecast = |rule: &serde_json::Value| rule["spend_basis"] == "FORECASTED_SPEND";
        if !rules.iter().any(early) || !rules.iter().any(forecast) {
            wrong.push(format!("{} notifies too late: {rules:?}", budget.address));
        }
        let expected = serde_json::json!([format!("projects/{NUMBER}")]);
        wrong.extend(differs("projects of the budget", budget.at("budget_filter.0.projects"), &expected));
        let told =
            budget.at("all_updates_rule.0.monitoring_notification_channels").as_array().map_or(0, Vec::len);
        wrong.extend(differs("channels of the budget", told, emails));
    }
    wrong
}

#[test]
fn a_budget_is_of_this_project_and_notifies_in_time() {
    let file = "terraform/modules/monitoring/budget.tf";
    check(
        a_budget_notifies_early,
        &[
            Mutant(file, "for_each = [0.5, 0.9, 1]", "for_each = [1, 2]"),
            Mutant(file, "    spend_basis       = \"FORECASTED_SPEND\"\n", ""),
            Mutant(file, "projects = [\"projects/${var.project_number}\"]", "projects = []"),
            Mutant(file, "for_each = length(var.emails) == 0 ? [] : [1]", "for_each = []"),
        ],
    );
    if rehearses() {
        assert_eq!(deployed(Settings::Everything).all("google_billing_budget").count(), 1);
        assert_eq!(deployed(Settings::Staging).all("google_billing_budget").count(), 0);
    }
}

fn the_dashboard_can_be_read(deployment: &Deployment) -> Vec<String> {
    let mut wrong = Vec::new();
    for dashboard in deployment.all("google_monitoring_dashboard") {
        let json: serde_json::Value =
            serde_json::from_str(dashboard.text("dashboard_json")).unwrap_or_default();
        let tiles = json["mosaicLayout"]["tiles"].as_array().cloned().unwrap_or_default();
        let places: BTreeSet<_> =
            tiles.iter().map(|tile| (tile["xPos"].as_i64(), tile["yPos"].as_i64())).collect();
        wrong.extend(differs("tiles in places of their own", places.len(), tiles.len()));
        // the API leaves zeros out, so they would differ at every plan
        let zeros = tiles.iter().filter(|tile| tile["xPos"] == 0 || tile["yPos"] == 0).count();
        wrong.extend(differs("tiles with zeros", zeros, 0));
        let filters = tiles.iter().map(|t| {
            t["widget"]["xyChart"]["dataSets"][0]["timeSeriesQuery"]["timeSeriesFilter"]["filter"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        });
        let without = filters.filter(|filter| !filter.contains("metric.type=\"run.googleapis.com/"));
        wrong.extend(without.map(|filter| format!("a tile shows {filter:?}")));
        if tiles.len() < 6 {
            wrong.push(format!("{} tiles", tiles.len()));
        }
    }
    wrong.extend(differs("dashboards", deployment.all("google_monitoring_dashboard").count(), 1));
    wrong
}

#[test]
fn the_dashboard_has_its_tiles() {
    let file = "terraform/modules/monitoring/main.tf";
    check(
        the_dashboard_can_be_read,
        &[
            Mutant(file, "{ xPos = 6 }", "{}"),
            Mutant(file, "i % 2 == 0 ? {} : { xPos = 6 }", "{ xPos = (i % 2) * 6 }"),
            Mutant(file, "filter = chart.filter", "filter = chart.title"),
        ],
    );
}

/// The API that manages a type of resource.
fn api_of(kind: &str) -> &'static str {
    let apis = [
        ("google_artifact_registry_", "artifactregistry"),
        ("google_billing_budget", "billingbudgets"),
        ("google_cloud_run_v2_", "run"),
        ("google_firebase_hosting_", "firebasehosting"),
        ("google_firebase_", "firebase"),
        ("google_firestore_", "firestore"),
        ("google_iam_", "iam"),
        ("google_identity_platform_", "identitytoolkit"),
        ("google_kms_", "cloudkms"),
        ("google_logging_", "logging"),
        ("google_monitoring_", "monitoring"),
        ("google_project_iam_custom_role", "iam"),
        ("google_project_iam_", "cloudresourcemanager"),
        ("google_project_service", "serviceusage"),
        ("google_service_account", "iam"),
        ("google_storage_", "storage"),
    ];
    apis.iter()
        .find(|(prefix, _)| kind.starts_with(prefix))
        .unwrap_or_else(|| panic!("which API has {kind}?"))
        .1
}

fn every_api_that_is_used_is_on(deployment: &Deployment) -> Vec<String> {
    let on: BTreeSet<_> =
        deployment.all("google_project_service").map(|service| service.text("service").to_owned()).collect();
    // the page gets App Check tokens for proofs of reCAPTCHA, the Firebase CLI releases security rules, get signs links through iamcredentials, and workflows exchange their
    // tokens at sts
    let others = ["firebaseappcheck", "firebaserules", "iamcredentials", "recaptchaenterprise", "sts"];
    // `terraform_data` is Terraform's own
    let of_clouds = deployment.resources.iter().filter(|resource| resource.kind != "terraform_data");
    let needed = of_clouds.map(|resource| api_of(&resource.kind)).chain(others);
    let off: BTreeSet<_> =
        needed.map(|api| format!("{api}.googleapis.com")).filter(|api| !on.contains(api)).collect();
    let kept =
        deployment.all("google_project_service").filter(|service| *service.at("disable_on_destroy") != false);
    let kept = kept.map(|service| format!("{} turns an API off that others may use", service.address));
    off.into_iter().map(|api| format!("{api} is not on")).chain(kept).collect()
}

#[test]
fn the_apis_that_are_used_are_on() {
    let file = "terraform/modules/project-services/main.tf";
    check(
        every_api_that_is_used_is_on,
        &[
            Mutant(file, "    \"firebaserules.googleapis.com\",\n", ""),
            Mutant(file, "    \"iamcredentials.googleapis.com\",\n", ""),
            Mutant(file, "disable_on_destroy = false", "disable_on_destroy = true"),
        ],
    );
}

#[test]
fn outputs_say_what_people_need_next() {
    if !rehearses() {
        return;
    }
    let outputs = &deployed(Settings::Everything).outputs;
    assert_eq!(outputs["url"]["value"], "https://demo-export-site.web.app");
    assert_eq!(outputs["registry"]["value"], "us-central1-docker.pkg.dev/demo-export/export-service");
    assert_eq!(outputs["service_accounts"]["value"].as_object().unwrap().len(), 7);
    assert_eq!(
        outputs["github"]["value"]["service_account"],
        "export-deployer@demo-export.iam.gserviceaccount.com"
    );
    assert!(deployed(Settings::Staging).outputs["github"]["value"].is_null());
}

/// Google has announced a price for each.
#[test]
fn the_documentation_counts_the_conditions_of_alerts() {
    if !rehearses() {
        return;
    }
    let deployment = deployed(Settings::Production);
    let policies = deployment.all("google_monitoring_alert_policy");
    let conditions: usize = policies.map(|policy| policy.at("conditions").as_array().unwrap().len()).sum();
    let expected = format!("for each condition of an alert; there are {conditions}.");
    assert!(read("docs/DEPLOY.md").replace('\n', " ").contains(&expected), "docs/DEPLOY.md: {expected}");
}
