//! Training jobs for models of one's own.

use std::{fs, path::Path, process::Output};

use reqwest::{Method, StatusCode};
use tempfile::TempDir;

use crate::process::{StackProcess, folder, program};

fn models() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("demo-data/gemma3-micro")
}

fn add(temp: &TempDir, arguments: &[&str]) -> Output {
    program(temp.path()).arg("add").args(arguments).current_dir(models()).output().unwrap()
}

fn error(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test]
async fn a_model_of_ones_own_is_linked_listed_and_exported() {
    let temp = folder();
    let base_name = ["--base", "base", "--base-name", "me/base"];
    let added = add(&temp, &[&["--adapter", "adapter", "--name", "My LoRA"], &base_name[..]].concat());
    assert!(added.status.success(), "{added:?}");
    // another job of the same name, while the stack is running
    let stack = StackProcess::serve(temp.path());
    assert!(
        add(&temp, &["--adapter", "adapter", "--name", "my lora", "--base-name", "me/base"]).status.success()
    );
    assert!(add(&temp, &["--adapter", "base", "--name", "Full", "--user", "ben"]).status.success());

    let (_, jobs) = stack.ask(Method::GET, "/exports", &stack.token("ada").await, None).await;
    let ids: Vec<_> = jobs.as_array().unwrap().iter().filter_map(|job| job["job_id"].as_str()).collect();
    assert!(ids.starts_with(&["my-lora-2", "my-lora"]), "the newest come first: {ids:?}");
    let (status, _) = stack.ask(Method::GET, "/exports/full", &stack.token("ben").await, None).await;
    assert_eq!(status, StatusCode::OK);
    for job in ["my-lora", "my-lora-2"] {
        stack.export(job, "merged").await;
        let ended = stack.ended(job).await;
        assert_eq!(ended["status"], "completed", "{ended}");
    }

    assert!(stack.terminate().success());
    assert!(program(temp.path()).arg("reset").output().unwrap().status.success());
    assert!(
        models().join("base/config.json").exists() && models().join("adapter/adapter_config.json").exists()
    );
}

#[test]
fn what_cannot_be_added_is_named_with_what_to_do() {
    let temp = folder();
    let missing = error(&add(&temp, &["--adapter", "adapters"]));
    assert!(missing.contains("cannot open adapters"), "{missing}");
    let file = error(&add(&temp, &["--adapter", "adapter/adapter_config.json"]));
    assert!(file.contains("name the folder"), "{file}");
    let neither = error(&add(&temp, &["--adapter", "."]));
    assert!(neither.contains("neither adapter_config.json nor config.json"), "{neither}");
    let no_model = error(&add(&temp, &["--adapter", "adapter", "--base", "adapter"]));
    assert!(no_model.contains("it has no config.json"), "{no_model}");
    let no_base = error(&add(&temp, &["--adapter", "adapter", "--base-name", "me/none"]));
    assert!(no_base.contains("give its folder with --base"), "{no_base}");
    let taken = error(&add(
        &temp,
        &["--adapter", "adapter", "--base", "base", "--base-name", "google/gemma-2-micro"],
    ));
    assert!(taken.contains("choose another name with --base-name"), "{taken}");
    assert!(
        fs::read_dir(temp.path().join("buckets/training")).unwrap().next().is_none(),
        "nothing was added"
    );
}

#[tokio::test]
async fn what_cannot_be_added_leaves_nothing_behind() {
    let temp = folder();
    for user in ["../../../escaped", "..", "a/b", ""] {
        let output = add(&temp, &["--adapter", "base", "--user", user]);
        assert_eq!(output.status.code(), Some(2), "{user}: {output:?}");
    }
    let named = add(&temp, &["--adapter", "base", "--name", "two\nlines"]);
    assert_eq!(named.status.code(), Some(2), "{named:?}");
    let training = temp.path().join("buckets/training");
    let is_empty = || fs::read_dir(&training).map_or(true, |mut linked| linked.next().is_none());
    assert!(is_empty() && !temp.path().join("escaped").exists());

    // a revision is part of a path, too
    let adapter = tempfile::tempdir().unwrap();
    let config = r#"{"base_model_name_or_path": "me/base", "revision": "a/../../../../../escaped"}"#;
    fs::write(adapter.path().join("adapter_config.json"), config).unwrap();
    let path = adapter.path().to_str().unwrap();
    let escaped = error(&add(&temp, &["--adapter", path, "--base", "base"]));
    assert!(escaped.contains("is no path below a bucket") && is_empty(), "{escaped}");

    // the id of another user's job
    assert!(add(&temp, &["--adapter", "base", "--name", "Full", "--user", "ben"]).status.success());
    let second = add(&temp, &["--adapter", "base", "--name", "Full"]);
    let text = String::from_utf8(second.stdout).unwrap();
    assert!(text.contains("the training job full-2 of ada"), "{text}");
    assert!(text.contains("another job has the id full"), "{text}");
    let linked = fs::read_dir(training.join("ada")).unwrap();
    let linked: Vec<_> = linked.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(linked, ["full-2"]);
}
