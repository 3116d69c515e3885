//! The whole service with the binaries that are deployed: the functions and the job, with the emulators of Firestore,
//! Firebase Auth and Cloud Storage, a fake RunJob server that starts the job, and a fake Hub with a real Xet store.
//!
//! `make test-emulators` starts the emulators. `SERVICE_BINARIES` is the folder of the binaries; `make test-emulators`
//! sets it to the release binaries in `target/package`.

use std::{collections::BTreeMap, fs};

use e2e::hub::{Answer, Fault, Step};
use serde_json::{Value, json};

use crate::support::{BASE, HF_TOKEN, REPO, Service, fixture, sha256};

const KINDS: [&str; 3] = ["adapter", "merged", "gguf"];

#[tokio::test(flavor = "multi_thread")]
async fn every_function_serves_health_and_create_forwards_the_list() {
    let Some(service) = Service::start().await else { return };
    for (_, function) in service.functions() {
        let response = service.client.get(format!("{}/health", function.url())).send().await.unwrap();
        let health: Value = response.json().await.unwrap();
        assert_eq!(health, json!({"status": "healthy", "service": "export"}));
    }
    // Firebase Hosting routes this path to `create`, regardless of the method.
    let jobs = service.get(format!("{}/exports", service.create.url())).await;
    assert_eq!(jobs.as_array().unwrap().len(), 1);
    assert_eq!(jobs[0]["job_id"], json!(service.job_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_export_type_is_exported_to_the_bucket_and_the_hub() {
    let Some(service) = Service::start().await else { return };
    for kind in KINDS {
        let plan = service.plan(kind).await;
        let detail = service.export(kind).await;
        assert_eq!(
            detail["latest_export"]["status"],
            "completed",
            "{}\n{}",
            detail["latest_export"],
            service.job_log()
        );
        assert_eq!(detail["artifacts"]["hf"][kind], json!(REPO));
        files_are_as_planned(&plan, &detail);
        let content = download_matches_manifest(&service, &detail, kind).await;
        if kind == "gguf" {
            let expected = fs::read(fixture("gemma3-micro/expected.json")).unwrap();
            let expected: Value = serde_json::from_slice(&expected).unwrap();
            assert_eq!(json!(sha256(&content)), expected["gguf"]["q8_0"]["sha256"], "the bytes of llama.cpp");
            assert_eq!(service.hub.repo(REPO).unwrap().files["model.gguf"].bytes, content);
        }
    }
    assert_eq!(service.hub.repo(REPO).unwrap().commits, 3);
    assert!(service.hub.repo(REPO).unwrap().private);
    for run in service.cloud_run.runs() {
        assert_eq!(run.request_params.as_deref(), Some("location=us-central1"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_reads_a_gated_base_and_pushes_within_the_hubs_quota() {
    let Some(service) = Service::with_gated_base().await else { return };
    service.hub.fail(Step::Resolve, Fault::Answer(Answer::LICENSE), usize::MAX);
    let refused = service.export("merged").await;
    let message = refused["latest_export"]["message"].as_str().unwrap();
    assert!(message.contains(&format!("accept the license of {BASE}")), "{message}");
    assert_eq!(refused["latest_export"]["failure"]["code"], "access_denied", "{refused}");

    service.hub.fail(Step::Resolve, Fault::Answer(Answer::LICENSE), 0);
    for (kind, files) in [
        ("adapter", &["adapter_config.json", "adapter_model.safetensors"][..]),
        ("merged", &["config.json", "model.safetensors.index.json", "tokenizer.json"]),
    ] {
        for step in [Step::Info, Step::Tree, Step::Commit] {
            service.hub.fail(step, Fault::Answer(Answer::RETRY_AFTER), 1);
        }
        let before = service.hub.asked(Step::Commit);
        let detail = service.export(kind).await;
        let export = &detail["latest_export"];
        assert_eq!(export["status"], "completed", "{export}\n{}", service.job_log());
        assert_eq!(detail["artifacts"]["hf"][kind], json!(REPO));
        assert_eq!(service.hub.asked(Step::Commit), before + 2, "the commit is repeated after the wait");
        let pushed = service.hub.repo(REPO).unwrap().files;
        assert!(files.iter().all(|name| pushed.contains_key(*name)), "{:?}", pushed.keys());
    }
    let pushed = service.hub.repo(REPO).unwrap().files;
    assert!(!pushed.keys().any(|name| name.starts_with("adapter_")), "{:?}", pushed.keys());
    for (source, text) in service.logs_and_documents().await {
        assert!(!text.contains("canary"), "{source} contains a secret");
    }
}

/// Checks that the files for download have the planned sizes. Those of reports are not planned.
fn files_are_as_planned(plan: &Value, detail: &Value) {
    let sizes = |files: &Value| -> BTreeMap<String, Value> {
        let files = files.as_array().unwrap().iter();
        files.map(|file| (file["name"].as_str().unwrap().to_owned(), file["bytes"].clone())).collect()
    };
    let planned = sizes(&plan["files"]);
    let artifacts = detail["latest_export"]["artifacts"].as_array().unwrap();
    let file = artifacts.iter().find(|artifact| artifact["variant"] == "file").unwrap();
    let made = sizes(&file["files"]);
    assert!(!made.is_empty(), "{detail}");
    for (name, bytes) in made {
        let expected = &planned[&name];
        assert!(
            *expected == bytes || (expected.is_null() && name.ends_with("report.json")),
            "{name}: {plan}"
        );
    }
    assert_eq!(plan["hub"]["repo"], json!(REPO), "{plan}");
}

/// Checks that the download link leads to the bytes whose hash is in the manifest. Returns the bytes.
async fn download_matches_manifest(service: &Service, detail: &Value, kind: &str) -> Vec<u8> {
    let link = detail["artifacts"]["file"][kind].as_str().unwrap();
    let content = service.download(link).await;
    let artifacts = detail["latest_export"]["artifacts"].as_array().unwrap();
    let file = artifacts.iter().find(|artifact| artifact["variant"] == "file").unwrap();
    let path = file["path"].as_str().unwrap().strip_prefix("gs://").unwrap();
    let mut parts: Vec<&str> = path.split('/').collect();
    let (file, folder) = (parts.pop().unwrap(), parts.pop().unwrap());
    let (fingerprint, _) = folder.split_once('-').unwrap();
    let manifest = format!("{}/published/{fingerprint}.json", parts.join("/"));
    let manifest = service.download(&format!("{}/{manifest}", service.emulators.storage)).await;
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["files"][0]["name"], file);
    assert_eq!(manifest["files"][0]["sha256"], json!(sha256(&content)), "{kind}");
    content
}

#[tokio::test(flavor = "multi_thread")]
async fn no_response_document_or_log_contains_a_token() {
    let Some(service) = Service::start().await else { return };
    no_place_contains_a_token(&service).await;
    assert!(tokens_of_runs(&service).iter().all(|token| token == HF_TOKEN));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_key_no_execution_contains_a_token_either() {
    let Some(service) = Service::with_token_key().await else { return };
    no_place_contains_a_token(&service).await;
    let tokens = tokens_of_runs(&service);
    assert!(
        tokens.iter().all(|token| token.starts_with("sealed:v1:") && !token.contains("canary")),
        "{tokens:?}"
    );
}

fn tokens_of_runs(service: &Service) -> Vec<String> {
    service.cloud_run.runs().into_iter().map(|mut run| run.env.remove("HF_TOKEN").unwrap()).collect()
}

async fn no_place_contains_a_token(service: &Service) {
    for kind in KINDS {
        service.export(kind).await;
    }
    invalid_requests_do_not_return_the_token(service).await;
    service.hub.fail(Step::Commit, Fault::Status(401), usize::MAX);
    let failed = service.export("adapter").await;
    assert_eq!(failed["latest_export"]["status"], "failed", "{failed}");
    let message = failed["latest_export"]["message"].as_str().unwrap();
    assert!(message.contains(REPO) && !failed.to_string().contains(HF_TOKEN), "{failed}");

    only_the_token_variable_of_a_run_contains_the_token(service);
    for (source, text) in service.logs_and_documents().await {
        assert!(!text.is_empty(), "{source} is empty");
        assert!(!text.contains(HF_TOKEN), "{source} contains the Hub token");
        assert!(!text.contains(&service.token), "{source} contains the ID token");
    }
}

async fn invalid_requests_do_not_return_the_token(service: &Service) {
    let (mut invalid_repo, mut invalid_kind) = (service.body("gguf"), service.body(HF_TOKEN));
    invalid_repo["hf_repo_id"] = json!(format!("{HF_TOKEN}/a/b"));
    invalid_kind["quantization"] = json!(HF_TOKEN);
    let whole = service.body("gguf").to_string();
    let truncated = whole[..whole.len() - 1].to_owned();
    for body in [invalid_repo.to_string(), invalid_kind.to_string(), truncated] {
        let (status, response) = service.post(body).await;
        assert_eq!(status, 400, "{response}");
        assert!(!response.contains(HF_TOKEN), "{response}");
    }
}

fn only_the_token_variable_of_a_run_contains_the_token(service: &Service) {
    let mut overrides = BTreeMap::new();
    for run in service.cloud_run.runs() {
        overrides.extend(run.env.into_iter().filter(|(name, _)| name != "HF_TOKEN"));
    }
    assert_eq!(overrides.keys().map(String::as_str).collect::<Vec<_>>(), ["EXPORT_ID", "PROJECT_ID"]);
    assert!(!format!("{overrides:?}").contains(HF_TOKEN));
}
