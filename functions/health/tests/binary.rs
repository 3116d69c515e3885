//! The binary: over a socket, told to stop, and on Lambda.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shared::testing::{
    lambda::{Function, Sender, event},
    process::Process,
};

const BINARY: &str = env!("CARGO_BIN_EXE_health");

#[tokio::test]
async fn it_needs_no_settings_and_stops_when_told() {
    let mut process = Process::listening(BINARY, &[]).await;
    let answer = reqwest::get(format!("{}/health", process.url())).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["cache-control"].to_str().unwrap()),
        (200, "no-store")
    );
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(body, json!({"status": "healthy", "service": "export"}));
    let asked = Instant::now();
    process.terminate().await;
    let (status, complaint) = process.ended().await;
    assert!(status.success() && complaint.is_empty(), "{status}: {complaint}");
    assert!(asked.elapsed() < Duration::from_secs(5), "idle connections are not waited for");
    assert!(process.log().contains("GET /health 200"), "{}", process.log());
}

#[tokio::test]
async fn where_it_is_deployed_it_logs_json() {
    let process = Process::listening(BINARY, &[("K_SERVICE", "health")]).await;
    reqwest::get(format!("{}/health", process.url())).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let lines: Vec<Value> = process.log().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["severity"] == "INFO"), "{lines:?}");
    assert!(lines.iter().any(|line| line["message"] == "GET /health 200"), "{lines:?}");
}

#[tokio::test]
async fn a_malformed_setting_keeps_it_from_starting() {
    let rows = [
        (("PORT", "http"), "PORT environment variable must be a port number, not \"http\""),
        (
            ("RUST_LOG", "a=b=c"),
            "RUST_LOG environment variable must be a filter such as info or shared=debug, not \"a=b=c\"",
        ),
    ];
    for (setting, expected) in rows {
        let (status, complaint) = Process::start(BINARY, &[setting]).ended().await;
        assert!(!status.success());
        assert_eq!(complaint.trim(), format!("Error: {expected}"));
    }
}

/// In development only, and what is set already stays.
#[test]
fn settings_may_come_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let complaint = |contents: &str, variables: &[(&str, &str)]| {
        std::fs::write(folder.path().join(".env"), contents).unwrap();
        let output = std::process::Command::new(BINARY)
            .env_clear()
            .envs(variables.iter().copied())
            .current_dir(folder.path())
            .output()
            .unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(
        complaint("PORT=from-file\n", &[])
            .contains("PORT environment variable must be a port number, not \"from-file\"")
    );
    assert!(complaint("PORT=from-file\n", &[("PORT", "set")]).contains("not \"set\""));
    let deployed = [("K_SERVICE", "health"), ("PORT", "set")];
    assert!(complaint("hf_canary\n", &deployed).contains("not \"set\""), "nobody looks for the file there");
    assert_eq!(complaint("hf_canary\n", &[]).trim(), "Error: .env: a line is not NAME=value");
}

#[tokio::test]
async fn rust_log_chooses_what_is_logged() {
    let mut process = Process::start(BINARY, &[("RUST_LOG", "off"), ("PORT", "0")]);
    tokio::time::sleep(Duration::from_millis(500)).await;
    process.terminate().await;
    assert!(process.ended().await.0.success());
    assert_eq!(process.log(), "");
}

#[tokio::test]
async fn it_answers_on_lambda() {
    let mut function = Function::start(BINARY, &[]).await;
    for sender in [Sender::ApiGateway, Sender::FunctionUrl] {
        let answer = function.answer(event(sender, "GET", "/health", &json!({}), None)).await;
        assert_eq!(
            (&answer["statusCode"], &answer["isBase64Encoded"]),
            (&json!(200), &json!(false)),
            "{answer}"
        );
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        assert_eq!(body, json!({"status": "healthy", "service": "export"}));
        assert_eq!(answer["headers"]["cache-control"], "no-store");
    }
}
