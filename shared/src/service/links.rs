//! Download links of several files at once.

use std::collections::{BTreeSet, HashMap};

use futures_util::future::join_all;

use crate::{
    domain::{Artifact, Export, Variant},
    ports::DownloadLinks,
};

/// FileLinks by the location of their file.
#[derive(Debug, Default)]
pub struct FileLinks(HashMap<String, String>);

impl FileLinks {
    /// The link to the file at `location`, if it could be created.
    #[must_use]
    pub fn get(&self, location: &str) -> Option<&str> {
        self.0.get(location).map(String::as_str)
    }
}

/// The links to the files of an export.
pub async fn of_export(links: &dyn DownloadLinks, export: &Export) -> FileLinks {
    create(links, files_of(export).collect()).await
}

/// Creates the links to these locations, each once. A failure is logged, and its link is missing.
pub(super) async fn create(links: &dyn DownloadLinks, locations: BTreeSet<String>) -> FileLinks {
    let created = join_all(locations.into_iter().map(async |location| match links.link(&location).await {
        Ok(link) => link.map(|link| (location, link)),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, file = location, "creating a download link failed");
            None
        }
    }));
    FileLinks(created.await.into_iter().flatten().collect())
}

/// The locations of all files of an export that can be downloaded.
pub(super) fn files_of(export: &Export) -> impl Iterator<Item = String> {
    let downloads = export.artifacts.iter().filter(|artifact| artifact.variant == Variant::File);
    downloads.flat_map(Artifact::located_files).map(|(_, location)| location)
}
