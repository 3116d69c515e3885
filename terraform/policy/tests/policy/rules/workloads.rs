//! Functions and job: identities, images, limits.

use std::collections::BTreeSet;

use shared::serve::CONCURRENCY;

use super::{Mutant, check};
use crate::rehearsal::{Deployment, Resource};

const FUNCTION: &str = "google_cloud_run_v2_service";
const JOB: &str = "google_cloud_run_v2_job";

fn containers(deployment: &Deployment) -> impl Iterator<Item = (&Resource, &'static str)> {
    let functions = deployment.all(FUNCTION).map(|function| (function, "template.0"));
    functions.chain(deployment.all(JOB).map(|job| (job, "template.0.template.0")))
}

fn each_has_an_identity_of_its_own(deployment: &Deployment) -> Vec<String> {
    let made: BTreeSet<_> =
        deployment.all("google_service_account").map(|account| account.text("email")).collect();
    let (mut used, mut wrong) = (BTreeSet::new(), Vec::new());
    for (workload, template) in containers(deployment) {
        let account = workload.text(&format!("{template}.service_account"));
        if !made.contains(account) {
            wrong.push(format!("{} runs as {account:?}, which is not made here", workload.address));
        }
        if !used.insert(account) {
            wrong.push(format!("{} shares {account}", workload.address));
        }
    }
    if used.len() != 7 {
        wrong.push(format!("there are {} workloads", used.len()));
    }
    wrong
}

#[test]
fn functions_and_job_have_an_identity_each() {
    check(
        each_has_an_identity_of_its_own,
        &[
            Mutant(
                "terraform/modules/function/main.tf",
                "service_account                  = google_service_account.this.email",
                "service_account                  = \"export-list@demo-export.iam.gserviceaccount.com\"",
            ),
            Mutant(
                "terraform/modules/job/main.tf",
                "      service_account = google_service_account.this.email\n",
                "",
            ),
        ],
    );
}

fn images_are_digests(deployment: &Deployment) -> Vec<String> {
    let images = containers(deployment)
        .map(|(workload, t)| (workload, workload.text(&format!("{t}.containers.0.image"))));
    images
        .filter(|(workload, image)| {
            let name = workload.text("name");
            !image.contains(&format!("/{name}@sha256:"))
        })
        .map(|(workload, image)| format!("{} runs {image}", workload.address))
        .collect()
}

#[test]
fn every_workload_runs_its_own_image_by_digest() {
    check(
        images_are_digests,
        &[
            Mutant(
                "terraform/main.tf",
                "image       = var.images[each.key]",
                "image       = var.images[\"health\"]",
            ),
            Mutant(
                "terraform/main.tf",
                "? var.images[\"export-job\"] :",
                "? split(\"@\", var.images[\"export-job\"])[0] :",
            ),
        ],
    );
}

fn functions_cost_little_and_start_fast(deployment: &Deployment) -> Vec<String> {
    let mut wrong = Vec::new();
    for function in deployment.all(FUNCTION) {
        let mut must = |what: &str, holds: bool| {
            if !holds {
                wrong.push(format!("{}: {what}", function.address));
            }
        };
        let resources = "template.0.containers.0.resources.0";
        must("pays for CPU while idle", function.at(&format!("{resources}.cpu_idle")) == true);
        must("starts without the boost", function.at(&format!("{resources}.startup_cpu_boost")) == true);
        let most = function.at("template.0.scaling.0.max_instance_count").as_i64();
        must("has no limit of instances", most.is_some_and(|most| (1..=100).contains(&most)));
        let least = function.at("template.0.scaling.0.min_instance_count").as_i64();
        must("keeps instances warm unasked", least == Some(0));
        must("outlives Hosting's patience", function.text("template.0.timeout") == "60s");
        let at_once = function.at("template.0.max_instance_request_concurrency").as_u64();
        must("takes one request at a time", at_once > Some(1));
        must("is sent more requests than it works on", at_once <= Some(CONCURRENCY as u64));
        for probe in ["startup_probe", "liveness_probe"] {
            let path = format!("template.0.containers.0.{probe}.0.http_get.0.path");
            must("is not probed on /health", function.text(&path) == "/health");
        }
    }
    wrong
}

#[test]
fn functions_are_bounded_and_probed() {
    let file = "terraform/modules/function/main.tf";
    check(
        functions_cost_little_and_start_fast,
        &[
            Mutant(file, "        cpu_idle          = true\n", ""),
            Mutant("terraform/main.tf", "== \"plan\" ? 8 : 80", "== \"plan\" ? 8 : 800"),
            Mutant(file, "startup_cpu_boost = true", "startup_cpu_boost = false"),
            Mutant(file, "      max_instance_count = var.max_instances\n", ""),
            Mutant(
                file,
                "timeout                          = \"60s\"",
                "timeout                          = \"300s\"",
            ),
            Mutant(
                file,
                "startup_probe {\n        initial_delay_seconds = 0\n        timeout_seconds       = 1\n        period_seconds        = 1\n        failure_threshold     = 20\n\n        http_get {\n          path = \"/health\"",
                "startup_probe {\n        http_get {\n          path = \"/exports\"",
            ),
            Mutant(
                file,
                "        failure_threshold = 3\n\n        http_get {\n          path = \"/health\"",
                "        failure_threshold = 3\n\n        tcp_socket {\n          port = 8080",
            ),
        ],
    );
}

fn the_job_is_bounded(deployment: &Deployment) -> Vec<String> {
    let mut wrong = Vec::new();
    for job in deployment.all(JOB) {
        let template = "template.0.template.0";
        let seconds = job.text(&format!("{template}.timeout")).trim_end_matches('s').parse::<u32>();
        if !seconds.is_ok_and(|seconds| (3600..=7 * 24 * 3600).contains(&seconds)) {
            wrong.push(format!("{}: timeout {}", job.address, job.text(&format!("{template}.timeout"))));
        }
        if job.at(&format!("{template}.max_retries")) != 1 {
            wrong.push(format!("{}: one retry is what leases allow for", job.address));
        }
        if job.at("template.0.task_count") != 1 || job.at("template.0.parallelism") != 1 {
            wrong.push(format!("{}: one task does one export", job.address));
        }
        let limits = job.at(&format!("{template}.containers.0.resources.0.limits"));
        if limits["cpu"].as_str().is_none() || limits["memory"].as_str().is_none() {
            wrong.push(format!("{}: no limits", job.address));
        }
    }
    wrong
}

#[test]
fn the_job_has_limits_one_task_and_one_retry() {
    let file = "terraform/modules/job/main.tf";
    check(
        the_job_is_bounded,
        &[
            Mutant(file, "max_retries = 1", "max_retries = 3"),
            Mutant(file, "      timeout         = \"${var.timeout_seconds}s\"\n", ""),
            Mutant(file, "task_count  = 1", "task_count  = 2"),
            Mutant(file, "            memory = var.memory\n", ""),
        ],
    );
}

/// Deletion protection of functions and job follows the setting; `data.rs` tests the database.
fn protection_follows_the_setting(deployment: &Deployment) -> Vec<String> {
    let staging = deployment
        .all("google_firestore_database")
        .any(|d| d.text("delete_protection_state").ends_with("DISABLED"));
    deployment
        .all(FUNCTION)
        .chain(deployment.all(JOB))
        .filter(|workload| *workload.at("deletion_protection") == staging)
        .map(|workload| format!("{} is {}protected", workload.address, if staging { "" } else { "not " }))
        .collect()
}

#[test]
fn deletion_protection_is_one_setting() {
    check(
        protection_follows_the_setting,
        &[
            Mutant(
                "terraform/modules/job/main.tf",
                "deletion_protection = var.deletion_protection",
                "deletion_protection = false",
            ),
            Mutant(
                "terraform/modules/function/main.tf",
                "deletion_protection = var.deletion_protection",
                "deletion_protection = false",
            ),
        ],
    );
}
