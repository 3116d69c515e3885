//! The files in `hosting/public`, built into the binary.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

struct StaticFile {
    path: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

macro_rules! file {
    ($path:literal, $kind:literal) => {
        StaticFile {
            path: $path,
            kind: $kind,
            bytes: include_bytes!(concat!("../../../hosting/public/", $path)),
        }
    };
}

const FILES: [StaticFile; 5] = [
    file!("index.html", "text/html; charset=utf-8"),
    file!("404.html", "text/html; charset=utf-8"),
    file!("app.js", "text/javascript; charset=utf-8"),
    file!("style.css", "text/css; charset=utf-8"),
    file!("icon.svg", "image/svg+xml"),
];

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
        (status, [(header::CONTENT_TYPE, self.kind)], self.bytes).into_response()
    }
}

#[cfg(test)]
mod tests {
    use shared::domain::Quantization;

    use super::*;

    #[test]
    fn every_deployed_file_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../hosting/public");
        let mut deployed: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        deployed.sort();
        let mut served: Vec<_> = FILES.iter().map(|file| file.path).collect();
        served.sort_unstable();
        assert_eq!(served, deployed);
    }

    #[test]
    fn the_page_offers_quantizations_of_the_service_and_its_default_first() {
        let page = std::str::from_utf8(FILES[0].bytes).unwrap();
        let boxes = page.split("name=\"quantizations\" value=\"").skip(1);
        let offered: Vec<_> = boxes
            .map(|rest| (rest.split('"').next().unwrap().parse::<Quantization>().unwrap(), rest))
            .collect();
        assert_eq!(offered.first().map(|(first, _)| *first), Some(Quantization::DEFAULT));
        let is_checked = |rest: &str| rest.split('>').next().unwrap().ends_with(" checked");
        let checked: Vec<_> =
            offered.iter().filter(|(_, rest)| is_checked(rest)).map(|(one, _)| *one).collect();
        assert_eq!(checked, [Quantization::DEFAULT]);
    }
}
