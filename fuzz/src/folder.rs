//! The fixture's folders with one file taken from memory.

use std::io;
use std::path::Path;
use std::sync::Arc;

use engine::{Folder, FolderEntry, LocalFolder, Source};

/// A folder of the engine's smallest Gemma 3, some files hidden, one put over it.
pub(crate) struct Overlay {
    part: &'static str,
    hidden: &'static [&'static str],
    file: Option<(&'static str, Arc<Bytes>)>,
}

impl Overlay {
    /// `base` or `adapter`, as it is.
    pub(crate) fn new(part: &'static str) -> Self {
        Self { part, hidden: &[], file: None }
    }

    /// Hides the files whose names end so.
    pub(crate) fn without(self, hidden: &'static [&'static str]) -> Self {
        Self { hidden, ..self }
    }

    /// Puts a file over the folder.
    pub(crate) fn with(self, name: &'static str, bytes: Vec<u8>) -> Self {
        Self { file: Some((name, Arc::new(Bytes { name, bytes }))), ..self }
    }

    fn beneath(&self) -> io::Result<LocalFolder> {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/fixtures/gemma3-micro");
        LocalFolder::open(fixture.join(self.part)).map_err(io::Error::other)
    }

    fn shows(&self, name: &str) -> bool {
        self.file.as_ref().is_none_or(|(own, _)| *own != name)
            && !self.hidden.iter().any(|end| name.ends_with(end))
    }
}

impl Folder for Overlay {
    fn location(&self) -> &str {
        self.part
    }

    fn list(&self) -> io::Result<Vec<FolderEntry>> {
        let mut entries = self.beneath()?.list()?;
        entries.retain(|entry| self.shows(&entry.name));
        let own =
            |(name, file): &(&str, Arc<Bytes>)| FolderEntry { name: (*name).to_owned(), size: file.size() };
        entries.extend(self.file.as_ref().map(own));
        Ok(entries)
    }

    fn list_subfolder(&self, subfolder: &str) -> io::Result<Vec<String>> {
        self.beneath()?.list_subfolder(subfolder)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Source>> {
        match &self.file {
            Some((own, file)) if *own == name => Ok(file.clone()),
            Some(_) | None if self.shows(name) => self.beneath()?.open(name),
            Some(_) | None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// A file in memory.
pub(crate) struct Bytes {
    name: &'static str,
    bytes: Vec<u8>,
}

impl Bytes {
    pub(crate) fn new(name: &'static str, bytes: &[u8]) -> Self {
        Self { name, bytes: bytes.to_vec() }
    }
}

impl Source for Bytes {
    fn location(&self) -> &str {
        self.name
    }

    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.checked_add(buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(self.bytes.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}
