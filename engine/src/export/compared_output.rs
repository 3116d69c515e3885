//! An output that compares what is written with files that exist.

use std::io;
use std::mem;

use super::compared_file::{ComparedFile, Difference};
use crate::error::Error;
use crate::io::{Folder, Output};

/// Compares every file but the report, whose text is kept.
pub(super) struct ComparedOutput<'a> {
    folder: &'a dyn Folder,
    report_name: &'a str,
    report: Vec<u8>,
    current: Option<CurrentFile>,
    files: usize,
    bytes: u64,
    differences: Vec<Difference>,
    failure: Option<Error>,
}

struct CurrentFile {
    file: ComparedFile,
    size: u64,
    /// Bytes compared.
    done: u64,
}

/// What was compared.
pub(super) struct ComparedFiles {
    /// Files, without the report.
    pub(super) files: usize,
    /// Their bytes.
    pub(super) bytes: u64,
    pub(super) differences: Vec<Difference>,
    /// The text of the expected report.
    pub(super) report: Vec<u8>,
}

impl<'a> ComparedOutput<'a> {
    pub(super) fn new(folder: &'a dyn Folder, report_name: &'a str) -> Self {
        Self {
            folder,
            report_name,
            report: Vec::new(),
            current: None,
            files: 0,
            bytes: 0,
            differences: Vec::new(),
            failure: None,
        }
    }

    /// What was compared when `written` ended.
    pub(super) fn end(self, written: Result<(), Error>) -> Result<ComparedFiles, Error> {
        // a file that cannot be read, which the export took for one that cannot be written
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let Self { files, bytes, differences, report, .. } = self;
        written.map(|()| ComparedFiles { files, bytes, differences, report })
    }

    fn keep_failure(&mut self, failure: Error) -> io::Error {
        self.failure = Some(failure);
        io::Error::other("cannot be compared")
    }
}

impl Output for ComparedOutput<'_> {
    fn begin(&mut self, name: &str, size: u64) -> io::Result<()> {
        self.current = None;
        if name != self.report_name {
            let file =
                ComparedFile::open(self.folder, name, size).map_err(|error| self.keep_failure(error))?;
            self.current = Some(CurrentFile { file, size, done: 0 });
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(current) = &mut self.current else {
            self.report.extend(bytes);
            return Ok(());
        };
        let compared = match current.done == 0 && bytes.starts_with(b"GGUF") {
            true => current.file.header(bytes),
            false => current.file.put(current.done, bytes),
        };
        current.done += bytes.len() as u64;
        compared.map_err(|error| self.keep_failure(error))
    }

    fn finish(&mut self) -> io::Result<()> {
        if let Some(CurrentFile { mut file, size, .. }) = mem::take(&mut self.current) {
            file.end_part(None, size);
            self.differences.extend(file.differences());
            self.files += 1;
            self.bytes += size;
        }
        Ok(())
    }
}
