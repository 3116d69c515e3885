//! The HTTP API.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{
    Answer, Content, Fault, HubRef, HubState, LARGEST_REGULAR, Repo, Step, access::Token, cdn, oauth, ranges,
};

/// The files on a page of a list. The Hub's pages have a thousand.
const PAGE_SIZE: usize = 4;

type HubResult = Result<Response, Answer>;

/// A request that the real client does not send.
const fn bad_request(message: &'static str) -> Answer {
    Answer::new(400, None, message)
}

pub(super) fn router(state: Arc<HubState>) -> Router {
    let model = "/api/models/{owner}/{name}";
    Router::new()
        .route("/api/repos/create", post(create))
        .route("/api/whoami-v2", get(whoami))
        .route(model, get(info))
        .route(&format!("{model}/revision/{{revision}}"), get(info))
        .route(&format!("{model}/tree/{{revision}}"), get(tree))
        .route(&format!("{model}/preupload/{{revision}}"), post(preupload))
        .route(&format!("{model}/commit/{{revision}}"), post(commit))
        .route(&format!("{model}/paths-info/{{revision}}"), post(paths_info))
        .route(&format!("{model}/xet-write-token/{{revision}}"), get(write_token))
        .route(&format!("{model}/xet-read-token/{{revision}}"), get(read_token))
        .route("/{owner}/{git}/info/lfs/objects/batch", post(batch))
        .route("/{owner}/{name}/resolve/{revision}/{*file}", get(resolve))
        .merge(oauth::router())
        .layer(axum::extract::DefaultBodyLimit::max(256 << 20))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&state), redirect_renamed))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&state), fault))
        .with_state(state)
}

/// The step of a request.
fn step(method: &Method, path: &str) -> Option<Step> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match (method, parts.as_slice()) {
        (&Method::POST, ["api", "repos", "create"]) => Some(Step::Create),
        (_, ["api", "models", _, _] | ["api", "models", _, _, "revision", _]) => Some(Step::Info),
        (_, ["api", "models", _, _, "tree", _]) => Some(Step::Tree),
        (_, ["api", "models", _, _, "preupload", _]) => Some(Step::Preupload),
        (_, ["api", "models", _, _, "commit", _]) => Some(Step::Commit),
        (_, ["api", "models", _, _, "xet-write-token", _]) => Some(Step::WriteToken),
        (_, ["api", "models", _, _, "xet-read-token", _]) => Some(Step::ReadToken),
        (_, [_, _, "info", "lfs", "objects", "batch"]) => Some(Step::Batch),
        (&Method::HEAD, [_, _, "resolve", ..]) => Some(Step::Resolve),
        (&Method::GET, [_, _, "resolve", ..]) => Some(Step::Download),
        _ => None,
    }
}

async fn fault(State(state): HubRef, mut request: Request, next: Next) -> Response {
    if let Some(fault) = step(request.method(), request.uri().path()).and_then(|step| state.faults.next(step))
    {
        if let Some(answer) = fault.response().await {
            return answer;
        }
        if let Fault::QuotaInHead(quota) = fault {
            return quota_in_head(quota, request, next).await;
        }
        request.extensions_mut().insert(fault);
        let uri = request.uri().to_string();
        let response = next.run(request).await;
        return fault.spoil(response, &uri).await;
    }
    next.run(request).await
}

async fn quota_in_head(quota: &'static str, request: Request, next: Next) -> Response {
    if request.method() != Method::HEAD {
        return Answer { header: None, ..Answer::QUOTA }.into_response();
    }
    let mut response = next.run(request).await;
    response.headers_mut().insert("ratelimit", HeaderValue::from_static(quota));
    response
}

/// Redirects requests with the old name of a repository, as the Hub does.
async fn redirect_renamed(State(state): HubRef, request: Request, next: Next) -> Response {
    let uri = request.uri();
    let path = uri.path().strip_prefix("/api/models").unwrap_or(uri.path());
    let mut segments = path.split('/').skip(1);
    let (owner, name) = (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
    let old = format!("{owner}/{}", name.trim_end_matches(".git"));
    let Some(new) = state.repos.new_id(&old) else { return next.run(request).await };
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, uri.to_string().replacen(&old, &new, 1))])
        .into_response()
}

impl HubState {
    /// The permissions of the request's token; `None` without a token. An unknown token is rejected.
    pub(super) fn caller(&self, headers: &HeaderMap) -> Result<Option<Token>, Answer> {
        let Some(header) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
        let token = header.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
        let find = |token| self.tokens.get(token).map(Token::of_user).or_else(|| self.oauth.token(token));
        token.and_then(find).map(Some).ok_or(Answer::INVALID_TOKEN)
    }

    fn readable(&self, headers: &HeaderMap, id: &str, content: bool) -> Result<Repo, Answer> {
        let caller = self.caller(headers)?;
        let owns = caller.as_ref().is_some_and(|token| token.owns(id));
        let hidden = if caller.is_some() { Answer::NO_REPOSITORY } else { Answer::NO_CREDENTIALS };
        let repo = self.repos.get(id).ok_or(hidden)?;
        if repo.private && !owns {
            return Err(hidden);
        }
        if content && repo.gated && !caller.as_ref().is_some_and(|token| token.access.licenses) {
            return Err(if caller.is_some() { Answer::LICENSE } else { Answer::GATED });
        }
        Ok(repo)
    }

    fn writable(&self, headers: &HeaderMap, id: &str) -> Result<Repo, Answer> {
        let caller = self.caller(headers)?;
        if !caller.ok_or(Answer::NO_CREDENTIALS)?.may_write(id) {
            return Err(Answer::NO_WRITE_ACCESS);
        }
        self.repos.get(id).ok_or(Answer::NO_REPOSITORY)
    }
}

async fn create(State(state): HubRef, headers: HeaderMap, Json(body): Json<Value>) -> HubResult {
    let text = |field: &str| body[field].as_str().unwrap_or_default();
    let id = format!("{}/{}", text("organization"), text("name"));
    if !state.caller(&headers)?.ok_or(Answer::NO_CREDENTIALS)?.may_create(&id) {
        return Err(Answer::NO_WRITE_ACCESS);
    }
    if state.repos.get(&id).is_some() {
        return Err(Answer::REPOSITORY_EXISTS);
    }
    let private = body["private"].as_bool().unwrap_or(false);
    state.repos.put(&id, Repo { private, ..Repo::default() });
    Ok(Json(json!({ "url": format!("https://hub.test/{id}") })).into_response())
}

async fn whoami(State(state): HubRef, headers: HeaderMap) -> HubResult {
    let token = state.caller(&headers)?.ok_or(Answer::NO_CREDENTIALS)?;
    let role = if token.access.write { "write" } else { "read" };
    let auth = match token.scopes {
        None => json!({ "type": "access_token", "accessToken": { "displayName": "test", "role": role } }),
        Some(_) => json!({ "type": "oauth" }),
    };
    Ok(Json(json!({ "type": "user", "name": token.access.user, "orgs": [], "auth": auth })).into_response())
}

async fn info(State(state): HubRef, Path(path): Path<Vec<String>>, headers: HeaderMap) -> HubResult {
    let id = path[..2].join("/");
    let repo = state.readable(&headers, &id, false)?;
    let (commit, files) = repo.at(path.get(2).map_or("main", String::as_str)).ok_or(Answer::NO_REVISION)?;
    let siblings: Vec<_> = files.keys().map(|name| json!({ "rfilename": name })).collect();
    let answer = json!({
        "id": id, "modelId": id, "private": repo.private, "gated": if repo.gated { json!("auto") } else { json!(false) },
        "sha": commit, "siblings": siblings, "tags": [], "downloads": 0, "likes": 0,
    });
    Ok(Json(answer).into_response())
}

fn entry(name: &str, content: &Content) -> Value {
    let size = content.bytes.len();
    let mut entry = json!({ "type": "file", "path": name, "size": size, "oid": content.git_oid() });
    if let Some(xet) = &content.xet {
        entry["lfs"] = json!({ "oid": content.sha256(), "size": size, "pointerSize": 134 });
        entry["xetHash"] = json!(xet);
    }
    entry
}

async fn tree(
    State(state): HubRef,
    uri: Uri,
    Path(path): Path<Vec<String>>,
    Query(options): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> HubResult {
    let repo = state.readable(&headers, &path[..2].join("/"), false)?;
    let (_, files) = repo.at(&path[2]).ok_or(Answer::NO_REVISION)?;
    if files.is_empty() {
        return Err(Answer::NO_ENTRY);
    }
    let recursive = options.get("recursive").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let listed = files.iter().filter(|(name, _)| recursive || !name.contains('/'));
    let cursor = options.get("cursor").and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    let mut rest = listed.map(|(name, content)| entry(name, content)).skip(cursor);
    let entries: Vec<_> = rest.by_ref().take(PAGE_SIZE).collect();
    let mut response = Json(entries).into_response();
    if rest.next().is_some() {
        let (url, next) = (format!("{}{}", state.endpoint, uri.path()), cursor + PAGE_SIZE);
        let link = format!("<{url}?recursive={recursive}&cursor={next}>; rel=\"next\"");
        let link = HeaderValue::from_str(&link).unwrap_or(HeaderValue::from_static(""));
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

async fn paths_info(
    State(state): HubRef,
    Path(path): Path<Vec<String>>,
    headers: HeaderMap,
    body: Bytes,
) -> HubResult {
    let repo = state.readable(&headers, &path[..2].join("/"), true)?;
    let names = named_paths(&headers, &body)?;
    let entries: Vec<_> = names.iter().filter_map(|name| Some(entry(name, repo.files.get(name)?))).collect();
    Ok(Json(entries).into_response())
}

/// The Rust client sends JSON, the Python client a form.
fn named_paths(headers: &HeaderMap, body: &[u8]) -> Result<Vec<String>, Answer> {
    if headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/x-www-form-urlencoded") {
        let fields = url::form_urlencoded::parse(body).filter(|(name, _)| name == "paths");
        return Ok(fields.map(|(_, path)| path.into_owned()).collect());
    }
    let body: Value = serde_json::from_slice(body).map_err(|_| bad_request("not JSON"))?;
    let names = body["paths"].as_array().into_iter().flatten().filter_map(Value::as_str);
    Ok(names.map(str::to_owned).collect())
}

async fn preupload(
    State(state): HubRef,
    Path(path): Path<Vec<String>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> HubResult {
    state.writable(&headers, &path[..2].join("/"))?;
    let mode = |file: &Value| {
        let large = file["size"].as_u64().is_some_and(|size| size > LARGEST_REGULAR);
        json!({ "path": file["path"], "uploadMode": if large { "lfs" } else { "regular" }, "shouldIgnore": false })
    };
    let files: Vec<_> = body["files"].as_array().into_iter().flatten().map(mode).collect();
    Ok(Json(json!({ "files": files })).into_response())
}

async fn batch(
    State(state): HubRef,
    Path((owner, git)): Path<(String, String)>,
    headers: HeaderMap,
    fault: Option<axum::Extension<Fault>>,
    Json(body): Json<Value>,
) -> HubResult {
    state.writable(&headers, &format!("{owner}/{}", git.trim_end_matches(".git")))?;
    let xet = body["transfers"].as_array().is_some_and(|all| all.contains(&json!("xet")));
    let fault = fault.map(|fault| fault.0);
    let transfer = if xet && fault != Some(Fault::NoXet) { "xet" } else { "basic" };
    let mut objects = body["objects"].clone();
    if let Some(Fault::FileError(answer)) = fault {
        objects[0]["error"] = json!({ "code": answer.status, "message": answer.message });
    }
    Ok(Json(json!({ "transfer": transfer, "objects": objects })).into_response())
}

async fn write_token(
    State(state): HubRef,
    Path(path): Path<Vec<String>>,
    headers: HeaderMap,
    fault: Option<axum::Extension<Fault>>,
) -> HubResult {
    state.writable(&headers, &path[..2].join("/"))?;
    let dead = fault.is_some_and(|fault| fault.0 == Fault::DeadStore);
    Ok(token(if dead { "http://127.0.0.1:9" } else { &state.xet.endpoint }))
}

async fn read_token(State(state): HubRef, Path(path): Path<Vec<String>>, headers: HeaderMap) -> HubResult {
    state.readable(&headers, &path[..2].join("/"), true)?;
    Ok(token(&state.xet.endpoint))
}

fn token(endpoint: &str) -> Response {
    let answer = json!({ "accessToken": "xet-token", "exp": 4_000_000_000_u64, "casUrl": endpoint });
    let headers = [
        ("x-xet-cas-url", endpoint),
        ("x-xet-access-token", "xet-token"),
        ("x-xet-token-expiration", "4000000000"),
    ];
    (headers, Json(answer)).into_response()
}

async fn commit(
    State(state): HubRef,
    Path(path): Path<Vec<String>>,
    headers: HeaderMap,
    fault: Option<axum::Extension<Fault>>,
    body: String,
) -> HubResult {
    let id = path[..2].join("/");
    let _held = state.committing.lock().await;
    let mut repo = state.writable(&headers, &id)?;
    let fault = fault.map(|fault| fault.0);
    if fault == Some(Fault::OtherCommit) {
        let text = Content::regular(repo.head());
        repo.commit(|files| _ = files.insert("other.txt".to_owned(), text));
        state.repos.put(&id, repo.clone());
    }
    let (mut files, mut written) = (repo.files.clone(), BTreeMap::new());
    for line in body.lines() {
        let line: Value = serde_json::from_str(line).map_err(|_| bad_request("the line is not JSON"))?;
        let value = &line["value"];
        let name = value["path"].as_str().unwrap_or_default().to_owned();
        match line["key"].as_str() {
            Some("header") => {
                if value["parentCommit"].as_str().is_some_and(|parent| parent != repo.head()) {
                    return Err(Answer::COMMIT_HAPPENED);
                }
            }
            Some("deletedFile") => {
                if files.remove(&name).is_none() {
                    return Err(bad_request("the file to delete does not exist"));
                }
            }
            Some("file") => {
                let content = BASE64_STANDARD.decode(value["content"].as_str().unwrap_or_default());
                let bytes = content.map_err(|_| bad_request("not base64"))?;
                if bytes.len() as u64 > LARGEST_REGULAR {
                    return Err(bad_request("too large for a commit"));
                }
                written.insert(name, Content::regular(bytes));
            }
            Some("lfsFile") => {
                let sha256 = value["oid"].as_str().unwrap_or_default();
                let Some((xet, bytes)) = state.xet.file(sha256).await else {
                    return Err(bad_request("the file was not uploaded"));
                };
                written.insert(name, Content { bytes, xet: Some(xet) });
            }
            _ => return Err(bad_request("unknown operation")),
        }
    }
    if fault == Some(Fault::LosesFile) {
        written.pop_last();
    }
    files.extend(written);
    repo.commit(|kept| *kept = files);
    let answer = json!({ "commitUrl": format!("https://hub.test/{id}/commit/{}", repo.head()), "commitOid": repo.head() });
    state.repos.put(&id, repo);
    if fault == Some(Fault::LosesAnswer) {
        return Ok(StatusCode::GATEWAY_TIMEOUT.into_response());
    }
    Ok(Json(answer).into_response())
}

/// Returns a file or a range of it. A file in the Xet store is behind a redirect to the storage; the headers have its Xet
/// hash.
async fn resolve(
    State(state): HubRef,
    Path((owner, name, revision, file)): Path<(String, String, String, String)>,
    method: Method,
    headers: HeaderMap,
) -> HubResult {
    let repo = state.readable(&headers, &format!("{owner}/{name}"), true)?;
    let (commit, files) = repo.at(&revision).ok_or(Answer::NO_REVISION)?;
    let content = files.get(&file).ok_or(Answer::NO_ENTRY)?;
    let mut response = match content.xet {
        None => ranges::respond(&method, &headers, &content.bytes),
        Some(_) => StatusCode::FOUND.into_response(),
    };
    let mut set = |name: &'static str, value: String| {
        let value = HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static(""));
        response.headers_mut().insert(name, value);
    };
    set("x-repo-commit", commit.clone());
    match &content.xet {
        None => set("etag", format!("\"{}\"", content.git_oid())),
        Some(xet) => {
            set("location", cdn::link(&state.cdn, &format!("{owner}/{name}"), &commit, &file));
            set("etag", format!("\"{}\"", content.sha256()));
            set("x-linked-etag", format!("\"{}\"", content.sha256()));
            set("x-linked-size", content.bytes.len().to_string());
            set("x-xet-hash", xet.clone());
            let route = format!("{}/api/models/{owner}/{name}/xet-read-token/{commit}", state.endpoint);
            set("x-xet-refresh-route", route);
        }
    }
    Ok(response)
}
