//! Writes the files of several exports at the same time, each export to an output of its own.

use super::{SequentialSink, Sink};
use crate::error::Result;
use crate::io::Output;
use crate::plan::{ExportPlan, FileLayout, PlannedReport, WrittenFile};

/// One sequence of files for each output.
pub(in crate::export) struct EachSink<'a> {
    /// The number of each one's first file.
    sequences: Vec<(usize, SequentialSink<'a>)>,
}

impl<'a> EachSink<'a> {
    /// The files of each report of the plan go to the output of the same number.
    pub(in crate::export) fn new(
        plan: &'a ExportPlan,
        outputs: impl Iterator<Item = &'a mut dyn Output>,
    ) -> Self {
        let sequence = |(report, output): (&PlannedReport, &'a mut dyn Output)| {
            let files: &[FileLayout] = &plan.files[report.files.clone()];
            (report.files.start, SequentialSink::new(files, output))
        };
        Self { sequences: plan.reports.iter().zip(outputs).map(sequence).collect() }
    }
}

impl Sink for EachSink<'_> {
    fn put(&mut self, file: usize, part: usize, offset: u64, bytes: &[u8]) -> Result<()> {
        match self.sequences.iter_mut().rev().find(|(first, _)| *first <= file) {
            Some((first, sequence)) => sequence.put(file - *first, part, offset, bytes),
            None => Ok(()),
        }
    }

    fn end(&mut self) -> Result<Vec<WrittenFile>> {
        let mut written = Vec::new();
        for (_, sequence) in &mut self.sequences {
            written.extend(sequence.end()?);
        }
        Ok(written)
    }
}
