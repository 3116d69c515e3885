//! A folder of which one small file has another content.

use std::io;
use std::sync::Arc;

use super::{Folder, FolderEntry, Source};

/// A folder with an edited file.
pub(crate) struct EditedFolder {
    folder: Arc<dyn Folder>,
    name: String,
    file: Arc<EditedFile>,
}

struct EditedFile {
    location: String,
    content: Vec<u8>,
}

impl EditedFolder {
    /// `folder`, with `content` in its file `name`.
    pub(crate) fn new(folder: Arc<dyn Folder>, name: &str, content: Vec<u8>) -> Self {
        let location = format!("{}/{name}", folder.location());
        Self { folder, name: name.to_owned(), file: Arc::new(EditedFile { location, content }) }
    }
}

impl Folder for EditedFolder {
    fn location(&self) -> &str {
        self.folder.location()
    }

    fn revision(&self) -> Option<&str> {
        self.folder.revision()
    }

    fn list(&self) -> io::Result<Vec<FolderEntry>> {
        let mut entries = self.folder.list()?;
        for entry in entries.iter_mut().filter(|entry| entry.name == self.name) {
            entry.size = self.file.size();
        }
        Ok(entries)
    }

    fn list_subfolder(&self, subfolder: &str) -> io::Result<Vec<String>> {
        self.folder.list_subfolder(subfolder)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Source>> {
        if name == self.name { Ok(Arc::clone(&self.file) as _) } else { self.folder.open(name) }
    }
}

impl Source for EditedFile {
    fn location(&self) -> &str {
        &self.location
    }

    fn size(&self) -> u64 {
        self.content.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let bytes = self.content.get(start..).and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}
