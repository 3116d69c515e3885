//! Makes planned files: blocks in parallel, bytes in order.

use std::thread;

use super::block::{Block, Desk};
use super::digest::Digester;
use super::found::Found;
use super::layout::Layout;
use super::sink::Sink;
use super::steps::{Job, Step, jobs, steps};
use super::{Run, ordered};
use crate::model::Model;
use crate::progress::{Stage, Update};
use crate::{Error, Result};

/// Makes every block of `files` and hands it to `sink`, in the order of the first file that has it.
pub(super) fn write(
    model: &Model,
    files: &[Layout],
    stage: Stage,
    sink: &mut dyn Sink,
    run: &Run<'_>,
) -> Result<Found> {
    let steps = steps(model, files);
    let jobs = jobs(&steps, run.block);
    let mut writer = Writer::new(model, files, &steps, stage, sink, run);
    thread::scope(|scope| {
        let mut digester = Digester::start(scope);
        let make = |number: usize, desk: &mut Desk, block: &mut Block| {
            let job = &jobs[number];
            block.make(model, files, &steps[job.step], job, desk)
        };
        let take = |number: usize, block: &mut Block| {
            let job = &jobs[number];
            writer.block(job, block)?;
            if steps[job.step].tensor.is_some() {
                digester.put(&mut block.base, job.last);
            }
            Ok(())
        };
        let done = ordered::run(jobs.len(), run.threads(), make, take);
        let digests = digester.finish();
        done?;
        writer.found.note_digests(&steps, digests);
        Ok(writer.found)
    })
}

/// The side that writes.
struct Writer<'a, 'r> {
    files: &'a [Layout],
    steps: &'a [Step],
    /// Where each part of each file begins.
    starts: Vec<Vec<u64>>,
    stage: Stage,
    sink: &'a mut dyn Sink,
    run: &'a Run<'r>,
    done: u64,
    total: u64,
    found: Found,
}

impl<'a, 'r> Writer<'a, 'r> {
    fn new(
        model: &Model,
        files: &'a [Layout],
        steps: &'a [Step],
        stage: Stage,
        sink: &'a mut dyn Sink,
        run: &'a Run<'r>,
    ) -> Self {
        Self {
            files,
            steps,
            starts: files.iter().map(Layout::starts).collect(),
            stage,
            sink,
            run,
            done: files.iter().map(|file| file.head.len() as u64).sum(),
            total: files.iter().map(Layout::size).sum(),
            found: Found::new(model, files),
        }
    }

    fn block(&mut self, job: &Job, block: &Block) -> Result<()> {
        let step = &self.steps[job.step];
        self.found.note(step, block);
        for (bytes, (file, number)) in block.bytes().zip(&step.parts) {
            let part = &self.files[*file].parts[*number];
            let at = self.starts[*file][*number] + part.content.bytes_of(job.first, step.dtype);
            self.sink.put(*file, *number, at, bytes)?;
            self.done += bytes.len() as u64;
            if job.last && part.padding > 0 {
                let end = at + bytes.len() as u64;
                self.sink.put(*file, *number, end, &vec![0; part.padding as usize])?;
                self.done += part.padding;
            }
        }
        let Self { stage, done, total, .. } = *self;
        self.run.progress.report(Update { stage, done, total });
        if self.run.progress.cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }
}
