//! The API description, which production does not serve: `/openapi.json` for programs, and Swagger UI at `/docs/`.
//! The assets of Swagger UI are built into the binary, and the page requests nothing from another origin.

use std::borrow::Cow;
use std::io::{Cursor, Read};

use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Redirect, Response},
};
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;

/// The assets name each other relative to this path, so it ends in a slash.
const ROOT: &str = "/docs/";

/// The policy of the pages in `firebase.json` without the servers that sign people in, and images in `data:` URLs, which
/// the style sheet of Swagger UI uses for its arrows.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The description that the code of `shared` generates, as its tests require.
const DOCUMENT: &str = include_str!("../../../docs/openapi.json");
/// Its own settings of Swagger UI: the layout without the bar that loads other documents, and no badge of the online validator.
const SETTINGS: &str = include_str!("swagger-initializer.js");
/// The files of the distribution that the page needs, with their content types.
const ASSETS: [(&str, &str); 7] = [
    ("favicon-16x16.png", "image/png"),
    ("favicon-32x32.png", "image/png"),
    ("index.css", "text/css"),
    ("index.html", "text/html"),
    ("swagger-ui-bundle.js", "text/javascript"),
    ("swagger-ui-standalone-preset.js", "text/javascript"),
    ("swagger-ui.css", "text/css"),
];

/// The response at that path; `None` if the path is not part of the description.
pub(crate) fn response(path: &str) -> Option<Response> {
    match path {
        "/openapi.json" => Some(file("application/json", DOCUMENT)),
        "/docs" => Some(Redirect::permanent(ROOT).into_response()),
        _ => asset(path.strip_prefix(ROOT)?),
    }
}

fn asset(name: &str) -> Option<Response> {
    match name {
        "swagger-initializer.js" => Some(file("text/javascript", SETTINGS)),
        "" => asset("index.html"),
        _ => {
            let (name, content_type) = ASSETS.into_iter().find(|(asset, _)| *asset == name)?;
            Some(file(content_type, unpacked(name)?))
        }
    }
}

fn file(content_type: &'static str, content: impl IntoResponse) -> Response {
    ([(header::CONTENT_TYPE, content_type)], content).into_response()
}

/// A file of the distribution's archive.
fn unpacked(name: &str) -> Option<Vec<u8>> {
    let mut archive = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED)).ok()?;
    // swagger-ui-<version>/dist/<name>
    let is_asset = |path: &Cow<'_, str>| path.split('/').skip(1).eq(["dist", name]);
    let path = archive.file_names().flatten().find(is_asset)?.into_owned();
    let mut content = Vec::new();
    archive.by_name(&path).ok()?.read_to_end(&mut content).ok()?;
    Some(content)
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
        let response = response(path).unwrap();
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
        assert!(response("/docs/nothing").is_none());
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
        assert!(!settings.contains("://") && settings.contains(r#"validatorUrl: "none""#), "{settings}");
    }
}
