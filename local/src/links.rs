//! Download links, in place of the signed URLs of Cloud Storage. A link holds the path of a file to download, its expiry
//! and an HMAC-SHA256 signature of both.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use axum::{
    Router,
    extract::{Path as UrlPath, Query, Request, State, rejection::QueryRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::hmac;
use serde::Deserialize;
use shared::{
    adapters::storage::Storage,
    ports::{DOWNLOAD_LINK_LIFETIME, DownloadLinks, PortError},
};
use tower::ServiceExt as _;
use tower_http::services::ServeFile;

use crate::{
    data_dir::{Bucket, DataDir},
    secret_file,
};

/// The characters that are percent-encoded in a path segment: all but the unreserved ones of RFC 3986.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Creates and serves links.
pub(crate) struct LocalLinks {
    key: hmac::Key,
    origin: String,
    dir: DataDir,
    storage: Arc<Storage>,
}

impl LocalLinks {
    /// Links to `origin`, such as `http://127.0.0.1:8080`, signed with the key in the data folder.
    pub(crate) fn load_or_create(
        dir: DataDir,
        origin: String,
        storage: Arc<Storage>,
    ) -> anyhow::Result<Self> {
        let secret =
            secret_file::load_or_create(&dir.keys().join("links.hmac"), || secret_file::random_bytes(32))?;
        Ok(Self { key: hmac::Key::new(hmac::HMAC_SHA256, &secret), origin, dir, storage })
    }

    fn signed_link(&self, path: &str, expires: i64) -> String {
        let signature = hmac::sign(&self.key, &signed_text(path, expires));
        let signature = URL_SAFE_NO_PAD.encode(signature);
        let path: Vec<_> = path.split('/').map(|s| utf8_percent_encode(s, SEGMENT).to_string()).collect();
        format!("{}/downloads/{}?expires={expires}&signature={signature}", self.origin, path.join("/"))
    }

    /// Whether the signature matches the path and the expiry, and the link has not expired. Signatures are compared in
    /// constant time.
    fn is_valid(&self, path: &str, link: &LinkQuery, now: i64) -> bool {
        let Ok(signature) = URL_SAFE_NO_PAD.decode(&link.signature) else { return false };
        hmac::verify(&self.key, &signed_text(path, link.expires), &signature).is_ok() && now < link.expires
    }
}

fn signed_text(path: &str, expires: i64) -> Vec<u8> {
    format!("{expires}\n{path}").into_bytes()
}

#[async_trait]
impl DownloadLinks for LocalLinks {
    async fn link(&self, path: &str) -> Result<Option<String>, PortError> {
        let Ok(location) = self.storage.location(path) else { return Ok(None) };
        let path = location.path.as_ref();
        if path.split_once('/').is_none_or(|(bucket, _)| bucket != Bucket::Files.name()) {
            return Ok(None);
        }
        let lifetime = i64::try_from(DOWNLOAD_LINK_LIFETIME.as_secs()).unwrap_or(i64::MAX);
        Ok(Some(self.signed_link(path, Timestamp::now().as_second().saturating_add(lifetime))))
    }
}

/// `GET /downloads/{bucket}/{path}`.
pub(crate) fn router(links: Arc<LocalLinks>) -> Router {
    Router::new().route("/downloads/{*path}", get(download)).with_state(links)
}

#[derive(Debug, Deserialize)]
struct LinkQuery {
    expires: i64,
    signature: String,
}

async fn download(
    State(links): State<Arc<LocalLinks>>,
    UrlPath(path): UrlPath<String>,
    query: Result<Query<LinkQuery>, QueryRejection>,
    request: Request,
) -> Response {
    let now = Timestamp::now().as_second();
    if !query.is_ok_and(|Query(link)| links.is_valid(&path, &link, now)) {
        let why = "This download link is invalid or expired. Request a new one from the service.\n";
        return (StatusCode::FORBIDDEN, why).into_response();
    }
    let Some(file) = file_below(&links.dir.buckets(), &path) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let Ok(mut response) = ServeFile::new(file).oneshot(request).await.map(IntoResponse::into_response);
    let name = path.rsplit('/').next().unwrap_or_default();
    let name = utf8_percent_encode(name, SEGMENT);
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename*=UTF-8''{name}")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The file at `path` below `root` after resolving symbolic links; `None` if it is outside of `root`.
fn file_below(root: &Path, path: &str) -> Option<std::path::PathBuf> {
    let plain = |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains('\0');
    if !path.split('/').all(plain) {
        return None;
    }
    let file = root.join(path).canonicalize().ok()?;
    (file.starts_with(root) && file.is_file()).then_some(file)
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};

    use super::*;

    fn links(root: &Path) -> Arc<LocalLinks> {
        let dir = DataDir::open(root).unwrap();
        let storage = Arc::new(Storage::folder(&dir.buckets()).unwrap());
        Arc::new(LocalLinks::load_or_create(dir, "http://127.0.0.1:1".to_owned(), storage).unwrap())
    }

    async fn fetch(links: &Arc<LocalLinks>, link: &str, range: Option<&str>) -> (StatusCode, Vec<u8>) {
        let mut request = Request::get(link.strip_prefix("http://127.0.0.1:1").unwrap_or(link));
        if let Some(range) = range {
            request = request.header(header::RANGE, range);
        }
        let response = router(Arc::clone(links)).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status();
        (status, to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec())
    }

    fn put(links: &LocalLinks, bucket: Bucket, path: &str) -> String {
        let file = links.dir.bucket(bucket).join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, b"0123456789").unwrap();
        url::Url::from_file_path(file).unwrap().to_string()
    }

    #[tokio::test]
    async fn a_link_returns_the_file_and_any_range_of_it() {
        let temp = tempfile::tempdir().unwrap();
        let links = links(temp.path());
        for name in ["job-1/model.gguf", "job ü?#%/model-q8_0.gguf", r"job\1/model.gguf"] {
            let url = put(&links, Bucket::Files, name);
            let link = links.link(&url).await.unwrap().unwrap();
            assert_eq!(fetch(&links, &link, None).await, (StatusCode::OK, b"0123456789".to_vec()), "{link}");
            let part = fetch(&links, &link, Some("bytes=3-5")).await;
            assert_eq!(part, (StatusCode::PARTIAL_CONTENT, b"345".to_vec()));
        }
    }

    #[tokio::test]
    async fn only_files_in_the_bucket_of_downloads_have_links() {
        let temp = tempfile::tempdir().unwrap();
        let links = links(temp.path());
        let raw = put(&links, Bucket::Models, "merged_models/job-1/config.json");
        for path in [raw.as_str(), "file:///etc/passwd", "gs://files/job-1/model.gguf", "ada/gemma", ""] {
            assert_eq!(links.link(path).await.unwrap(), None, "{path}");
        }
    }

    #[tokio::test]
    async fn a_link_is_valid_for_its_file_and_until_its_expiry_only() {
        let temp = tempfile::tempdir().unwrap();
        let links = links(temp.path());
        put(&links, Bucket::Files, "job-1/model.gguf");
        put(&links, Bucket::Files, "job-2/model.gguf");
        let now = Timestamp::now().as_second();
        let good = links.signed_link("files/job-1/model.gguf", now + 60);
        assert_eq!(fetch(&links, &good, None).await.0, StatusCode::OK);
        let other_end = if good.ends_with('A') { "E" } else { "A" };
        for bad in [
            good.replace("job-1", "job-2"),
            good.replace(&format!("expires={}", now + 60), &format!("expires={}", now + 61)),
            good.replace("signature=", "signature=A"),
            format!("{}{other_end}", &good[..good.len() - 1]),
            good.split('?').next().unwrap().to_owned(),
            good.split('&').next().unwrap().to_owned(),
            links.signed_link("files/job-1/model.gguf", now),
        ] {
            assert_eq!(fetch(&links, &bad, None).await.0, StatusCode::FORBIDDEN, "{bad}");
        }
    }

    #[tokio::test]
    async fn a_signed_link_to_a_path_outside_of_the_buckets_is_not_found() {
        let temp = tempfile::tempdir().unwrap();
        let links = links(temp.path());
        std::fs::write(temp.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink(temp.path().join("secret"), temp.path().join("buckets/files/out"))
            .unwrap();
        let far = Timestamp::now().as_second() + 60;
        for path in
            ["../secret", "files/../../secret", "files/out", "files", "files/", "files//etc", "/etc/passwd"]
        {
            let link = links.signed_link(path, far);
            assert_eq!(fetch(&links, &link, None).await.0, StatusCode::NOT_FOUND, "{path}");
        }
    }
}
