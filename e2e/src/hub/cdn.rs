//! The storage behind the Hub, which serves large files at signed links. It has an address of its own, and refuses requests
//! with a token.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::HttpBody as _,
    extract::{Path, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};

use super::{HubState, Step, ranges};

/// How many bytes of each repository's files were sent.
#[derive(Default)]
pub(super) struct SentBytes(Mutex<BTreeMap<String, u64>>);

impl SentBytes {
    pub(super) fn of(&self, repo: &str) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(repo).copied().unwrap_or(0)
    }

    fn add(&self, repo: &str, bytes: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(repo.to_owned()).or_default() += bytes;
    }
}

pub(super) fn router(state: Arc<HubState>) -> Router {
    Router::new().route("/{owner}/{name}/{revision}/{*file}", get(file)).with_state(state)
}

/// The signed link of a file.
pub(super) fn link(endpoint: &str, repo: &str, revision: &str, file: &str) -> String {
    format!(
        "{endpoint}/{repo}/{revision}/{file}?Policy=canary_of_a_policy&Signature=canary_of_a_link&Key-Pair-Id=canary"
    )
}

async fn file(
    State(state): State<Arc<HubState>>,
    Path((owner, name, revision, file)): Path<(String, String, String, String)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let fault = state.faults.next(Step::Storage);
    if let Some(fault) = fault
        && let Some(answer) = fault.response().await
    {
        return answer;
    }
    let response = content(&state, &[&owner, &name, &revision, &file], &method, &headers);
    match fault {
        Some(fault) => fault.spoil(response, uri.path()).await,
        None => response,
    }
}

fn content(state: &HubState, path: &[&str; 4], method: &Method, headers: &HeaderMap) -> Response {
    let [owner, name, revision, file] = *path;
    if headers.contains_key(header::AUTHORIZATION) {
        return (StatusCode::BAD_REQUEST, "Only one auth mechanism allowed").into_response();
    }
    let id = format!("{owner}/{name}");
    let repo = state.repos.get(&id);
    let found = repo.as_ref().and_then(|repo| repo.at(revision)).and_then(|(_, files)| files.get(file));
    match found {
        Some(content) => {
            let response = ranges::respond(method, headers, &content.bytes);
            state.sent.add(&id, response.body().size_hint().exact().unwrap_or(0));
            response
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
