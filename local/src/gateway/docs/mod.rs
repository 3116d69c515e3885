//! The API's description, which production does not serve: `/openapi.json` for programs, `/docs` for people.

mod document;
mod page;
mod schema;
#[cfg(test)]
mod tests;

use anyhow::Context as _;
use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use shared::api::openapi;

const STYLE: &str = include_str!("docs.css");

/// The description in both forms.
#[derive(Debug)]
pub(crate) struct Docs {
    json: String,
    page: String,
}

impl Docs {
    /// The code's own description.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let json = openapi::json();
        let document = serde_json::from_str(&json).context("the API's description")?;
        Ok(Self { page: page::of(&document).into_string(), json })
    }

    /// What is at that path, if it is one of these.
    pub(crate) fn at(&self, path: &str) -> Option<Response> {
        let (kind, text) = match path {
            "/openapi.json" => ("application/json", self.json.clone()),
            "/docs" => ("text/html; charset=utf-8", self.page.clone()),
            "/docs.css" => ("text/css; charset=utf-8", STYLE.to_owned()),
            _ => return None,
        };
        Some(([(header::CONTENT_TYPE, kind)], text).into_response())
    }
}
