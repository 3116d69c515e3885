//! A plan over HTTP, and the export that follows it.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::process::{StackProcess, folder};

const JOB: &str = "ada-sonnets-1b";

#[tokio::test]
async fn an_export_writes_what_its_plan_says() {
    let temp = folder();
    let stack = StackProcess::serve(temp.path());
    let (ada, ben) = (stack.token("ada").await, stack.token("ben").await);
    let body = json!({"job_id": JOB, "export_type": "gguf"});
    let foreign = stack.ask(Method::POST, "/plans", &ben, Some(&body)).await;
    assert_eq!(foreign.0, StatusCode::FORBIDDEN, "{}", foreign.1);
    let (status, plan) = stack.ask(Method::POST, "/plans", &ada, Some(&body)).await;
    assert_eq!((status, &plan["reused"]), (StatusCode::OK, &json!(false)), "{plan}");
    let job = stack.ask(Method::GET, &format!("/exports/{JOB}"), &ada, None).await.1;
    assert!(job["latest_export"].is_null(), "{job}");

    stack.export(JOB, "gguf").await;
    let export = stack.ended(JOB).await;
    assert_eq!(export["status"], "completed", "{export}");
    let written = export["artifacts"][0]["files"].as_array().unwrap();
    let planned = plan["files"].as_array().unwrap();
    assert_eq!(planned.len(), written.len(), "{plan}");
    for (planned, written) in planned.iter().zip(written) {
        assert_eq!(planned["name"], written["name"]);
        assert!(planned["bytes"].is_null() || planned["bytes"] == written["bytes"], "{planned} {written}");
    }
    let again = stack.ask(Method::POST, "/plans", &ada, Some(&body)).await.1;
    assert_eq!((&again["reused"], &again["bytes_written"]), (&json!(true), &json!(0)), "{again}");
}
