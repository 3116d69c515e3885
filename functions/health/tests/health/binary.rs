//! The binary as HTTP server, at SIGTERM, and on Lambda.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shared::testing::{
    http,
    lambda::{EventSource, LambdaFunction, event},
    process::BinaryProcess,
};

const BINARY: &str = env!("CARGO_BIN_EXE_health");

#[tokio::test]
async fn it_needs_no_settings_and_stops_at_sigterm() {
    let mut process = BinaryProcess::listening(BINARY, &[]).await;
    let response = http::client().get(format!("{}/health", process.url())).send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), response.headers()["cache-control"].to_str().unwrap()),
        (200, "no-store")
    );
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(body, json!({"status": "healthy", "service": "export"}));
    let terminated_at = Instant::now();
    process.terminate().await;
    let (status, stderr) = process.ended().await;
    assert!(status.success() && stderr.is_empty(), "{status}: {stderr}");
    assert!(terminated_at.elapsed() < Duration::from_secs(5), "idle connections do not delay the shutdown");
    assert!(process.log().contains("GET /health 200"), "{}", process.log());
}

#[tokio::test]
async fn it_logs_json_in_production() {
    let process = BinaryProcess::listening(BINARY, &[("K_SERVICE", "health")]).await;
    http::client().get(format!("{}/health", process.url())).send().await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let lines: Vec<Value> = process.log().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["severity"] == "INFO"), "{lines:?}");
    assert!(lines.iter().any(|line| line["message"] == "GET /health 200"), "{lines:?}");
}

#[tokio::test]
async fn it_does_not_start_with_a_malformed_setting() {
    let rows = [
        (("PORT", "http"), "PORT environment variable must be a port number, not \"http\""),
        (
            ("RUST_LOG", "a=b=c"),
            "RUST_LOG environment variable must be a filter such as info or shared=debug, not \"a=b=c\"",
        ),
    ];
    for (setting, expected) in rows {
        let (status, stderr) = BinaryProcess::start(BINARY, &[setting]).ended().await;
        assert!(!status.success());
        assert_eq!(stderr.trim(), format!("Error: {expected}"));
    }
}

/// Only outside production, and without overriding variables that are set.
#[test]
fn settings_are_loaded_from_a_dotenv_file() {
    let folder = tempfile::tempdir().unwrap();
    let stderr = |contents: &str, variables: &[(&str, &str)]| {
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
        stderr("PORT=from-file\n", &[])
            .contains("PORT environment variable must be a port number, not \"from-file\"")
    );
    assert!(stderr("PORT=from-file\n", &[("PORT", "set")]).contains("not \"set\""));
    let deployed = [("K_SERVICE", "health"), ("PORT", "set")];
    assert!(stderr("hf_canary\n", &deployed).contains("not \"set\""), "the file is ignored in production");
    assert_eq!(stderr("hf_canary\n", &[]).trim(), "Error: .env: a line is not NAME=value");
}

#[tokio::test]
async fn rust_log_filters_log_lines() {
    let mut process = BinaryProcess::start(BINARY, &[("RUST_LOG", "off"), ("PORT", "0")]);
    tokio::time::sleep(Duration::from_millis(500)).await;
    process.terminate().await;
    assert!(process.ended().await.0.success());
    assert_eq!(process.log(), "");
}

#[tokio::test]
async fn it_works_on_lambda() {
    let mut function = LambdaFunction::start(BINARY, &[]).await;
    for source in [EventSource::ApiGateway, EventSource::FunctionUrl] {
        let response = function.invoke(event(source, "GET", "/health", &json!({}), None)).await;
        assert_eq!(
            (&response["statusCode"], &response["isBase64Encoded"]),
            (&json!(200), &json!(false)),
            "{response}"
        );
        let body: Value = serde_json::from_str(response["body"].as_str().unwrap()).unwrap();
        assert_eq!(body, json!({"status": "healthy", "service": "export"}));
        assert_eq!(response["headers"]["cache-control"], "no-store");
    }
}
