//! A fake Lambda runtime API for one function.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};

use super::process::{BinaryProcess, serve_on_loopback};

/// A function that runs as on Lambda.
pub struct LambdaFunction {
    process: BinaryProcess,
    events: mpsc::UnboundedSender<Value>,
    responses: mpsc::UnboundedReceiver<Value>,
}

struct RuntimeApi {
    events: Mutex<mpsc::UnboundedReceiver<Value>>,
    responses: mpsc::UnboundedSender<Value>,
}

impl LambdaFunction {
    /// Starts a binary with the fake runtime API.
    pub async fn start(binary: &str, variables: &[(&str, &str)]) -> Self {
        let (events, queue) = mpsc::unbounded_channel();
        let (answered, responses) = mpsc::unbounded_channel();
        let api = Arc::new(RuntimeApi { events: Mutex::new(queue), responses: answered });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next_event))
            .route("/2018-06-01/runtime/invocation/{id}/{outcome}", post(receive_response))
            .with_state(api);
        let url = serve_on_loopback(router).await;
        let runtime = [
            ("AWS_LAMBDA_RUNTIME_API", url.trim_start_matches("http://")),
            ("AWS_LAMBDA_FUNCTION_NAME", "function"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "stream"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "group"),
        ];
        let process = BinaryProcess::start(binary, &[variables, &runtime].concat());
        Self { process, events, responses }
    }

    /// The response of the function to an event.
    ///
    /// # Panics
    /// If there is no response.
    pub async fn invoke(&mut self, event: Value) -> Value {
        self.events.send(event).expect("the API runs");
        let response = tokio::time::timeout(std::time::Duration::from_secs(30), self.responses.recv()).await;
        let Ok(Some(response)) = response else { panic!("no response: {}", self.process.log()) };
        response
    }
}

async fn next_event(State(api): State<Arc<RuntimeApi>>) -> Response {
    let Some(event) = api.events.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let headers = [
        ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd"),
        ("lambda-runtime-deadline-ms", "4102444800000"),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-central-1:123456789012:function:function"),
        ("content-type", "application/json"),
    ];
    (headers, event.to_string()).into_response()
}

async fn receive_response(
    State(api): State<Arc<RuntimeApi>>,
    Path((_, outcome)): Path<(String, String)>,
    body: Bytes,
) -> StatusCode {
    let response = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let response = if outcome == "response" { response } else { json!({"error": response}) };
    if api.responses.send(response).is_ok() { StatusCode::ACCEPTED } else { StatusCode::GONE }
}

/// The source of an event. Both use payload format 2.0.
#[derive(Debug, Clone, Copy)]
pub enum EventSource {
    /// An HTTP API of API Gateway.
    ApiGateway,
    /// A function URL.
    FunctionUrl,
}

/// The event for a request.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>
#[must_use]
pub fn event(source: EventSource, method: &str, path: &str, headers: &Value, body: Option<&str>) -> Value {
    let (domain, prefix, stage) = match source {
        EventSource::ApiGateway => ("a1b2c3.execute-api.eu-central-1.amazonaws.com", "a1b2c3", "$default"),
        EventSource::FunctionUrl => ("a1b2c3d4e5.lambda-url.eu-central-1.on.aws", "a1b2c3d4e5", "$default"),
    };
    let mut event = json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
        "headers": {"accept": "*/*", "host": domain, "x-forwarded-proto": "https", "x-forwarded-port": "443",
            "x-amzn-trace-id": "Root=1-5e66d956-12d4a5c0d1e2f3a4b5c6d7e8", "x-forwarded-for": "203.0.113.7"},
        "requestContext": {
            "accountId": "anonymous", "apiId": prefix, "domainName": domain, "domainPrefix": prefix,
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7", "userAgent": "curl/8"},
            "requestId": "JKJaXmPLvHcESHA=", "routeKey": "$default", "stage": stage,
            "time": "10/Mar/2026:00:03:59 +0000", "timeEpoch": 1_773_100_000_000_i64,
        },
        "isBase64Encoded": false,
    });
    if let (Some(all), Some(more)) = (event["headers"].as_object_mut(), headers.as_object()) {
        all.extend(more.clone());
    }
    if let Some(body) = body {
        event["body"] = json!(body);
        event["headers"]["content-length"] = json!(body.len().to_string());
    }
    event
}
