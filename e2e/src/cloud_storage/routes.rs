//! The XML API: <https://cloud.google.com/storage/docs/xml-api/overview>.

use std::{collections::HashMap, fmt::Write as _, ops::Range, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use super::objects::{Object, Objects, Precondition};

const GENERATION: &str = "x-goog-generation";
const GENERATION_MATCH: &str = "x-goog-if-generation-match";
/// No object is old.
const MODIFIED: (&str, &str) = ("Fri, 01 Jan 2100 00:00:00 GMT", "2100-01-01T00:00:00.000Z");

type Store = State<Arc<Objects>>;
type Parameters = Query<HashMap<String, String>>;

pub(super) fn router(objects: Arc<Objects>) -> Router {
    Router::new()
        .route("/{bucket}", get(list).put(StatusCode::OK))
        .route("/{bucket}/", get(list))
        .route("/{bucket}/{*name}", get(read).put(write).post(upload).delete(delete))
        .layer(DefaultBodyLimit::disable())
        .with_state(objects)
}

async fn read(
    State(objects): Store,
    Path((bucket, name)): Path<(String, String)>,
    Query(parameters): Parameters,
    headers: HeaderMap,
) -> Response {
    let path = format!("{bucket}/{name}");
    let Some(object) = objects.read(&path) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if parameters.get("generation").is_some_and(|expected| *expected != object.generation.to_string()) {
        return StatusCode::NOT_FOUND.into_response();
    }
    if text(&headers, header::IF_MATCH.as_str()).is_some_and(|expected| expected != object.e_tag) {
        return StatusCode::PRECONDITION_FAILED.into_response();
    }
    let size = object.content.len();
    match text(&headers, header::RANGE.as_str()).and_then(|range| parse_range(range, size)) {
        Some(range) => {
            let content_range = format!("bytes {}-{}/{size}", range.start, range.end - 1);
            let content = object.content[range].to_vec();
            objects.count_sent(&path, content.len());
            let headers = [(header::CONTENT_RANGE, content_range)];
            (StatusCode::PARTIAL_CONTENT, headers, described(&object), content).into_response()
        }
        None => {
            objects.count_sent(&path, size);
            (described(&object), object.content.to_vec()).into_response()
        }
    }
}

async fn write(
    State(objects): Store,
    Path((bucket, name)): Path<(String, String)>,
    Query(parameters): Parameters,
    headers: HeaderMap,
    content: Bytes,
) -> Response {
    if !objects.has_bucket(&bucket) {
        return StatusCode::NOT_FOUND.into_response();
    }
    if let (Some(upload), Some(number)) = (parameters.get("uploadId"), parameters.get("partNumber")) {
        let number = number.parse().unwrap_or_default();
        return match objects.put_part(upload, number, content.to_vec()) {
            Some(e_tag) => [(header::ETAG, e_tag)].into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        };
    }
    let expected = text(&headers, GENERATION_MATCH).and_then(|expected| expected.parse().ok());
    let condition = expected.map_or(Precondition::None, Precondition::Generation);
    match objects.put_if(&format!("{bucket}/{name}"), content.to_vec(), &condition) {
        Some(object) => described(&object).into_response(),
        None => StatusCode::PRECONDITION_FAILED.into_response(),
    }
}

async fn upload(
    State(objects): Store,
    Path((bucket, name)): Path<(String, String)>,
    Query(parameters): Parameters,
) -> Response {
    if let Some(upload) = parameters.get("uploadId") {
        let Some(object) = objects.complete_upload(upload, &format!("{bucket}/{name}")) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let body = format!(
            "<CompleteMultipartUploadResult><ETag>{}</ETag></CompleteMultipartUploadResult>",
            object.e_tag
        );
        return (described(&object), body).into_response();
    }
    if !objects.has_bucket(&bucket) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let id = objects.begin_upload();
    format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>")
        .into_response()
}

async fn delete(
    State(objects): Store,
    Path((bucket, name)): Path<(String, String)>,
    Query(parameters): Parameters,
) -> StatusCode {
    if let Some(upload) = parameters.get("uploadId") {
        objects.abort_upload(upload);
        return StatusCode::NO_CONTENT;
    }
    match objects.delete(&format!("{bucket}/{name}")) {
        true => StatusCode::NO_CONTENT,
        false => StatusCode::NOT_FOUND,
    }
}

async fn list(State(objects): Store, Path(bucket): Path<String>, Query(parameters): Parameters) -> String {
    let parameter = |name: &str| parameters.get(name).map(String::as_str).unwrap_or_default();
    let (prefix, delimiter) = (parameter("prefix"), parameter("delimiter"));
    let (mut contents, mut folders) = (String::new(), Vec::new());
    for (name, object) in objects.list(&bucket, prefix) {
        match name[prefix.len()..].split_once(delimiter).filter(|_| !delimiter.is_empty()) {
            Some((folder, _)) => folders.push(format!("{prefix}{folder}{delimiter}")),
            None => write!(
                contents,
                "<Contents><Key>{name}</Key><LastModified>{}</LastModified><ETag>{}</ETag><Size>{}</Size></Contents>",
                MODIFIED.1,
                object.e_tag,
                object.content.len()
            )
            .unwrap_or_default(),
        }
    }
    folders.dedup();
    for folder in folders {
        write!(contents, "<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>").unwrap_or_default();
    }
    format!("<ListBucketResult>{contents}</ListBucketResult>")
}

fn described(object: &Object) -> [(&'static str, String); 3] {
    [
        ("etag", object.e_tag.clone()),
        (GENERATION, object.generation.to_string()),
        ("last-modified", MODIFIED.0.to_owned()),
    ]
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// `bytes=1-5` or `bytes=1-`.
fn parse_range(range: &str, size: usize) -> Option<Range<usize>> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().unwrap_or(usize::MAX));
    (first < size).then(|| first..last.saturating_add(1).min(size))
}
