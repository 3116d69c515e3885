//! What the binaries of functions on one training job have in common: without a store, the requests work that need none.

use reqwest::Method;
use serde_json::json;

use super::{
    TokenSigner, fixtures,
    http::client,
    lambda::{EventSource, LambdaFunction, event},
    process::{BinaryProcess, serve_keys, settings},
};

const NO_STORE: (&str, &str) = ("FIRESTORE_EMULATOR_HOST", "127.0.0.1:1");

/// A function with a binary of its own.
#[derive(Debug)]
pub struct JobFunction {
    /// The path of the binary.
    pub binary: &'static str,
    /// The method of its requests.
    pub method: Method,
    /// What follows the job's id in its path.
    pub suffix: &'static str,
}

impl JobFunction {
    fn path(&self, job: &str) -> String {
        format!("/exports/{job}{}", self.suffix)
    }

    /// # Panics
    /// If callers are not authenticated before the store is used.
    pub async fn authenticates_callers_before_the_store_is_used(&self) {
        let keys = serve_keys().await;
        let process =
            BinaryProcess::listening(self.binary, &[&settings(&keys)[..], &[NO_STORE]].concat()).await;
        let client = client();
        let status = async |job: &str, token: Option<&str>| {
            let url = format!("{}{}", process.url(), self.path(job));
            let request = client.request(self.method.clone(), url);
            let request = match token {
                Some(token) => request.bearer_auth(token),
                None => request,
            };
            request.send().await.expect("a response").status().as_u16()
        };
        let token = TokenSigner::first().token(fixtures::ADA);
        assert_eq!(status("job-1", None).await, 401);
        assert_eq!(status("a%2Fb", Some(&token)).await, 400);
        assert_eq!(status("job-1", Some(&token)).await, 500, "authenticated, but the store is unavailable");
    }

    /// # Panics
    /// If it does not work on Lambda.
    pub async fn works_on_lambda(&self) {
        let keys = serve_keys().await;
        let mut function =
            LambdaFunction::start(self.binary, &[&settings(&keys)[..], &[NO_STORE]].concat()).await;
        let token = TokenSigner::first().token(fixtures::ADA);
        let bearer = json!({"authorization": format!("Bearer {token}")});
        let method = self.method.as_str();
        for source in [EventSource::ApiGateway, EventSource::FunctionUrl] {
            let request = event(source, method, &self.path("job-1"), &json!({}), None);
            let unauthenticated = function.invoke(request).await;
            assert_eq!(unauthenticated["statusCode"], 401);
            let request = event(source, method, &self.path("__x__"), &bearer, None);
            let invalid_id = function.invoke(request).await;
            assert_eq!(invalid_id["statusCode"], 400, "{invalid_id}");
        }
    }
}
