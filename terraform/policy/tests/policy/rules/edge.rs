//! Public endpoints: Hosting's rewrites, and the functions behind them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Mutant, check, differs};
use crate::{
    plugin::NUMBER,
    rehearsal::{Deployment, read},
};

const INVOKER: &str = "google_cloud_run_v2_service_iam_member";

fn hosting() -> Value {
    serde_json::from_str::<Value>(&read("hosting/firebase.json")).unwrap()["hosting"].clone()
}

/// The functions that Hosting forwards to. Hosting has no identity, so these must be public, and no others.
fn rewritten() -> BTreeSet<String> {
    let rewrites = hosting()["rewrites"].as_array().unwrap().clone();
    rewrites.iter().filter_map(|rewrite| rewrite["run"]["serviceId"].as_str()).map(str::to_owned).collect()
}

fn only_what_hosting_forwards_to_is_public(deployment: &Deployment) -> Vec<String> {
    let mut wrong = Vec::new();
    for resource in &deployment.resources {
        // bindings of allUsers are refused under domain-restricted sharing
        let values = resource.values.to_string();
        if values.contains("allUsers") || values.contains("allAuthenticatedUsers") {
            wrong.push(format!("{} is open to everybody", resource.address));
        }
    }
    let public: BTreeSet<_> = deployment
        .all("google_cloud_run_v2_service")
        .filter(|service| *service.at("invoker_iam_disabled") == true)
        .map(|service| service.text("name").to_owned())
        .collect();
    wrong.extend(differs("public functions", public, rewritten()));
    let callers: Vec<_> =
        deployment.all(INVOKER).map(|member| (member.text("member"), member.text("name"))).collect();
    let expected = vec![("serviceAccount:export-create@demo-export.iam.gserviceaccount.com", "list")];
    wrong.extend(differs("callers", callers, expected));
    wrong
}

#[test]
fn the_public_functions_are_those_of_the_rewrites() {
    check(
        only_what_hosting_forwards_to_is_public,
        &[
            Mutant("terraform/main.tf", "contains(local.public_functions, each.key)", "true"),
            Mutant("terraform/main.tf", "callers = [\"create\"]", "callers = [\"create\", \"get\"]"),
            Mutant("terraform/modules/function/main.tf", "  invoker_iam_disabled = var.public\n", ""),
            Mutant(
                "terraform/modules/job/main.tf",
                "custom_role.launcher.name\n  member   = each.value\n",
                "custom_role.launcher.name\n  member   = \"allUsers\"\n",
            ),
            Mutant(
                "terraform/main.tf",
                "  member   = module.function[each.value[0]].service_account_member\n",
                "  member   = \"allUsers\"\n",
            ),
        ],
    );
}

fn released_rewrites_are_those_of_the_cli(deployment: &Deployment) -> Vec<String> {
    let (hosting, functions) = (hosting(), ["health", "list", "create", "get", "cancel", "plan"]);
    let mut wrong = Vec::new();
    for name in rewritten() {
        if !functions.contains(&name.as_str()) {
            wrong.push(format!("Hosting forwards to {name}, which is no function"));
        }
    }
    for version in deployment.all("google_firebase_hosting_version") {
        let config = version.at("config.0");
        let found: Vec<_> = config["rewrites"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|r| (&r["glob"], &r["run"][0]["service_id"], &r["run"][0]["region"]))
            .collect();
        let expected: Vec<_> = hosting["rewrites"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|r| (&r["source"], &r["run"]["serviceId"], &r["run"]["region"]))
            .collect();
        wrong.extend(differs("rewrites", found, expected));
        let pairs = |headers: &Value| -> BTreeSet<String> {
            match headers {
                Value::Object(all) => all
                    .iter()
                    .map(|(key, value)| format!("{key}: {}", value.as_str().unwrap_or_default()))
                    .collect(),
                Value::Array(all) => all
                    .iter()
                    .map(|h| {
                        format!(
                            "{}: {}",
                            h["key"].as_str().unwrap_or_default(),
                            h["value"].as_str().unwrap_or_default()
                        )
                    })
                    .collect(),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => BTreeSet::new(),
            }
        };
        let found: Vec<_> = config["headers"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|h| (&h["glob"], pairs(&h["headers"])))
            .collect();
        let expected: Vec<_> = hosting["headers"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|h| (&h["source"], pairs(&h["headers"])))
            .collect();
        wrong.extend(differs("headers", found, expected));
    }
    let (versions, releases) = (
        deployment.all("google_firebase_hosting_version").count(),
        deployment.all("google_firebase_hosting_release").count(),
    );
    wrong.extend(differs("releases", releases, versions));
    wrong
}

#[test]
fn hosting_is_the_same_whoever_releases_it() {
    let file = "terraform/modules/hosting/main.tf";
    check(
        released_rewrites_are_those_of_the_cli,
        &[
            Mutant(file, "glob = rewrites.value.source", "glob = \"/export\""),
            Mutant(file, "region     = var.region", "region     = \"europe-west1\""),
            Mutant(file, "      for_each = var.headers\n", "      for_each = slice(var.headers, 0, 1)\n"),
            Mutant(
                "terraform/main.tf",
                "rewrites                = local.hosting.rewrites",
                "rewrites                = slice(local.hosting.rewrites, 0, 2)",
            ),
        ],
    );
}

/// API paths must never be cached: Hosting's CDN keeps even a 404 for ten minutes without another header. Of headers
/// that match a path, the last one applies.
fn cached(hosting: &Value) -> Vec<String> {
    let headers = hosting["headers"].as_array().unwrap();
    let rewrites = hosting["rewrites"].as_array().unwrap().iter().map(|rewrite| &rewrite["source"]);
    let cached = rewrites.filter(|path| {
        let of_path = headers.iter().filter(|h| h["source"] == **path || h["source"] == "**");
        let mut all = of_path.flat_map(|h| h["headers"].as_array().unwrap());
        all.rfind(|header| header["key"] == "Cache-Control").is_none_or(|h| h["value"] != "no-store")
    });
    cached.map(|path| format!("{path} may be cached")).collect()
}

#[test]
fn api_paths_are_never_cached() {
    assert_eq!(cached(&hosting()), Vec::<String>::new());
    let text = read("hosting/firebase.json");
    for (from, to) in [
        (r#""source": "/exports/**", "headers""#, r#""source": "/export/**", "headers""#),
        (
            r#""source": "/exports", "headers": [{ "key": "Cache-Control", "value": "no-store" }]"#,
            r#""source": "/exports", "headers": []"#,
        ),
        (
            r#""source": "/health", "headers": [{ "key": "Cache-Control", "value": "no-store" }]"#,
            r#""source": "/health", "headers": [{ "key": "Cache-Control", "value": "public, max-age=60" }]"#,
        ),
    ] {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        let mutant: Value = serde_json::from_str(&text.replace(from, to)).unwrap();
        assert!(!cached(&mutant["hosting"]).is_empty(), "nothing minds {from} → {to}");
    }
}

/// `create` has the URL of `list` in its environment before `list` exists.
fn create_is_told_where_list_is(deployment: &Deployment) -> Vec<String> {
    let create =
        deployment.all("google_cloud_run_v2_service").find(|function| function.text("name") == "create");
    let env =
        create.map(|create| create.at("template.0.containers.0.env").as_array().cloned().unwrap_or_default());
    let url =
        env.into_iter().flatten().find(|variable| variable["name"] == "LIST_URL").map(|v| v["value"].clone());
    differs("LIST_URL", url, Some(Value::from(format!("https://list-{NUMBER}.us-central1.run.app"))))
        .into_iter()
        .collect()
}

#[test]
fn list_url_is_the_one_that_cloud_run_will_give() {
    check(
        create_is_told_where_list_is,
        &[Mutant(
            "terraform/main.tf",
            "\"https://${var.name_prefix}list-${data.google_project.this.number}",
            "\"https://list-${var.project_id}",
        )],
    );
}
