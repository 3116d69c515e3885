//! The rules of `firebase.json`, as Firebase Hosting applies them: the first rewrite that matches, and the last header of
//! each name (<https://firebase.google.com/docs/hosting/full-config>). Rules depend on the path only, not on the method.

use anyhow::{Context as _, ensure};
use axum::http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY},
};
use serde::Deserialize;

use super::glob::Glob;

/// The file. An unknown field is an error, because production would apply a rule that this gateway does not.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FirebaseJson {
    hosting: HostingJson,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HostingJson {
    public: String,
    #[serde(default, rename = "ignore")]
    _ignore: Vec<String>,
    #[serde(default)]
    rewrites: Vec<RewriteJson>,
    #[serde(default)]
    headers: Vec<HeadersJson>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RewriteJson {
    source: String,
    run: RunJson,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RunJson {
    service_id: String,
    #[serde(rename = "region")]
    _region: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadersJson {
    source: String,
    headers: Vec<HeaderJson>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderJson {
    key: String,
    value: String,
}

/// The rules of one site.
#[derive(Debug)]
pub(crate) struct HostingRules {
    rewrites: Vec<(Glob, String)>,
    headers: Vec<(Glob, HeaderName, HeaderValue)>,
}

impl HostingRules {
    /// Parses the file. Rewrites may name only `services`.
    pub(crate) fn parse(text: &str, services: &[&str]) -> anyhow::Result<Self> {
        let FirebaseJson { hosting } = serde_json::from_str(text).context("firebase.json")?;
        ensure!(hosting.public == "public", "firebase.json: `public` must be `public`");
        let rewrite = |rewrite: RewriteJson| {
            let service = rewrite.run.service_id;
            ensure!(services.contains(&service.as_str()), "firebase.json: unknown service {service}");
            Ok((rewrite.source.parse()?, service))
        };
        let rewrites = hosting.rewrites.into_iter().map(rewrite).collect::<anyhow::Result<_>>()?;
        let mut headers = Vec::new();
        for rule in hosting.headers {
            let glob: Glob = rule.source.parse()?;
            for HeaderJson { key, value } in rule.headers {
                headers.push((glob.clone(), key.parse()?, value.parse()?));
            }
        }
        Ok(Self { rewrites, headers })
    }

    /// The service that the path is rewritten to.
    pub(crate) fn service(&self, path: &str) -> Option<&str> {
        self.rewrites.iter().find(|(glob, _)| glob.matches(path)).map(|(_, service)| service.as_str())
    }

    /// Lets pages connect to that origin, as a deployment does whose page needs it.
    pub(crate) fn connect_to(&mut self, origin: &str) -> anyhow::Result<()> {
        for (_, key, value) in &mut self.headers {
            if *key == CONTENT_SECURITY_POLICY {
                let policy = value.to_str()?.replace("connect-src", &format!("connect-src {origin}"));
                *value = policy.parse()?;
            }
        }
        Ok(())
    }

    /// Sets the headers for that path, but keeps a `Cache-Control` of the response: functions, the token issuer and downloads
    /// decide themselves whether it may be stored.
    pub(crate) fn add_headers(&self, path: &str, headers: &mut HeaderMap) {
        let is_set = headers.contains_key(CACHE_CONTROL);
        for (glob, key, value) in &self.headers {
            if glob.matches(path) && !(is_set && key == CACHE_CONTROL) {
                headers.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICES: [&str; 6] = ["health", "list", "create", "get", "cancel", "plan"];

    fn deployed() -> HostingRules {
        HostingRules::parse(include_str!("../../../hosting/firebase.json"), &SERVICES).unwrap()
    }

    fn headers(path: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        deployed().add_headers(path, &mut headers);
        headers
    }

    #[test]
    fn each_route_is_rewritten_to_its_function() {
        let hosting = deployed();
        for (path, service) in [
            ("/health", Some("health")),
            ("/exports", Some("create")),
            ("/exports/job-1", Some("get")),
            ("/exports/a/b", Some("get")),
            ("/exports/job-1/cancel", Some("cancel")),
            ("/plans", Some("plan")),
            ("/plans/job-1", None),
            ("/exports/job-1/history", Some("get")),
            ("/", None),
            ("/index.html", None),
            ("/exportsx", None),
        ] {
            assert_eq!(hosting.service(path), service, "{path}");
        }
    }

    #[test]
    fn api_responses_are_not_stored_and_pages_are_revalidated() {
        for path in ["/health", "/exports", "/exports/job-1"] {
            assert_eq!(headers(path)["cache-control"], "no-store", "{path}");
        }
        for path in ["/", "/js/app.js"] {
            assert_eq!(headers(path)["cache-control"], "no-cache", "{path}");
        }
    }

    #[test]
    fn every_page_forbids_inline_scripts_and_frames() {
        for path in ["/", "/index.html", "/exports/job-1", "/nothing/here"] {
            let headers = headers(path);
            let policy = headers["content-security-policy"].to_str().unwrap();
            assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
            assert!(!policy.contains("unsafe"), "{policy}");
            assert_eq!(headers["x-content-type-options"], "nosniff");
            // with no-referrer, browsers send the page's own requests with the origin null, which is refused
            assert_eq!(headers["referrer-policy"], "same-origin");
        }
    }

    #[test]
    fn pages_connect_to_an_origin_that_is_added_and_to_those_of_the_file() {
        let mut hosting = deployed();
        hosting.connect_to("https://hub.test").unwrap();
        let mut headers = HeaderMap::new();
        hosting.add_headers("/", &mut headers);
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.contains("; connect-src https://hub.test 'self' https://identitytoolkit."),
            "{policy}"
        );
        assert_eq!(policy.matches("hub.test").count(), 1, "{policy}");
    }

    #[test]
    fn the_cache_control_of_a_response_is_kept() {
        for path in ["/exports", "/__/local/token", "/downloads/files/model.gguf"] {
            let mut headers = HeaderMap::new();
            headers.insert("cache-control", HeaderValue::from_static("private"));
            deployed().add_headers(path, &mut headers);
            assert_eq!(headers["cache-control"], "private", "{path}");
        }
    }

    #[test]
    fn an_unsupported_rule_is_an_error() {
        for (text, why) in [
            (r#"{"hosting":{"public":"public","cleanUrls":true}}"#, "cleanUrls"),
            (
                r#"{"hosting":{"public":"public","rewrites":[{"source":"**","destination":"/index.html"}]}}"#,
                "destination",
            ),
            (
                r#"{"hosting":{"public":"public","rewrites":[{"source":"/x","run":{"serviceId":"x","region":"r"}}]}}"#,
                "x",
            ),
            (r#"{"hosting":{"public":"dist"}}"#, "public"),
        ] {
            let error = format!("{:#}", HostingRules::parse(text, &SERVICES).unwrap_err());
            assert!(error.contains(why), "{error}");
        }
    }
}
