//! Sign-in by Firebase Authentication, with its REST API: a link by e-mail, and ID tokens for a refresh token.
//!
//! <https://firebase.google.com/docs/reference/rest/auth>, <https://cloud.google.com/identity-platform/docs/reference/rest>

use std::time::Duration;

use reqwest::{RequestBuilder, Response, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::error::ServiceError;
use super::session::address;
use super::sign_ins::SignIn;
use crate::failure::Failure;

const DEADLINE: Duration = Duration::from_secs(30);

/// An ID token for a refresh token.
#[derive(Deserialize)]
pub(crate) struct Renewed {
    pub(crate) id_token: String,
    pub(crate) refresh_token: String,
    #[serde(deserialize_with = "seconds")]
    pub(crate) expires_in: Duration,
}

/// The project's public configuration, which Firebase Hosting serves.
#[derive(Deserialize)]
struct WebConfiguration {
    #[serde(rename = "apiKey")]
    api_key: String,
}

#[derive(Deserialize)]
struct SignedIn {
    #[serde(rename = "refreshToken")]
    refresh_token: String,
}

/// The public API key of the project that a service is in.
pub(crate) async fn api_key(http: &reqwest::Client, service: &Url) -> Result<String, ServiceError> {
    let missing = || {
        ServiceError::NotSent(Failure::remote(format!(
            "{} has no sign-in by e-mail: sign in with a token (without --email)",
            address(service)
        )))
    };
    let url = service.join("/__/firebase/init.json").map_err(|_| missing())?;
    let response = http.get(url).timeout(DEADLINE).send().await.map_err(ServiceError::no_answer)?;
    if !response.status().is_success() {
        return Err(missing());
    }
    let configuration: WebConfiguration = response.json().await.map_err(|_| missing())?;
    Ok(configuration.api_key)
}

/// Sends a sign-in link to an address. It leads to the service's page, and is not opened there.
pub(crate) async fn send_link(
    http: &reqwest::Client,
    api_key: &str,
    service: &Url,
    email: &str,
) -> Result<(), ServiceError> {
    let body = json!({
        "requestType": "EMAIL_SIGNIN",
        "email": email,
        "continueUrl": service.as_str(),
        "canHandleCodeInApp": true,
    });
    let request = http.post(endpoint("identitytoolkit", "accounts:sendOobCode", api_key)?).json(&body);
    answer::<Value>(request).await.map(drop)
}

/// Signs in with the link that was sent to an address.
pub(crate) async fn sign_in(
    http: &reqwest::Client,
    api_key: &str,
    email: &str,
    link: &str,
) -> Result<SignIn, ServiceError> {
    let code = code(link).ok_or_else(|| {
        ServiceError::NotSent(Failure::usage(
            "this is not the link of the e-mail: copy the whole address of the link, and sign in again",
        ))
    })?;
    let body = json!({ "email": email, "oobCode": code });
    let request =
        http.post(endpoint("identitytoolkit", "accounts:signInWithEmailLink", api_key)?).json(&body);
    let SignedIn { refresh_token } = answer(request).await?;
    Ok(SignIn::Firebase { api_key: api_key.to_owned(), refresh_token })
}

/// Exchanges a refresh token.
pub(crate) async fn renew(
    http: &reqwest::Client,
    api_key: &str,
    refresh_token: &str,
) -> Result<Renewed, ServiceError> {
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
    answer(http.post(endpoint("securetoken", "token", api_key)?).form(&form)).await
}

async fn answer<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, ServiceError> {
    let response = request.timeout(DEADLINE).send().await.map_err(ServiceError::no_answer)?;
    if response.status().is_server_error() {
        return Err(ServiceError::read(response).await);
    }
    if !response.status().is_success() {
        return Err(ServiceError::NotSent(refused(response).await));
    }
    response.json().await.map_err(ServiceError::no_answer)
}

async fn refused(response: Response) -> Failure {
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap_or_default();
    // as in `INVALID_OOB_CODE` and `TOO_MANY_ATTEMPTS_TRY_LATER : …`
    let code =
        body["error"]["message"].as_str().unwrap_or_default().split([' ', ':']).next().unwrap_or_default();
    let remedy = match code {
        "TOKEN_EXPIRED" | "INVALID_REFRESH_TOKEN" | "USER_NOT_FOUND" => {
            "your sign-in has ended: run `gemma-export login`"
        }
        "USER_DISABLED" => "this account is disabled: ask the operator of the service",
        "INVALID_OOB_CODE" => "this link was used already, or is not complete: sign in again for a new one",
        "EXPIRED_OOB_CODE" => "this link has expired: sign in again for a new one",
        "INVALID_EMAIL" | "EMAIL_NOT_FOUND" => {
            "this is not the address that the link was sent to: correct --email"
        }
        "OPERATION_NOT_ALLOWED" => "sign-in by e-mail is not enabled: sign in with a token (without --email)",
        "TOO_MANY_ATTEMPTS_TRY_LATER" | "QUOTA_EXCEEDED" => {
            "there were too many attempts: try again in some minutes"
        }
        _ => "Firebase Authentication refused the request: sign in with a token (without --email)",
    };
    let code =
        if code.is_empty() { format!("status {status}") } else { redaction::redact(code).into_owned() };
    Failure::remote(format!("{remedy} ({code})"))
}

/// The one-time code of a sign-in link, which can be in a link that contains it.
fn code(link: &str) -> Option<String> {
    let url = Url::parse(link.trim()).ok()?;
    let value =
        |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    value("oobCode").or_else(|| code(&value("link").or_else(|| value("deep_link_id"))?))
}

/// A method of Google's API, or of the Auth emulator of `FIREBASE_AUTH_EMULATOR_HOST`.
fn endpoint(api: &str, method: &str, api_key: &str) -> Result<Url, ServiceError> {
    let host = format!("{api}.googleapis.com");
    let text = match std::env::var("FIREBASE_AUTH_EMULATOR_HOST").ok().filter(|emulator| !emulator.is_empty())
    {
        Some(emulator) => format!("http://{emulator}/{host}/v1/{method}"),
        None => format!("https://{host}/v1/{method}"),
    };
    let invalid = |_| Failure::usage("FIREBASE_AUTH_EMULATOR_HOST is not a host and a port: correct it");
    let mut url = Url::parse(&text).map_err(invalid).map_err(ServiceError::NotSent)?;
    url.query_pairs_mut().append_pair("key", api_key);
    Ok(url)
}

fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Duration::from_secs).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_in_the_link_or_in_a_link_that_it_contains() {
        let link = "https://p.firebaseapp.com/__/auth/action?apiKey=k&mode=signIn&oobCode=a-B_1&lang=en";
        assert_eq!(code(link).as_deref(), Some("a-B_1"));
        let mut outer = Url::parse("https://p.firebaseapp.com/__/auth/links").unwrap();
        outer.query_pairs_mut().append_pair("link", link);
        assert_eq!(code(&format!(" {outer}\n")).as_deref(), Some("a-B_1"));
        assert_eq!(code("https://p.firebaseapp.com/?x=1"), None);
        assert_eq!(code("a-B_1"), None);
    }
}
