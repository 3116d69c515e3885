//! Cancelling an export over HTTP.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{
    kill::exported_files,
    process::{StackProcess, folder},
};

const JOB: &str = "ada-sonnets-1b";

#[tokio::test]
async fn a_cancelled_export_stops_leaves_no_file_and_can_be_started_again() {
    let temp = folder();
    let stack = StackProcess::serve(temp.path());
    let (ada, ben) = (stack.token("ada").await, stack.token("ben").await);
    let path = format!("/exports/{JOB}/cancel");
    let (status, problem) = stack.ask(Method::POST, &path, &ada, None).await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");

    let id = stack.export(JOB, "merged").await;
    assert_eq!(stack.ask(Method::POST, &path, &ben, None).await.0, StatusCode::FORBIDDEN);
    let (status, cancelled) = stack.ask(Method::POST, &path, &ada, Some(&json!({"export_id": id}))).await;
    assert_eq!((status, &cancelled["failure"]["code"]), (StatusCode::OK, &json!("cancelled")), "{cancelled}");
    assert_eq!(stack.ended(JOB).await, cancelled);

    // the stack ends only after its jobs
    assert!(stack.terminate().success());
    assert!(exported_files(temp.path()).is_empty());
    let stack = StackProcess::serve(temp.path());
    assert_eq!(stack.ended(JOB).await, cancelled);
    stack.export(JOB, "merged").await;
    let again = stack.ended(JOB).await;
    assert_eq!(again["status"], "completed", "{again}");
}
