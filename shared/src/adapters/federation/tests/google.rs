//! Fake servers for Google's token services and for an empty Firestore.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, Request, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use gcloud_sdk::tonic::Status;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use ring::hmac;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

use super::{ACCESS_KEY, ACCOUNT, SESSION, SIGNATURE};
use crate::testing::process::serve_on_loopback;

const AUDIENCE: &str =
    "//iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/export-aws/providers/lambda";

/// The requests that a fake server received, in order.
pub(super) type RequestLog = Arc<Mutex<Vec<String>>>;

/// Google's token services. Each accepts only the token that the previous step returned.
pub(super) async fn google() -> (String, RequestLog) {
    let requests = RequestLog::default();
    let router = Router::new()
        .route("/v1/token", post(exchange))
        .route("/v1/projects/-/serviceAccounts/{what}", post(as_account))
        .with_state(Arc::clone(&requests));
    (serve_on_loopback(router).await, requests)
}

async fn exchange(State(requests): State<RequestLog>, body: String) -> Response {
    let form = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    requests.lock().unwrap().push("exchange".to_owned());
    if let Err(wrong) = check_subject_token(&form) {
        return (StatusCode::BAD_REQUEST, Json(json!({"error": wrong}))).into_response();
    }
    let kind = "urn:ietf:params:oauth:token-type:access_token";
    Json(json!({"access_token": "federated", "issued_token_type": kind, "token_type": "Bearer", "expires_in": 3600}))
        .into_response()
}

async fn as_account(
    State(requests): State<RequestLog>,
    Path(what): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let bearer = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (account, verb) = what.split_once(':').unwrap();
    requests.lock().unwrap().push(verb.to_owned());
    let answer = match (account, verb, bearer) {
        (ACCOUNT, "generateAccessToken", "Bearer federated") => {
            json!({"accessToken": "of-export-get", "expireTime": "2100-01-01T00:00:00Z"})
        }
        (ACCOUNT, "signBlob", "Bearer of-export-get") => {
            let body: Value = serde_json::from_str(&body).unwrap();
            let payload = BASE64_STANDARD.decode(body["payload"].as_str().unwrap()).unwrap();
            assert!(payload.starts_with(b"GOOG4-RSA-SHA256\n"));
            json!({"keyId": "1", "signedBlob": BASE64_STANDARD.encode(SIGNATURE)})
        }
        _ => return (StatusCode::FORBIDDEN, format!("{bearer} at {what}")).into_response(),
    };
    Json(answer).into_response()
}

/// Checks the subject token, a signed GetCallerIdentity request. Google sends it to AWS, which verifies the signature.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>
fn check_subject_token(form: &HashMap<String, String>) -> Result<(), String> {
    for (name, expected) in [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token_type", "urn:ietf:params:aws:token-type:aws4_request"),
        ("audience", AUDIENCE),
    ] {
        if form.get(name).map(String::as_str) != Some(expected) {
            return Err(format!("{name}: {:?}", form.get(name)));
        }
    }
    let decoded = url::form_urlencoded::parse(form["subject_token"].as_bytes()).next().unwrap().0;
    let request: Value = serde_json::from_str(&decoded).map_err(|error| format!("{error}: {decoded}"))?;
    let url = "https://sts.eu-west-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15";
    if (&request["method"], &request["url"]) != (&json!("POST"), &json!(url)) {
        return Err(format!("not GetCallerIdentity: {request}"));
    }
    let headers: HashMap<_, _> = request["headers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|header| (header["key"].as_str().unwrap().to_lowercase(), header["value"].as_str().unwrap()))
        .collect();
    if (headers["x-goog-cloud-target-resource"], headers["x-amz-security-token"]) != (AUDIENCE, SESSION) {
        return Err(format!("for another audience or session: {request}"));
    }
    let expected = authorization(&headers);
    if headers["authorization"] == expected { Ok(()) } else { Err(format!("{request} is not {expected}")) }
}

fn authorization(headers: &HashMap<String, &str>) -> String {
    let date = headers["x-amz-date"];
    let names = "host;x-amz-date;x-amz-security-token;x-goog-cloud-target-resource";
    let lines: String = names.split(';').map(|name| format!("{name}:{}\n", headers[name])).collect();
    let empty_hash = hex::encode(Sha256::digest(""));
    let request =
        format!("POST\n/\nAction=GetCallerIdentity&Version=2011-06-15\n{lines}\n{names}\n{empty_hash}");
    let scope = format!("{}/eu-west-1/sts/aws4_request", &date[..8]);
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex::encode(Sha256::digest(request)));
    let key =
        scope.split('/').fold(format!("AWS4{}", ACCESS_KEY.1).into_bytes(), |key, part| hmac(&key, part));
    let (id, signature) = (ACCESS_KEY.0, hex::encode(hmac(&key, &text)));
    format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}")
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

/// An empty database. It records the token of each request.
pub(super) async fn firestore() -> (String, RequestLog) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = RequestLog::default();
    let log = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let log = Arc::clone(&log);
            let service = service_fn(move |request: Request<Incoming>| {
                let token = request.headers().get("authorization").map(|value| value.to_str().unwrap());
                log.lock().unwrap().push(token.unwrap_or_default().to_owned());
                async { Ok::<_, Infallible>(Status::not_found("no document").into_http::<Body>()) }
            });
            let server = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    (url, requests)
}
