//! What the commands print and how they end.

use std::{net::TcpListener, process::Output};

use reqwest::{Method, StatusCode};
use tempfile::TempDir;

use crate::process::{StackProcess, folder, program};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn run(temp: &TempDir, arguments: &[&str]) -> Output {
    program(temp.path()).args(arguments).output().unwrap()
}

#[test]
fn the_demo_ends_with_0_and_shows_every_file_with_its_hash() {
    let temp = folder();
    // the second time finds what the first has made
    for _ in 0..2 {
        let output = run(&temp, &["demo"]);
        let shown = text(&output.stdout);
        assert!(output.status.success(), "{shown}\n{}", text(&output.stderr));
        for part in ["adapter.zip", "merged.zip", "model.gguf", "Everything shown here was checked"] {
            assert!(shown.contains(part), "{shown}");
        }
        let hashes = shown.lines().filter_map(|line| line.trim().strip_prefix("sha256")?.trim().into());
        assert!(hashes.clone().count() == 3 && hashes.clone().all(|hash: &str| hash.len() == 64), "{shown}");
        assert!(!shown.contains('\u{1b}'), "no colours where nobody sees them");
    }
}

#[test]
fn the_demo_does_not_end_with_0_when_a_file_is_not_what_was_recorded() {
    let temp = folder();
    assert!(run(&temp, &["demo"]).status.success());
    let file = temp.path().join("buckets/files/ada-sonnets-1b/model.gguf");
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 100;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let output = run(&temp, &["demo"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("SHA-256"), "{}", text(&output.stderr));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let temp = folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = run(&temp, &["serve", "--port", &port]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains(&port) && error.contains("--port"), "{error}");
}

#[tokio::test]
async fn a_printed_token_works_for_its_project_only() {
    let temp = folder();
    let stack = StackProcess::serve(temp.path());
    for (arguments, status) in [
        (vec!["token"], StatusCode::OK),
        (vec!["token", "--user", "ben"], StatusCode::FORBIDDEN),
        (vec!["token", "--project", "another"], StatusCode::UNAUTHORIZED),
    ] {
        let token = text(&run(&temp, &arguments).stdout);
        let (answered, answer) = stack.ask(Method::GET, "/exports/ada-recipes", token.trim(), None).await;
        assert_eq!(answered, status, "{arguments:?}: {answer}");
    }
}

#[tokio::test]
async fn each_person_sees_their_own_jobs() {
    let temp = folder();
    let stack = StackProcess::serve(temp.path());
    for (user, expected) in [("ada", 4), ("ben", 1), ("carl", 0)] {
        let token = stack.token(user).await;
        let (status, jobs) = stack.ask(Method::GET, "/exports", &token, None).await;
        assert_eq!((status, jobs.as_array().unwrap().len()), (StatusCode::OK, expected), "{jobs}");
    }
}

#[tokio::test]
async fn nothing_is_reset_under_a_running_stack() {
    let temp = folder();
    let stack = StackProcess::serve(temp.path());
    let output = run(&temp, &["reset"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("another local stack"), "{}", text(&output.stderr));
    assert!(stack.terminate().success());
    assert!(temp.path().join("documents.db").exists());
    run(&temp, &["reset"]);
    assert!(!temp.path().join("documents.db").exists());
}

#[tokio::test]
async fn a_broken_adapter_is_named_and_a_full_model_becomes_a_gguf() {
    let temp = folder();
    let stack = StackProcess::serve(temp.path());
    stack.export("ada-broken", "gguf").await;
    let broken = stack.ended("ada-broken").await;
    assert_eq!(broken["status"], "failed");
    assert!(broken["message"].as_str().unwrap().contains("adapter_model.safetensors"), "{broken}");
    stack.export("ada-assistant-full", "gguf").await;
    let full = stack.ended("ada-assistant-full").await;
    assert_eq!(full["status"], "completed", "{full}");
    stack.export("ada-recipes", "merged").await;
    let merged = stack.ended("ada-recipes").await;
    assert_eq!(merged["status"], "completed", "{merged}");
}
