//! The fake Hub's sign-in refuses what the real one refuses.

use std::collections::{BTreeMap, HashMap};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use e2e::hub::{Hub, HubUser, OAuthApp};
use reqwest::{Client, Response, StatusCode, redirect::Policy};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

const VERIFIER: &str = "a-text-of-at-least-43-characters-that-only-the-app-knows";
const PAGE: &str = "http://127.0.0.1:8080/";

struct Browser {
    hub: Hub,
    client: Client,
}

impl Browser {
    async fn new() -> Self {
        let hub = Hub::start([]).await;
        let scopes = vec!["openid", "profile", "contribute-repos", "write-repos"];
        let app =
            OAuthApp { client_id: "page".to_owned(), redirect_uri: "http://127.0.0.1/".to_owned(), scopes };
        let organizations = BTreeMap::from([("lab".to_owned(), "write"), ("club".to_owned(), "admin")]);
        hub.register(app, HubUser { name: "ada".to_owned(), organizations });
        Self { hub, client: Client::builder().redirect(Policy::none()).build().unwrap() }
    }

    fn url(&self, path: &str) -> Url {
        format!("{}{path}", self.hub.endpoint()).parse().unwrap()
    }

    /// The request of the app, in which `name` has another value.
    fn authorization(&self, name: &str, value: &str) -> Url {
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
        let mut asked = HashMap::from([
            ("client_id", "page"),
            ("redirect_uri", PAGE),
            ("response_type", "code"),
            ("scope", "openid profile contribute-repos write-repos"),
            ("state", "of the app"),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ]);
        asked.insert(name, value);
        let mut url = self.url("/oauth/authorize");
        url.query_pairs_mut().extend_pairs(asked);
        url
    }

    /// What the app gets in its address when the user has decided.
    async fn decide(&self, scope: &str, decision: &'static str) -> HashMap<String, String> {
        let request = self.client.post(self.authorization("scope", scope)).body(decision);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
        let back: Url = response.headers()["location"].to_str().unwrap().parse().unwrap();
        assert!(back.as_str().starts_with(PAGE), "{back}");
        back.query_pairs().into_owned().collect()
    }

    async fn exchange(&self, code: &str, verifier: &str) -> Response {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs([
            ("grant_type", "authorization_code"),
            ("client_id", "page"),
            ("code", code),
            ("redirect_uri", PAGE),
            ("code_verifier", verifier),
        ]);
        let request = self.client.post(self.url("/oauth/token")).body(body.finish());
        request.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap()
    }

    async fn token(&self, scope: &str) -> String {
        let answer = self.decide(scope, "decision=allow&org=lab").await;
        let token: Value = self.exchange(&answer["code"], VERIFIER).await.json().await.unwrap();
        assert_eq!((&token["expires_in"], &token["scope"]), (&json!(28_800), &json!(scope)));
        token["access_token"].as_str().unwrap().to_owned()
    }

    async fn creates(&self, token: &str, owner: &str) -> bool {
        let body = json!({ "organization": owner, "name": "model", "private": true });
        let request = self.client.post(self.url("/api/repos/create")).bearer_auth(token).json(&body);
        request.send().await.unwrap().status().is_success()
    }
}

#[tokio::test]
async fn a_request_that_is_not_the_registered_app_s_is_refused_without_a_redirect() {
    let browser = Browser::new().await;
    for (name, value) in [
        ("client_id", "another"),
        ("redirect_uri", "http://127.0.0.1:8080/elsewhere"),
        ("redirect_uri", "https://example.com/"),
        ("response_type", "token"),
        ("scope", "openid manage-repos"),
        ("code_challenge", ""),
        ("code_challenge_method", "plain"),
    ] {
        let request = browser.client.get(browser.authorization(name, value));
        assert_eq!(request.send().await.unwrap().status(), StatusCode::BAD_REQUEST, "{name}={value}");
    }
}

#[tokio::test]
async fn a_code_is_used_once_and_with_its_verifier() {
    let browser = Browser::new().await;
    let denied = browser.decide("openid", "decision=deny").await;
    assert_eq!((denied["error"].as_str(), denied["state"].as_str()), ("access_denied", "of the app"));
    let answer = browser.decide("openid", "decision=allow").await;
    assert_eq!(browser.exchange(&answer["code"], "another").await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(
        browser.exchange(&answer["code"], VERIFIER).await.status(),
        StatusCode::BAD_REQUEST,
        "it is used"
    );
    let answer = browser.decide("openid", "decision=allow").await;
    let response = browser.exchange(&answer["code"], VERIFIER).await;
    assert_eq!(
        (response.status(), &response.headers()["access-control-allow-origin"]),
        (StatusCode::OK, &"*".parse().unwrap())
    );
}

#[tokio::test]
async fn a_token_does_what_its_scopes_and_organizations_allow() {
    let browser = Browser::new().await;
    let token = browser.token("openid profile contribute-repos write-repos").await;
    let user = browser.client.get(browser.url("/oauth/userinfo")).bearer_auth(&token).send().await.unwrap();
    let user: Value = user.json().await.unwrap();
    let roles: Vec<_> =
        user["orgs"].as_array().unwrap().iter().map(|org| (&org["name"], &org["roleInOrg"])).collect();
    assert_eq!(roles, [(&json!("club"), &Value::Null), (&json!("lab"), &json!("write"))]);
    for (owner, may) in [("ada", true), ("lab", true), ("club", false), ("ben", false)] {
        assert_eq!(browser.creates(&token, owner).await, may, "{owner}");
    }
    let reader = browser.token("openid profile").await;
    assert!(!browser.creates(&reader, "lab").await);
}
