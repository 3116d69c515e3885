//! The service that a command uses, and the ID token that it sends there.

use std::time::{Duration, Instant};

use reqwest::Url;
use secrecy::SecretString;
use tokio::sync::Mutex;

use super::error::ServiceError;
use super::firebase::{self, Renewed};
use super::sign_ins::{SignIn, SignIns};
use crate::args::ServiceArgs;
use crate::failure::Failure;

/// An ID token, which is used instead of the stored sign-in.
pub(super) const TOKEN_VARIABLE: &str = "GEMMA_EXPORT_TOKEN";

/// How long before its end an ID token is renewed.
const MARGIN: Duration = Duration::from_secs(120);

/// A service and a sign-in to it.
pub(crate) struct Session {
    pub(crate) service: Url,
    sign_in: SignIn,
    /// The last ID token, and until when it is used.
    current: Mutex<Option<(SecretString, Instant)>>,
}

impl Session {
    /// The session of the service that the arguments name, with `GEMMA_EXPORT_TOKEN` or the stored sign-in.
    pub(crate) fn open(args: &ServiceArgs) -> Result<Self, Failure> {
        let service = service(args)?;
        let sign_in = match variable(TOKEN_VARIABLE) {
            Some(token) => Some(given_token(&token)?),
            None => SignIns::read()?.get(&address(&service)).cloned(),
        };
        let sign_in = sign_in.ok_or_else(|| {
            let address = address(&service);
            Failure::usage(format!(
                "you are not signed in to {address}: run `gemma-export login --service {address}`, or set GEMMA_EXPORT_TOKEN"
            ))
        })?;
        Ok(Self::new(service, sign_in))
    }

    pub(crate) fn new(service: Url, sign_in: SignIn) -> Self {
        Self { service, sign_in, current: Mutex::default() }
    }

    /// Whether an ID token can be replaced by a new one.
    pub(crate) fn is_renewable(&self) -> bool {
        matches!(self.sign_in, SignIn::Firebase { .. })
    }

    /// An ID token; a new one if the last is about to expire, or `renew` asks for it.
    pub(crate) async fn token(
        &self,
        http: &reqwest::Client,
        renew: bool,
    ) -> Result<SecretString, ServiceError> {
        let (api_key, refresh_token) = match &self.sign_in {
            SignIn::IdToken { token } => return Ok(registered(token)),
            SignIn::Firebase { api_key, refresh_token } => (api_key, refresh_token),
        };
        let mut current = self.current.lock().await;
        if let Some((token, until)) = &*current
            && !renew
            && Instant::now() < *until
        {
            return Ok(token.clone());
        }
        let Renewed { id_token, refresh_token: newest, expires_in } =
            firebase::renew(http, api_key, refresh_token).await?;
        if newest != *refresh_token {
            let sign_in = SignIn::Firebase { api_key: api_key.clone(), refresh_token: newest };
            let store = || SignIns::read()?.set(&address(&self.service), sign_in);
            store().map_err(ServiceError::NotSent)?;
        }
        let token = registered(&id_token);
        *current = Some((token.clone(), Instant::now() + expires_in.saturating_sub(MARGIN)));
        Ok(token)
    }
}

/// A token that no message repeats.
fn registered(token: &str) -> SecretString {
    let token = SecretString::from(token);
    redaction::register(&token);
    token
}

/// The service of `--service`, `GEMMA_EXPORT_SERVICE`, or the last login.
pub(crate) fn service(args: &ServiceArgs) -> Result<Url, Failure> {
    let given = args.service.clone().or_else(|| variable("GEMMA_EXPORT_SERVICE"));
    let text = match given {
        Some(text) => text,
        None => SignIns::read()?.default.ok_or_else(|| {
            Failure::usage(
                "no service is known: run `gemma-export login --service URL`, give --service, or set GEMMA_EXPORT_SERVICE",
            )
        })?,
    };
    parse(text.trim())
}

/// Parses the address of a service. Tokens are sent over TLS, or to this machine.
fn parse(text: &str) -> Result<Url, Failure> {
    let cannot = |problem: &str| {
        Failure::usage(format!(
            "{text:?} is not the address of a service: {problem}, such as https://export.example.com"
        ))
    };
    let url = Url::parse(text).map_err(|_| cannot("give a URL"))?;
    let is_this_machine = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match url.scheme() {
        "https" => {}
        "http" if is_this_machine => {}
        _ => return Err(cannot("give one that begins with https://")),
    }
    let has_more = url.path() != "/" || url.query().is_some() || url.fragment().is_some();
    match has_more || !url.username().is_empty() || url.password().is_some() {
        true => Err(cannot("give scheme, host and port only")),
        false => Ok(url),
    }
}

/// Scheme, host and port.
pub(crate) fn address(service: &Url) -> String {
    service.origin().ascii_serialization()
}

/// The sign-in with an ID token that was given as text: without white space, quotes and the name of the header.
pub(crate) fn given_token(text: &str) -> Result<SignIn, Failure> {
    let text = text.trim().trim_matches(['"', '\'']);
    let text = text.strip_prefix("Authorization:").unwrap_or(text).trim();
    let token: String = text.strip_prefix("Bearer").unwrap_or(text).split_whitespace().collect();
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    let parts: Vec<&str> = token.split('.').collect();
    // the Auth emulator does not sign its tokens
    if let [header, payload, signature] = parts[..]
        && is_part(header)
        && is_part(payload)
        && (signature.is_empty() || is_part(signature))
    {
        return Ok(SignIn::IdToken { token });
    }
    Err(Failure::usage("this is not an ID token: give the whole token, three parts with dots between them"))
}

pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_sent_over_tls_or_to_this_machine_only() {
        for good in
            ["https://e.example.com", "https://e.example.com/", "http://localhost:8080", "http://[::1]:1"]
        {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "e.example.com",
            "http://e.example.com",
            "http://127.0.0.1.example.com",
            "https://e.example.com/exports",
            "https://ada@e.example.com",
            "https://e.example.com?x",
            "ftp://localhost",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(address(&parse("https://E.example.com:443/").unwrap()), "https://e.example.com");
    }

    #[test]
    fn a_token_is_what_people_paste() {
        let token = |text: &str| match given_token(text) {
            Ok(SignIn::IdToken { token }) => Some(token),
            Ok(SignIn::Firebase { .. }) | Err(_) => None,
        };
        for text in
            ["a.b-_.c", " a.b-_.c\n", "\"a.b-_.c\"", "Bearer a.b-_.c", "Authorization: Bearer a.b-_\n.c"]
        {
            assert_eq!(token(text).as_deref(), Some("a.b-_.c"), "{text}");
        }
        for text in ["", "a.b", "a.b.c.d", "a..c", "hf_abcdefghijkl", "a.b+.c"] {
            assert_eq!(token(text), None, "{text}");
        }
    }
}
