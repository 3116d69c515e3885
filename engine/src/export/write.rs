//! Writes planned files: row blocks are made in parallel and handed to the sink in order.

use std::thread;

use super::digest::DigestThread;
use super::journal::PassJournal;
use super::module_weights;
use super::parallel;
use super::row_block::{RowBlock, WorkerScratch};
use super::schedule::{Chunk, ReadUnit, chunks, read_units};
use super::sinks::Sink;
use super::stats::ExportStats;
use super::unit_record::{UnitRecord, WrittenUnit};
use crate::error::{Error, Result};
use crate::plan::{ExportPlan, FileLayout};
use crate::progress::{ProgressUpdate, ResumeState, RunOptions, Stage};

/// Makes every row block of the plan's files and hands it to `sink`, in the order of the first file that has it. Units that
/// an earlier run has finished, by the journal, are kept.
pub(super) fn write(
    plan: &ExportPlan,
    stage: Stage,
    sink: &mut dyn Sink,
    journal: Option<&mut PassJournal>,
    run: &RunOptions<'_>,
) -> Result<ExportStats> {
    if !run.allow_non_finite {
        module_weights::check_finite(&plan.model)?;
    }
    let units = read_units(plan);
    let mut writer = SinkWriter::new(plan, stage, sink, run);
    let mut kept = 0;
    if let Some(journal) = &journal {
        kept = writer.keep(&units, journal.records())?;
    }
    let first_unit = journal.as_ref().and_then(|journal| journal.records()[..kept].last());
    let first_unit = first_unit.map_or(0, |record| record.unit + 1);
    let journal = journal.map(|journal| journal.keep(kept).map(|()| &*journal)).transpose()?;
    let mut chunks = chunks(&units, run.chunk_size);
    chunks.drain(..chunks.partition_point(|chunk| chunk.unit < first_unit));
    writer.has_journal = journal.is_some();
    thread::scope(|scope| {
        let journal = journal.map(|journal| journal.start(scope));
        let sender = journal.as_ref().map(super::journal::JournalThread::sender);
        let mut digests = DigestThread::start(scope, sender);
        let make = |number: usize, scratch: &mut WorkerScratch, block: &mut RowBlock| {
            let chunk = &chunks[number];
            scratch.allow_non_finite(run.allow_non_finite);
            block.make(plan, &units[chunk.unit], chunk, scratch)
        };
        let take = |number: usize, block: &mut RowBlock| {
            let chunk = &chunks[number];
            let unit = &units[chunk.unit];
            writer.write(unit, chunk, block)?;
            if unit.tensor.is_some() {
                digests.put(&mut block.base);
            }
            if chunk.last {
                digests.end(writer.end(unit, chunk.unit)?);
            }
            writer.report()
        };
        let done = parallel::run(chunks.len(), run.threads(), make, take);
        let records = digests.finish();
        if let Some(journal) = journal {
            journal.finish();
        }
        done?;
        records.iter().for_each(|record| writer.stats.set_unit(&units[record.unit], record));
        Ok(writer.stats)
    })
}

/// The side that writes.
struct SinkWriter<'a, 'r> {
    plan: &'a ExportPlan,
    /// Where each part of each file begins.
    starts: Vec<Vec<u64>>,
    sink: &'a mut dyn Sink,
    run: &'a RunOptions<'r>,
    progress: ProgressUpdate,
    stats: ExportStats,
    has_journal: bool,
}

impl<'a, 'r> SinkWriter<'a, 'r> {
    fn new(plan: &'a ExportPlan, stage: Stage, sink: &'a mut dyn Sink, run: &'a RunOptions<'r>) -> Self {
        let files = &plan.files;
        let done = files.iter().map(|file| file.header.len() as u64).sum();
        Self {
            plan,
            starts: files.iter().map(FileLayout::starts).collect(),
            sink,
            run,
            progress: ProgressUpdate { stage, done, total: plan.size() },
            stats: ExportStats::new(plan),
            has_journal: false,
        }
    }

    /// Keeps units that an earlier run has finished. Returns how many of the records are true.
    fn keep(&mut self, units: &[ReadUnit], records: &[UnitRecord]) -> Result<usize> {
        let mut kept = 0;
        let mut next = 0;
        for record in records {
            let is_next =
                units.get(next..record.unit).is_some_and(|skipped| skipped.iter().all(|u| u.length == 0));
            let unit = units.get(record.unit).filter(|unit| is_next && record.is_of(unit));
            if !unit.map_or(Ok(false), |unit| self.keep_unit(unit, record))? {
                break;
            }
            (kept, next) = (kept + 1, record.unit + 1);
            self.report()?;
        }
        let damaged = records.len() - kept;
        match kept {
            0 if records.is_empty() => {}
            0 => self.run.progress.resume(&ResumeState::Damaged),
            _ => self.run.progress.resume(&ResumeState::Kept { progress: self.progress, damaged }),
        }
        Ok(kept)
    }

    fn keep_unit(&mut self, unit: &ReadUnit, record: &UnitRecord) -> Result<bool> {
        let mut bytes = 0;
        for ((file, number), checksum) in unit.parts.iter().zip(&record.checksums) {
            let part = &self.plan.files[*file].parts[*number];
            let (start, length) = (self.starts[*file][*number], part.bytes + part.padding);
            if !self.sink.keep(*file, start..start + length, checksum)? {
                return Ok(false);
            }
            bytes += length;
        }
        self.stats.set_unit(unit, record);
        self.progress.done += bytes;
        Ok(true)
    }

    fn write(&mut self, unit: &ReadUnit, chunk: &Chunk, block: &RowBlock) -> Result<()> {
        self.stats.add(unit, block);
        for (bytes, (file, number)) in block.bytes().zip(&unit.parts) {
            let part = &self.plan.files[*file].parts[*number];
            let offset = self.starts[*file][*number] + part.content.bytes_of(chunk.first, unit.dtype);
            self.sink.put(*file, *number, offset, bytes)?;
            self.progress.done += bytes.len() as u64;
            if chunk.last && part.padding > 0 {
                let end = offset + bytes.len() as u64;
                self.sink.put(*file, *number, end, &vec![0; part.padding as usize])?;
                self.progress.done += part.padding;
            }
        }
        Ok(())
    }

    /// What is known of a unit whose last chunk was written.
    fn end(&mut self, unit: &ReadUnit, number: usize) -> Result<WrittenUnit> {
        let (tensor, errors) = self.stats.of_unit(unit);
        let (mut checksums, mut ends) = (Vec::new(), Vec::new());
        for (file, number) in unit.parts.iter().filter(|_| self.has_journal) {
            let part = &self.plan.files[*file].parts[*number];
            let end = self.starts[*file][*number] + part.bytes + part.padding;
            if let Some(range) = self.sink.end_range(*file, end)? {
                checksums.push(range.checksum);
                ends.push((range.draft, end));
            }
        }
        let record = UnitRecord { unit: number, done: self.progress.done, checksums, errors, tensor };
        Ok(WrittenUnit { record, ends })
    }

    fn report(&self) -> Result<()> {
        self.run.progress.report(self.progress);
        if self.run.progress.cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }
}
