//! One pass over a model, and the files it writes.

use std::ops::Range;

use sha2::{Digest as _, Sha256};

use super::FileLayout;
use crate::error::{Error, Result};
use crate::io::Output;
use crate::merge::Model;
use crate::report::{OutputFile, ReportContext};

/// Everything that is fixed before an export starts: the model, the files to the byte, and the reports about them.
#[derive(Debug)]
pub(crate) struct ExportPlan {
    pub(crate) model: Model,
    pub(crate) files: Vec<FileLayout>,
    pub(crate) reports: Vec<PlannedReport>,
}

/// A report about some of the files.
#[derive(Debug, Clone)]
pub(crate) struct PlannedReport {
    /// The file it is written to.
    pub(crate) file: String,
    pub(crate) context: ReportContext,
    /// The files it covers, by their numbers.
    pub(crate) files: Range<usize>,
}

/// A file that a plan will make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFile {
    /// Its name.
    pub name: String,
    /// Its exact size in bytes.
    pub size: u64,
}

/// A file that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFile {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 of its content, in lower-case hex.
    pub sha256: String,
}

impl WrittenFile {
    /// Writes a small file as the next one of an output.
    pub(crate) fn write(name: &str, text: &[u8], output: &mut dyn Output) -> Result<Self> {
        let mut put = || {
            output.begin(name, text.len() as u64)?;
            output.write(text)?;
            output.finish()
        };
        put().map_err(|e| Error::write(name, e))?;
        let sha256 = hex::encode(Sha256::digest(text));
        Ok(Self { name: name.to_owned(), size: text.len() as u64, sha256 })
    }
}

impl From<&WrittenFile> for OutputFile {
    fn from(file: &WrittenFile) -> Self {
        Self { name: file.name.clone(), bytes: file.size, sha256: file.sha256.clone() }
    }
}

impl ExportPlan {
    /// The size of its files in bytes, without reports.
    pub(crate) fn size(&self) -> u64 {
        self.files.iter().map(FileLayout::size).sum()
    }

    /// The plan of files that one report covers.
    pub(crate) fn new(
        model: Model,
        files: Vec<FileLayout>,
        context: ReportContext,
        report_file: impl Into<String>,
    ) -> Self {
        let report = PlannedReport { file: report_file.into(), context, files: 0..files.len() };
        Self { model, files, reports: vec![report] }
    }

    /// Adds the files and reports of `other`, which is of the same model, to the pass.
    pub(crate) fn append(&mut self, other: Self) {
        let before = self.files.len();
        self.files.extend(other.files);
        self.reports.extend(other.reports.into_iter().map(|report| {
            let files = report.files.start + before..report.files.end + before;
            PlannedReport { files, ..report }
        }));
    }

    /// What its reports have in common: all are about one model and read the same small files.
    pub(crate) fn input_context(&self) -> Option<&ReportContext> {
        Some(&self.reports.first()?.context)
    }

    /// The files it makes, without the reports.
    pub(crate) fn planned_files(&self) -> Vec<PlannedFile> {
        self.files.iter().map(PlannedFile::of).collect()
    }
}

impl PlannedFile {
    pub(crate) fn of(layout: &FileLayout) -> Self {
        Self { name: layout.name.clone(), size: layout.size() }
    }
}
