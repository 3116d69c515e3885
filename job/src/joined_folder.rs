//! The files of several folders as those of one.

use std::{io, sync::Arc};

use engine::{Folder, FolderEntry, Source};

/// Folders of which no two have a file of the same name.
pub(crate) struct JoinedFolder {
    location: String,
    folders: Vec<Arc<dyn Folder>>,
}

impl JoinedFolder {
    pub(crate) fn new(folders: Vec<Arc<dyn Folder>>) -> Self {
        let locations: Vec<_> = folders.iter().map(|folder| folder.location()).collect();
        Self { location: locations.join(", "), folders }
    }
}

impl Folder for JoinedFolder {
    fn location(&self) -> &str {
        &self.location
    }

    fn list(&self) -> io::Result<Vec<FolderEntry>> {
        let all: io::Result<Vec<_>> = self.folders.iter().map(|folder| folder.list()).collect();
        Ok(all?.into_iter().flatten().collect())
    }

    fn list_subfolder(&self, subfolder: &str) -> io::Result<Vec<String>> {
        let all: io::Result<Vec<_>> =
            self.folders.iter().map(|folder| folder.list_subfolder(subfolder)).collect();
        Ok(all?.into_iter().flatten().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Source>> {
        let is_missing = |opened: &io::Result<_>| {
            opened.as_ref().is_err_and(|error: &io::Error| error.kind() == io::ErrorKind::NotFound)
        };
        let mut opened = self.folders.iter().map(|folder| folder.open(name));
        opened.find(|opened| !is_missing(opened)).unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()))
    }
}
