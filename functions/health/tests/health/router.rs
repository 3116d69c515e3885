//! `GET /health`.

use shared::testing::http::{request, send};

#[tokio::test]
async fn it_needs_no_token() {
    let response = send(&health::router(), request("GET", "/health", None)).await;
    assert_eq!((response.status.as_u16(), response.header("content-type")), (200, "application/json"));
    insta::assert_snapshot!(response.body, @r#"{"status":"healthy","service":"export"}"#);
}

#[tokio::test]
async fn head_has_no_body_and_other_methods_are_not_allowed() {
    let head = send(&health::router(), request("HEAD", "/health", None)).await;
    assert_eq!((head.status.as_u16(), head.body.as_str()), (200, ""));
    let post = send(&health::router(), request("POST", "/health", None)).await;
    assert_eq!((post.status.as_u16(), post.header("allow")), (405, "GET,HEAD"));
}
