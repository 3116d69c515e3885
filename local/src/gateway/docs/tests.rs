use axum::{body::to_bytes, http::StatusCode};

use super::*;

async fn text(path: &str) -> String {
    let response = Docs::new().unwrap().at(path).unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn programs_get_the_document_of_the_repository() {
    let kept = include_str!("../../../../docs/openapi.json");
    assert!(text("/openapi.json").await == kept);
}

#[tokio::test]
async fn every_link_of_the_page_leads_somewhere() {
    let page = text("/docs").await;
    let targets: Vec<_> =
        page.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(targets.contains(&"createExport") && targets.contains(&"type-CreateExport"), "{targets:?}");
    for target in targets {
        assert_eq!(page.matches(&format!("id=\"{target}\"")).count(), 1, "{target}");
    }
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let page = text("/docs").await;
    assert!(!page.contains("<script") && !page.contains("style="), "the policy forbids both");
    for (name, rest) in
        ["href=\"", "src=\""].iter().flat_map(|name| page.split(name).skip(1).map(move |rest| (name, rest)))
    {
        assert!(
            rest.starts_with('#') || rest.starts_with('/') && !rest.starts_with("//"),
            "{name}{rest:.40}"
        );
    }
}
