//! The files in `hosting/public`, built into the binary.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

struct StaticFile {
    path: &'static str,
    bytes: &'static [u8],
}

macro_rules! files {
    ($($path:literal),+ $(,)?) => {
        &[$(StaticFile { path: $path, bytes: include_bytes!(concat!("../../../hosting/public/", $path)) }),+]
    };
}

const FILES: &[StaticFile] = files![
    "index.html",
    "404.html",
    "style.css",
    "icon.svg",
    "js/api.js",
    "js/app-check.js",
    "js/app.js",
    "js/choices.js",
    "js/choose.js",
    "js/dom.js",
    "js/drafts.js",
    "js/expert.js",
    "js/fields.js",
    "js/files.js",
    "js/firebase-auth.js",
    "js/firebase.js",
    "js/follow.js",
    "js/format.js",
    "js/history.js",
    "js/hub-account.js",
    "js/hub-text.js",
    "js/hub.js",
    "js/imatrix.js",
    "js/job.js",
    "js/jobs.js",
    "js/notify.js",
    "js/plan.js",
    "js/planning.js",
    "js/quantizations.js",
    "js/session.js",
    "js/sign-in.js",
    "js/sizes.js",
    "js/use.js",
];

/// The content type of a file with that name.
fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// The response for that path; `/` is `index.html`.
pub(crate) fn get(path: &str) -> Option<Response> {
    let name = path.strip_prefix('/')?;
    let name = if name.is_empty() { "index.html" } else { name };
    FILES.iter().find(|file| file.path == name).map(|file| file.with(StatusCode::OK))
}

/// The page for 404.
pub(crate) fn not_found() -> Response {
    FILES
        .iter()
        .find(|file| file.path == "404.html")
        .map_or_else(|| StatusCode::NOT_FOUND.into_response(), |file| file.with(StatusCode::NOT_FOUND))
}

impl StaticFile {
    fn with(&self, status: StatusCode) -> Response {
        (status, [(header::CONTENT_TYPE, content_type(self.path))], self.bytes).into_response()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use shared::domain::Quantization;

    use super::*;

    /// The files below a folder, with their paths in it.
    fn files_below(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let below = folders
            .iter()
            .flat_map(|path| files_below(path).into_iter().map(move |file| format!("{}/{file}", name(path))));
        files.iter().map(|path| name(path)).chain(below).collect()
    }

    #[test]
    fn every_deployed_file_is_served_with_its_content_type() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hosting/public");
        let mut deployed = files_below(&folder);
        deployed.sort();
        let mut served: Vec<_> = FILES.iter().map(|file| file.path).collect();
        served.sort_unstable();
        assert_eq!(served, deployed);
        for path in served {
            assert_ne!(content_type(path), "application/octet-stream", "{path}");
        }
    }

    #[test]
    fn the_page_describes_every_quantization_of_the_service() {
        let file = FILES.iter().find(|file| file.path == "js/quantizations.js").unwrap();
        let (table, rest) = std::str::from_utf8(file.bytes).unwrap().split_once("];").unwrap();
        let described = |text: &str| -> Vec<Quantization> {
            let names = text.split("{ name: \"").skip(1).map(|entry| entry.split('"').next().unwrap());
            names.map(|name| name.parse().unwrap()).collect()
        };
        assert_eq!(described(table), Quantization::ALL);
        let choices = rest.split_once("RUN_CHOICES").unwrap().1.split_once("];").unwrap().0;
        assert_eq!(described(choices).first(), Some(&Quantization::DEFAULT));
    }
}
