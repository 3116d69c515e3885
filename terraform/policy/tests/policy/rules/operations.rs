//! Alerts, the metrics behind them, and the enabled APIs.

use std::collections::BTreeSet;

use regex::Regex;

use super::{Mutant, check, deployed, differs};
use crate::rehearsal::{Deployment, Settings, read, root, terraform};

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
        let names = ["health", "list", "create", "get", "cancel", "export-job"];
        if !name.captures(filter).is_some_and(|found| names.contains(&&found[1])) {
            wrong.push(format!("{} counts in nothing that is deployed: {filter}", metric.address));
        }
    }
    wrong.extend(differs("log metrics", deployment.all("google_logging_metric").count(), 4));
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
                "resource.labels.service_name=\\\"${var.functions.get}\\\"",
                "resource.labels.service_name=\\\"gets\\\"",
            ),
        ],
    );
}

fn alerts_watch_what_can_go_wrong(deployment: &Deployment) -> Vec<String> {
    let mut wrong = Vec::new();
    let metrics: BTreeSet<_> = deployment
        .all("google_logging_metric")
        .map(|m| format!("logging.googleapis.com/user/{}", m.text("name")))
        .collect();
    let platform = [
        "monitoring.googleapis.com/uptime_check/check_passed",
        "run.googleapis.com/container/instance_count",
        "run.googleapis.com/job/completed_execution_count",
        "run.googleapis.com/request_count",
        "run.googleapis.com/request_latencies",
    ];
    let named = Regex::new("metric.type=\"([^\"]+)\"").unwrap();
    let mut watched = BTreeSet::new();
    let emails = deployment.all("google_monitoring_notification_channel").count();
    for alert in deployment.all("google_monitoring_alert_policy") {
        let condition = alert.at("conditions.0.condition_threshold.0");
        let filter = condition["filter"].as_str().unwrap_or_default();
        let metric = named.captures(filter).map(|found| found[1].to_owned()).unwrap_or_default();
        if !metrics.contains(&metric) && !platform.contains(&metric.as_str()) {
            wrong.push(format!("{} watches {metric:?}, which nothing writes", alert.address));
        }
        watched.insert(metric);
        let told = alert.at("notification_channels").as_array().map_or(0, Vec::len);
        wrong.extend(differs(&format!("{} channels", alert.address), told, emails));
        if !filter.contains("resource.type=") {
            wrong.push(format!("{} does not say whose metric it watches", alert.address));
        }
    }
    let all: BTreeSet<_> = metrics.into_iter().chain(platform.map(str::to_owned)).collect();
    wrong.extend(differs("watched", watched, all));
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
        ],
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
    let each = differs("alerts that lead to a heading", led.len(), alerts.len());
    differs("headings", led, headings).into_iter().chain(each).collect()
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
        ("google_cloud_run_v2_", "run"),
        ("google_firebase_hosting_", "firebasehosting"),
        ("google_firebase_", "firebase"),
        ("google_firestore_", "firestore"),
        ("google_iam_", "iam"),
        ("google_identity_platform_", "identitytoolkit"),
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
    // the Firebase CLI releases security rules, get signs links through iamcredentials, and workflows exchange their
    // tokens at sts
    let others = ["firebaserules", "iamcredentials", "sts"];
    let needed = deployment.resources.iter().map(|resource| api_of(&resource.kind)).chain(others);
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
    if !terraform() {
        return;
    }
    let outputs = &deployed(Settings::Everything).outputs;
    assert_eq!(outputs["url"]["value"], "https://demo-export-site.web.app");
    assert_eq!(outputs["registry"]["value"], "us-central1-docker.pkg.dev/demo-export/export-service");
    assert_eq!(outputs["service_accounts"]["value"].as_object().unwrap().len(), 6);
    assert_eq!(
        outputs["github"]["value"]["service_account"],
        "export-deployer@demo-export.iam.gserviceaccount.com"
    );
    assert!(deployed(Settings::Staging).outputs["github"]["value"].is_null());
}
