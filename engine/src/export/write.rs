//! Writes planned files: row blocks are made in parallel and handed to the sink in order.

use std::thread;

use super::digest::DigestThread;
use super::module_weights;
use super::parallel;
use super::row_block::{RowBlock, WorkerScratch};
use super::schedule::{Chunk, ReadUnit, chunks, read_units};
use super::sinks::Sink;
use super::stats::ExportStats;
use crate::error::{Error, Result};
use crate::plan::{ExportPlan, FileLayout};
use crate::progress::{ProgressUpdate, RunOptions, Stage};

/// Makes every row block of the plan's files and hands it to `sink`, in the order of the first file that has it.
pub(super) fn write(
    plan: &ExportPlan,
    stage: Stage,
    sink: &mut dyn Sink,
    run: &RunOptions<'_>,
) -> Result<ExportStats> {
    if !run.allow_non_finite {
        module_weights::check_finite(&plan.model)?;
    }
    let units = read_units(plan);
    let chunks = chunks(&units, run.chunk_size);
    let mut writer = SinkWriter::new(plan, stage, sink, run);
    thread::scope(|scope| {
        let mut digests = DigestThread::start(scope);
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
                digests.put(&mut block.base, chunk.last);
            }
            Ok(())
        };
        let done = parallel::run(chunks.len(), run.threads(), make, take);
        let digests = digests.finish();
        done?;
        writer.stats.add_digests(&units, digests);
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
}

impl<'a, 'r> SinkWriter<'a, 'r> {
    fn new(plan: &'a ExportPlan, stage: Stage, sink: &'a mut dyn Sink, run: &'a RunOptions<'r>) -> Self {
        let files = &plan.files;
        let done = files.iter().map(|file| file.header.len() as u64).sum();
        let total = files.iter().map(FileLayout::size).sum();
        Self {
            plan,
            starts: files.iter().map(FileLayout::starts).collect(),
            sink,
            run,
            progress: ProgressUpdate { stage, done, total },
            stats: ExportStats::new(plan),
        }
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
        self.run.progress.report(self.progress);
        if self.run.progress.cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }
}
