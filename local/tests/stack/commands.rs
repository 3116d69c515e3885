//! The output and the exit codes of the commands.

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
fn the_demo_exits_with_0_and_prints_the_hash_of_every_file() {
    let temp = folder();
    // the second run finds the data of the first
    for _ in 0..2 {
        let output = run(&temp, &["demo"]);
        let shown = text(&output.stdout);
        assert!(output.status.success(), "{shown}\n{}", text(&output.stderr));
        for part in ["adapter.zip", "merged.zip", "model.gguf", "All checks passed"] {
            assert!(shown.contains(part), "{shown}");
        }
        let hashes = shown.lines().filter_map(|line| line.trim().strip_prefix("sha256")?.trim().into());
        assert!(hashes.clone().count() == 3 && hashes.clone().all(|hash: &str| hash.len() == 64), "{shown}");
        assert!(!shown.contains('\u{1b}'), "no colors if the output is not a terminal");
    }
}

#[test]
fn the_demo_exits_with_1_if_a_file_differs_from_its_record() {
    let temp = folder();
    assert!(run(&temp, &["demo"]).status.success());
    let folders = std::fs::read_dir(temp.path().join("buckets/files/ada-sonnets-1b")).unwrap();
    let mut files = folders.map(|folder| folder.unwrap().path().join("model.gguf"));
    let file = files.find(|file| file.exists()).unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 100;
    bytes[last] ^= 1;
    // as a disk spoils it: a file that somebody writes is exported again
    let written = std::fs::metadata(&file).unwrap().modified().unwrap();
    std::fs::write(&file, bytes).unwrap();
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(written).unwrap();
    let output = run(&temp, &["demo"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("SHA-256"), "{}", text(&output.stderr));
}

#[test]
fn a_port_in_use_is_named_in_the_error() {
    let temp = folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = run(&temp, &["serve", "--port", &port]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains(&port) && error.contains("--port"), "{error}");
}

#[tokio::test]
async fn a_printed_token_is_valid_for_its_user_and_project_only() {
    let temp = folder();
    let stack = StackProcess::serve(temp.path());
    for (arguments, status) in [
        (vec!["token"], StatusCode::OK),
        (vec!["token", "--user", "ben"], StatusCode::FORBIDDEN),
        (vec!["token", "--project", "another"], StatusCode::UNAUTHORIZED),
    ] {
        let token = text(&run(&temp, &arguments).stdout);
        let (actual, answer) = stack.ask(Method::GET, "/exports/ada-recipes", token.trim(), None).await;
        assert_eq!(actual, status, "{arguments:?}: {answer}");
    }
}

#[tokio::test]
async fn each_user_sees_only_their_own_jobs() {
    let temp = folder();
    let stack = StackProcess::serve(temp.path());
    for (user, expected) in [("ada", 4), ("ben", 1), ("carl", 0)] {
        let token = stack.token(user).await;
        let (status, jobs) = stack.ask(Method::GET, "/exports", &token, None).await;
        assert_eq!((status, jobs.as_array().unwrap().len()), (StatusCode::OK, expected), "{jobs}");
    }
}

#[tokio::test]
async fn reset_is_refused_while_a_stack_is_running() {
    let temp = folder();
    let stack = StackProcess::serve(temp.path());
    let output = run(&temp, &["reset"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("another local stack"), "{}", text(&output.stderr));
    assert!(!text(&output.stdout).contains("removing"), "{}", text(&output.stdout));
    assert!(stack.terminate().success());
    assert!(temp.path().join("documents.db").exists());
    assert!(text(&run(&temp, &["reset"]).stdout).contains("removing"));
    assert!(!temp.path().join("documents.db").exists());
}

#[tokio::test]
async fn a_broken_adapter_is_named_and_a_full_fine_tune_is_converted_to_gguf() {
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
