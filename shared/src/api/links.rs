//! Links to other resources, in headers.

use axum::http::HeaderValue;
use url::Url;

use crate::domain::{ExportId, JobId, PageRequest};

/// The value of `Location`: the path of an export.
#[must_use]
pub fn export(job: &JobId, export: ExportId) -> Option<HeaderValue> {
    let mut url = base()?;
    url.path_segments_mut().ok()?.extend(["exports", &job.to_string(), "history", &export.to_string()]);
    HeaderValue::from_str(url.path()).ok()
}

/// The value of `Link`: the next page of `GET /exports`.
///
/// <https://www.rfc-editor.org/rfc/rfc8288>
#[must_use]
pub fn next_page(page: &PageRequest<JobId>) -> Option<HeaderValue> {
    let mut url = base()?;
    url.query_pairs_mut().append_pair("page_size", &page.size.get().to_string());
    if let Some(after) = &page.after {
        url.query_pairs_mut().append_pair("page_token", after.as_str());
    }
    HeaderValue::from_str(&format!("</exports?{}>; rel=\"next\"", url.query()?)).ok()
}

fn base() -> Option<Url> {
    Url::parse("http://service").ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fixtures;

    #[test]
    fn ids_are_encoded() {
        let job = fixtures::job_id("ü 1?&#");
        let id = fixtures::EXPORT.parse().unwrap();
        let expected = format!("/exports/%C3%BC%201%3F&%23/history/{}", fixtures::EXPORT);
        assert_eq!(export(&job, id).unwrap(), expected);
        let page = PageRequest { size: "2".parse().unwrap(), after: Some(job) };
        let link = next_page(&page).unwrap();
        assert_eq!(link, "</exports?page_size=2&page_token=%C3%BC+1%3F%26%23>; rel=\"next\"");
    }
}
