//! The API description, which production does not serve: `/openapi.json` for programs, and Swagger UI at `/docs/`.
//! The assets of Swagger UI are built into the binary, and the page requests nothing from another origin.

use std::sync::Arc;

use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Redirect, Response},
};
use shared::api::openapi;
use utoipa_swagger_ui::{Config, serve};

/// The assets name each other relative to this path, so it ends in a slash.
const ROOT: &str = "/docs/";

/// The policy of the pages in `firebase.json` without the servers that sign people in, and images in `data:` URLs, which
/// the style sheet of Swagger UI uses for its arrows.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The OpenAPI document and the configuration of Swagger UI.
pub(crate) struct ApiDocs {
    document: String,
    config: Arc<Config<'static>>,
}

impl ApiDocs {
    /// The OpenAPI document of the code.
    pub(crate) fn new() -> Self {
        // The layout without the bar that loads other documents, and no badge of the online validator.
        let config = Config::from("/openapi.json").use_base_layout().validator_url("none");
        Self { document: openapi::json(), config: Arc::new(config) }
    }

    /// The response at that path; `None` if the path is not part of the description.
    pub(crate) fn response(&self, path: &str) -> Option<Response> {
        match path {
            "/openapi.json" => {
                let content_type = [(header::CONTENT_TYPE, "application/json")];
                Some((content_type, self.document.clone()).into_response())
            }
            "/docs" => Some(Redirect::permanent(ROOT).into_response()),
            _ => self.asset(path.strip_prefix(ROOT)?),
        }
    }

    fn asset(&self, name: &str) -> Option<Response> {
        let file = serve(name, Arc::clone(&self.config)).ok()??;
        Some(([(header::CONTENT_TYPE, file.content_type)], file.bytes.into_owned()).into_response())
    }
}

/// Replaces the policy of the pages where Swagger UI is.
pub(crate) fn set_policy(path: &str, headers: &mut HeaderMap) {
    if path.starts_with(ROOT) {
        headers.insert(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::to_bytes, http::StatusCode};

    use super::*;

    async fn get(path: &str) -> (String, String) {
        let response = ApiDocs::new().response(path).unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let content_type = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let body = to_bytes(response.into_body(), 4 << 20).await.unwrap();
        (content_type, String::from_utf8_lossy(&body).into_owned())
    }

    /// The values of `href` and `src` in the page.
    async fn linked() -> Vec<String> {
        let (_, page) = get("/docs/").await;
        let values = ["href=\"", "src=\""].map(|attribute| page.split(attribute).skip(1).collect::<Vec<_>>());
        values.iter().flatten().map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
    }

    #[tokio::test]
    async fn openapi_json_is_the_document_of_the_repository() {
        let in_repository = include_str!("../../../docs/openapi.json");
        assert!(get("/openapi.json").await == ("application/json".to_owned(), in_repository.to_owned()));
    }

    #[tokio::test]
    async fn every_asset_of_the_page_is_served_with_its_content_type() {
        let linked = linked().await;
        assert!(linked.len() >= 6, "{linked:?}");
        for name in linked {
            let path = format!("{ROOT}{}", name.trim_start_matches("./"));
            let (content_type, body) = get(&path).await;
            let expected = match name.rsplit('.').next().unwrap() {
                "css" => "text/css",
                "js" => "text/javascript",
                "png" => "image/png",
                other => panic!("{other}"),
            };
            assert_eq!((content_type.as_str(), body.is_empty()), (expected, false), "{name}");
        }
        assert_eq!(get(ROOT).await.0, "text/html");
        assert!(ApiDocs::new().response("/docs/nothing").is_none());
    }

    #[tokio::test]
    async fn the_page_names_no_other_origin_and_holds_no_inline_code() {
        for name in linked().await {
            assert!(!name.contains("//") && !name.starts_with("data:"), "{name}");
        }
        let (_, page) = get(ROOT).await;
        assert!(!page.contains("://") && !page.contains("<style") && !page.contains("style="), "{page}");
        for script in page.split("<script").skip(1) {
            let (attributes, rest) = script.split_once('>').unwrap();
            let code = rest.split("</script>").next().unwrap();
            assert!(attributes.contains("src=") && code.trim().is_empty(), "{script}");
        }
        let (_, settings) = get("/docs/swagger-initializer.js").await;
        assert!(settings.contains(r#""/openapi.json""#), "{settings}");
        assert!(!settings.contains("://") && settings.contains(r#""validatorUrl": "none""#), "{settings}");
    }
}
