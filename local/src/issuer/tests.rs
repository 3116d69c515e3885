//! Tests of `issuer`.

use axum::{
    body::{Body, to_bytes},
    http::Request,
};
use shared::{adapters::firebase_keys::FirebaseKeys, auth::Verifier, clock};
use tokio::net::TcpListener;
use tower::ServiceExt as _;

use super::*;

const PROJECT: &str = "demo-project";

fn issuer() -> (tempfile::TempDir, Arc<TokenIssuer>) {
    let temp = tempfile::tempdir().unwrap();
    let issuer = TokenIssuer::load_or_create(temp.path(), PROJECT).unwrap();
    (temp, Arc::new(issuer))
}

/// The verifier of the service, with the keys that the issuer publishes.
async fn verifier(issuer: &Arc<TokenIssuer>, project: &str) -> Verifier {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(shared::serve::serve(listener, router(Arc::clone(issuer)), std::future::pending()));
    Verifier::new(project, Arc::new(FirebaseKeys::new(Some(url))))
}

fn ada() -> UserId {
    "ada".parse().unwrap()
}

#[tokio::test]
async fn a_token_passes_the_verification_of_the_service() {
    let (_temp, issuer) = issuer();
    let verifier = verifier(&issuer, PROJECT).await;
    assert_eq!(verifier.verify(&issuer.token(&ada()).unwrap(), clock::now()).await.unwrap(), ada());
}

#[tokio::test]
async fn a_token_is_valid_for_an_hour_and_for_its_project() {
    let (_temp, issuer) = issuer();
    let now = clock::now();
    let old = issuer.token_at(&ada(), now.as_second() - LIFETIME_SECONDS - 61).unwrap();
    assert!(verifier(&issuer, PROJECT).await.verify(&old, now).await.is_err());
    let token = issuer.token(&ada()).unwrap();
    assert!(verifier(&issuer, "another").await.verify(&token, now).await.is_err());
}

#[tokio::test]
async fn the_key_is_kept_and_tokens_of_another_issuer_are_refused() {
    let (temp, first) = issuer();
    let again = TokenIssuer::load_or_create(temp.path(), PROJECT).unwrap();
    let verifier = verifier(&first, PROJECT).await;
    assert!(verifier.verify(&again.token(&ada()).unwrap(), clock::now()).await.is_ok());
    let (_other_temp, other) = issuer();
    assert!(verifier.verify(&other.token(&ada()).unwrap(), clock::now()).await.is_err());
}

#[tokio::test]
async fn a_token_is_issued_to_a_post_that_names_a_user() {
    let (_temp, issuer) = issuer();
    for (method, uri, status) in [
        ("POST", "/token?user=ada", StatusCode::OK),
        ("POST", "/token?user=", StatusCode::BAD_REQUEST),
        ("POST", "/token", StatusCode::BAD_REQUEST),
        ("GET", "/token?user=ada", StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let request = Request::builder().method(method).uri(uri).body(Body::empty()).unwrap();
        let response = router(Arc::clone(&issuer)).oneshot(request).await.unwrap();
        assert_eq!(response.status(), status, "{method} {uri}");
        if status == StatusCode::OK {
            assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
            let body = to_bytes(response.into_body(), 1 << 16).await.unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["token"].as_str().unwrap().split('.').count(), 3);
        }
    }
}
