//! Tests of `gateway`.

use axum::{
    Json,
    body::{Body, to_bytes},
    http::{StatusCode, header},
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;

/// A function that responds with its name and the request.
async fn function(name: &'static str) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let echo = move |request: Request| async move {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        let headers: BTreeMap<_, _> =
            parts.headers.iter().map(|(k, v)| (k.to_string(), v.to_str().unwrap().to_owned())).collect();
        let asked = json!({
            "service": name,
            "method": parts.method.as_str(),
            "uri": parts.uri.to_string(),
            "headers": headers,
            "body": String::from_utf8_lossy(&body),
        });
        ([(header::CACHE_CONTROL, "no-store")], Json(asked))
    };
    // as the issuer of tokens is
    let service = Router::new().fallback(echo).layer(from_fn(loopback::require));
    tokio::spawn(axum::serve(listener, service).into_future());
    address
}

async fn gateway() -> Router {
    gateway_with(None).await
}

async fn gateway_with(hub: Option<HubSignIn>) -> Router {
    let mut services = BTreeMap::new();
    for name in ["health", "list", "create", "get", "cancel", "plan"] {
        services.insert(name, function(name).await);
    }
    let gateway = Gateway::new(services, function("issuer").await, hub).unwrap();
    router(Arc::new(gateway), Router::new())
}

async fn ask(
    app: &Router,
    method: &str,
    path: &str,
    body: &'static str,
) -> (StatusCode, header::HeaderMap, Vec<u8>) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "127.0.0.1:8080")
        // as browsers send it with the page's own requests
        .header("origin", "http://127.0.0.1:8080")
        .header("authorization", "Bearer x")
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .body(Body::from(body))
        .unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts.status, parts.headers, to_bytes(body, 1 << 20).await.unwrap().to_vec())
}

async fn asked(app: &Router, method: &str, path: &str, body: &'static str) -> Value {
    let (status, headers, body) = ask(app, method, path, body).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["cache-control"], "no-store");
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn a_path_is_rewritten_to_its_function_for_every_method() {
    let app = gateway().await;
    for (method, path, service) in [
        ("GET", "/health", "health"),
        ("GET", "/exports", "create"),
        ("POST", "/exports", "create"),
        ("DELETE", "/exports?x=1", "create"),
        ("GET", "/exports/job%201?x=%2F", "get"),
        ("POST", "/exports/job-1/cancel", "cancel"),
        ("POST", "/plans", "plan"),
        ("PUT", "/exports/a/b", "get"),
    ] {
        let asked = asked(&app, method, path, "").await;
        assert_eq!(
            (&asked["service"], &asked["method"], &asked["uri"]),
            (&json!(service), &json!(method), &json!(path))
        );
    }
}

#[tokio::test]
async fn body_and_headers_are_forwarded_without_those_of_the_connection() {
    let asked = asked(&gateway().await, "POST", "/exports", r#"{"job_id":"ü"}"#).await;
    assert_eq!(asked["body"], r#"{"job_id":"ü"}"#);
    assert_eq!(asked["headers"]["authorization"], "Bearer x");
    assert_eq!(asked["headers"]["x-forwarded-host"], "127.0.0.1:8080");
    assert_eq!(asked["headers"].get("x-hop"), None);
}

#[tokio::test]
async fn static_files_are_served_and_all_else_is_404() {
    let app = gateway().await;
    for (method, path, status, kind) in [
        ("GET", "/", StatusCode::OK, "text/html"),
        ("HEAD", "/index.html", StatusCode::OK, "text/html"),
        ("GET", "/js/app.js", StatusCode::OK, "text/javascript"),
        ("GET", "/docs/", StatusCode::OK, "text/html"),
        ("GET", "/docs/swagger-ui.css", StatusCode::OK, "text/css"),
        ("HEAD", "/openapi.json", StatusCode::OK, "application/json"),
        ("POST", "/docs/", StatusCode::NOT_FOUND, "text/html"),
        ("GET", "/nothing", StatusCode::NOT_FOUND, "text/html"),
        ("GET", "/../Cargo.toml", StatusCode::NOT_FOUND, "text/html"),
        ("POST", "/", StatusCode::NOT_FOUND, "text/html"),
        ("GET", "/__/auth/handler", StatusCode::NOT_FOUND, "text/html"),
    ] {
        let (actual, headers, _) = ask(&app, method, path, "").await;
        assert_eq!(actual, status, "{method} {path}");
        assert!(headers["content-type"].to_str().unwrap().starts_with(kind), "{method} {path}");
    }
}

#[tokio::test]
async fn the_policy_of_the_api_description_adds_only_images_in_data_urls() {
    let app = gateway().await;
    let policy = async |path| {
        let (_, headers, _) = ask(&app, "GET", path, "").await;
        headers["content-security-policy"].to_str().unwrap().to_owned()
    };
    let page = policy("/").await;
    assert_eq!(policy("/docs").await, page);
    let remote = |source: &&str| source.trim_end_matches(';').starts_with("https://");
    let removed = page.split(' ').filter(|source| remote(source)).collect::<Vec<_>>();
    let strict = removed.iter().fold(page.clone(), |policy, source| {
        policy.replace(&format!(" {}", source.trim_end_matches(';')), "")
    });
    for path in ["/docs/", "/docs/swagger-ui.css", "/docs/nothing"] {
        assert_eq!(
            policy(path).await,
            strict.replace("frame-src 'self'; ", "").replace("img-src 'self'", "img-src 'self' data:"),
            "{path}"
        );
    }
    let (status, headers, _) = ask(&app, "GET", "/docs", "").await;
    assert_eq!((status, &headers["location"]), (StatusCode::PERMANENT_REDIRECT, &"/docs/".parse().unwrap()));
}

#[tokio::test]
async fn the_token_issuer_is_below_the_reserved_path() {
    let (status, headers, body) = ask(&gateway().await, "POST", "/__/local/token?user=ada", "").await;
    assert_eq!((status, &headers["cache-control"]), (StatusCode::OK, &"no-store".parse().unwrap()));
    let asked: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&asked["service"], &asked["uri"]), (&json!("issuer"), &json!("/token?user=ada")));
}

#[tokio::test]
async fn a_function_that_does_not_respond_is_a_502() {
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let services = ["health", "list", "create", "get", "cancel", "plan"].map(|name| (name, nowhere)).into();
    let app = router(Arc::new(Gateway::new(services, nowhere, None).unwrap()), Router::new());
    assert_eq!(ask(&app, "GET", "/exports", "").await.0, StatusCode::BAD_GATEWAY);
}

/// A function that reads the headers of a request and refuses its body.
async fn refusing() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let refuse = async || StatusCode::PAYLOAD_TOO_LARGE;
    let stop = std::future::pending();
    tokio::spawn(shared::serve::serve(listener, Router::new().fallback(refuse), stop));
    address
}

#[tokio::test]
async fn a_413_of_a_function_is_returned() {
    let function = refusing().await;
    let services = ["health", "list", "create", "get", "cancel", "plan"].map(|name| (name, function)).into();
    let app = router(Arc::new(Gateway::new(services, function, None).unwrap()), Router::new());
    let large: &'static str = Box::leak("x".repeat(8 << 20).into_boxed_str());
    for _ in 0..5 {
        assert_eq!(ask(&app, "POST", "/exports", large).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    }
}

#[tokio::test]
async fn a_body_of_the_largest_size_is_forwarded_completely() {
    let large: &'static str = Box::leak("x".repeat(shared::http::body::MAX_BODY).into_boxed_str());
    let asked = asked(&gateway().await, "POST", "/exports", large).await;
    assert_eq!(asked["body"].as_str().unwrap().len(), large.len());
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_by_the_function() {
    let large: &'static str = Box::leak("x".repeat(1 << 20).into_boxed_str());
    let asked = asked(&gateway().await, "POST", "/exports", large).await;
    assert_eq!(asked["headers"]["content-length"], (shared::http::body::MAX_BODY + 1).to_string());
    assert_eq!(asked["headers"]["authorization"], "Bearer x");
}

#[tokio::test]
async fn an_address_that_is_too_long_gets_a_problem_with_the_headers_of_every_response() {
    let path = format!("/exports?x={}", "x".repeat(20 << 10));
    let (status, headers, body) = ask(&gateway().await, "GET", &path, "").await;
    let problem: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &problem["status"]), (StatusCode::URI_TOO_LONG, &json!(414)));
    assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
    assert!(headers.contains_key(header::CONTENT_SECURITY_POLICY) && headers.contains_key("x-request-id"));
    assert_eq!(headers[header::CACHE_CONTROL], "no-store");
}

#[tokio::test]
async fn the_gateway_serves_loopback_hosts_only() {
    let app = gateway().await;
    let request = Request::get("/").header("host", "evil.example").body(Body::empty()).unwrap();
    assert_eq!(app.oneshot(request).await.unwrap().status(), StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn a_path_cannot_name_another_host() {
    let elsewhere = function("elsewhere").await;
    let app = gateway().await;
    for path in [
        format!("/__/local@{elsewhere}/x.html"),
        format!("/__/local:80@{elsewhere}/"),
        "/__/localx".to_owned(),
    ] {
        let (status, headers, body) = ask(&app, "POST", &path, "").await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert!(headers.contains_key("content-security-policy"), "{path}");
        assert!(!String::from_utf8_lossy(&body).contains("Bearer"), "{path}");
    }
    let asked: Value = {
        let (_, _, body) = ask(&app, "POST", "/__/local/token?user=ada", "").await;
        serde_json::from_slice(&body).unwrap()
    };
    assert_eq!((&asked["service"], &asked["uri"]), (&json!("issuer"), &json!("/token?user=ada")));
}

#[tokio::test]
async fn every_response_has_the_security_headers() {
    let app = gateway().await;
    for path in ["/", "/nothing", "/exports", "/exports/a", "/__/local/keys", "/__/x", "/docs/"] {
        let (_, headers, _) = ask(&app, "GET", path, "").await;
        assert!(headers.contains_key("content-security-policy"), "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
    }
}

#[tokio::test]
async fn failures_of_the_gateway_are_problems() {
    let nowhere: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let services = ["health", "list", "create", "get", "cancel", "plan"].map(|name| (name, nowhere));
    let gateway = Gateway::new(services.into(), nowhere, None).unwrap();
    let app = router(Arc::new(gateway), Router::new());
    let large = "x".repeat(40_000).leak();
    for body in ["", large] {
        let (status, headers, text) = ask(&app, "POST", "/exports", body).await;
        let expected = StatusCode::BAD_GATEWAY;
        assert_eq!(
            (status, &headers["content-type"]),
            (expected, &"application/problem+json".parse().unwrap())
        );
        let problem: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(problem["status"], expected.as_u16());
        assert_eq!(problem["request_id"], headers["x-request-id"].to_str().unwrap());
        assert!(!problem["request_id"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn the_page_signs_in_on_the_hub_where_an_app_is_set() {
    let environment = |name: &str| match name {
        "HF_OAUTH_CLIENT_ID" => Some("app".to_owned()),
        "HF_ENDPOINT" => Some("http://127.0.0.1:9/".to_owned()),
        _ => None,
    };
    for (hub, set) in [(HubSignIn::from(&environment), true), (HubSignIn::from(&|_| None), false)] {
        let app = gateway_with(hub).await;
        let (status, headers, body) = ask(&app, "GET", "/hub-sign-in.json", "").await;
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert_eq!(policy.contains("connect-src http://127.0.0.1:9 'self'"), set, "{policy}");
        let settings: Value = serde_json::from_slice(&body).unwrap();
        let expected = json!({"client_id": "app", "endpoint": "http://127.0.0.1:9"});
        assert_eq!((status, settings), (StatusCode::OK, if set { expected } else { Value::Null }));
    }
}

#[tokio::test]
async fn the_page_finds_that_app_check_is_not_required() {
    let app = gateway_with(None).await;
    let (status, headers, body) = ask(&app, "GET", "/app-check.json", "").await;
    assert_eq!((status, &*body), (StatusCode::OK, &b"null"[..]));
    assert_eq!(headers["content-type"], "application/json");
}
