//! Makes planned files: blocks in parallel, bytes in order.

use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::layout::{Content, Layout, Part};
use super::{Outcome, Run, Summary, WrittenFile, ordered};
use crate::io::Output;
use crate::model::{CACHED, Effect, Model, Scratch};
use crate::progress::{Stage, Update};
use crate::{Error, Result};

/// A block of a part of a file.
struct Job {
    file: usize,
    part: usize,
    /// In the part's unit: bytes of a file, elements of a tensor.
    first: u64,
    count: u64,
}

pub(super) fn write(
    model: &Model,
    files: &[Layout],
    stage: Stage,
    output: &mut dyn Output,
    run: &Run<'_>,
) -> Result<Outcome> {
    let jobs = jobs(model, files, run.block);
    let effects = Effects::new(model.tensors().len());
    let total = files.iter().map(Layout::size).sum();
    let (hash, written) = (Sha256::new(), Vec::new());
    let mut writer = Writer { output, files, stage, run, done: 0, total, hash, begun: 0, written };
    let make = |number: usize, desk: &mut Desk, bytes: &mut Vec<u8>| {
        let job: &Job = &jobs[number];
        let part = &files[job.file].parts[job.part];
        effects.note(part, make(model, part, job, desk, bytes)?);
        Ok(())
    };
    let ends_part =
        |n: usize| jobs.get(n + 1).is_none_or(|next| (next.file, next.part) != (jobs[n].file, jobs[n].part));
    let take = |job: usize, bytes: &[u8]| writer.block(&jobs[job], ends_part(job), bytes);
    ordered::run(jobs.len(), run.threads(), make, take)?;
    let summary = effects.judge(model)?;
    let files = writer.end()?;
    Ok(Outcome { files, summary })
}

fn jobs(model: &Model, files: &[Layout], block: u64) -> Vec<Job> {
    let mut jobs = Vec::new();
    for (file, layout) in files.iter().enumerate() {
        for (number, part) in layout.parts.iter().enumerate() {
            let (units, granule, width) = match &part.content {
                Content::File(source) => (source.size(), 1, 1),
                Content::Stored(tensor) => {
                    let info = &model.tensors()[*tensor].info;
                    (info.elements(), model.granule(*tensor), info.dtype.bytes())
                }
                Content::Encoded { tensor, elements, row, .. } => (
                    *elements,
                    (*row).max(model.granule(*tensor)),
                    model.tensors()[*tensor].info.dtype.bytes(),
                ),
                Content::Values { values, times, .. } => (*times, 1, values.len() as u64 * 4),
            };
            let step = (block / width.max(1) / granule.max(1)).max(1) * granule.max(1);
            let mut first = 0;
            while first < units {
                let count = step.min(units - first);
                jobs.push(Job { file, part: number, first, count });
                first += count;
            }
        }
    }
    jobs
}

/// What a thread keeps from block to block.
#[derive(Default)]
struct Desk {
    scratch: Scratch,
    stored: Vec<u8>,
    values: Vec<f32>,
}

fn make(model: &Model, part: &Part, job: &Job, desk: &mut Desk, bytes: &mut Vec<u8>) -> Result<Effect> {
    match &part.content {
        Content::File(source) => {
            bytes.resize(job.count as usize, 0);
            source.read_at(job.first, bytes).map_err(|e| Error::read(source.location(), e))?;
            Ok(Effect::Untouched)
        }
        Content::Stored(tensor) => model.read(*tensor, job.first, job.count, &mut desk.scratch, bytes),
        Content::Encoded { tensor, row, shift, as_type, importance, .. } => {
            let Desk { scratch, stored, values } = desk;
            let effect = model.read(*tensor, job.first, job.count, scratch, stored)?;
            let dtype = model.tensors()[*tensor].info.dtype;
            let step = (CACHED as u64 / row).max(1) * row;
            values.resize(step as usize, 0.0);
            bytes.resize(as_type.bytes(job.count) as usize, 0);
            let pieces = bytes.chunks_mut(as_type.bytes(step) as usize);
            for (stored, bytes) in stored.chunks((step * dtype.bytes()) as usize).zip(pieces) {
                let values = &mut values[..stored.len() / dtype.bytes() as usize];
                dtype.widen(stored, values);
                if *shift != 0.0 {
                    dtype.add(values, *shift);
                }
                as_type.encode(values, importance.as_deref(), bytes);
            }
            Ok(effect)
        }
        Content::Values { values, as_type, .. } => {
            let once = as_type.bytes(values.len() as u64) as usize;
            bytes.resize(once * job.count as usize, 0);
            bytes.chunks_mut(once).for_each(|bytes| as_type.encode(values, None, bytes));
            Ok(Effect::Untouched)
        }
    }
}

/// What the adapter did to each tensor, over all its blocks.
struct Effects(Mutex<Vec<Effect>>);

impl Effects {
    fn new(tensors: usize) -> Self {
        Self(Mutex::new(vec![Effect::Untouched; tensors]))
    }

    fn note(&self, part: &Part, effect: Effect) {
        let (Content::Stored(tensor) | Content::Encoded { tensor, .. }) = part.content else { return };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get_mut(tensor) {
            *known = effect.max(*known);
        }
    }

    /// Counts, and refuses a merge that did nothing where it should have done something.
    fn judge(self, model: &Model) -> Result<Summary> {
        let all = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let count = |wanted: Effect| all.iter().filter(|e| **e == wanted).count();
        let Some(adapter) = model.adapter() else {
            return Ok(Summary { pairs: 0, changed: 0, zero: 0, unchanged: all.len() });
        };
        let (changed, zero) = (count(Effect::Changed), count(Effect::Zero));
        if let Some(lost) = all.iter().position(|e| *e == Effect::Lost) {
            let tensor = &model.tensors()[lost];
            let dtype = tensor.info.dtype;
            let problem = format!("is unchanged by the adapter: its changes are lost in rounding to {dtype}");
            return Err(Error::tensor(model.file_of(tensor), &tensor.info.name, problem));
        }
        if changed == 0 {
            let problem = "changes nothing: every product of its factors is zero, as before training";
            return Err(Error::invalid(adapter.location(), problem));
        }
        Ok(Summary { pairs: adapter.modules(), changed, zero, unchanged: all.len() - changed - zero })
    }
}

/// The side that writes: begins and finishes files as their blocks come.
struct Writer<'a, 'r> {
    output: &'a mut dyn Output,
    files: &'a [Layout],
    stage: Stage,
    run: &'a Run<'r>,
    done: u64,
    total: u64,
    hash: Sha256,
    /// How many files have been begun; all but the last of them are finished.
    begun: usize,
    written: Vec<WrittenFile>,
}

impl Writer<'_, '_> {
    fn block(&mut self, job: &Job, last: bool, bytes: &[u8]) -> Result<()> {
        while self.begun <= job.file {
            self.advance()?;
        }
        self.put(bytes)?;
        if last {
            let padding = self.files[job.file].parts[job.part].padding;
            self.put(&vec![0; padding as usize])?;
        }
        self.report()
    }

    /// Finishes the open file, if any, and begins the next, if any.
    fn advance(&mut self) -> Result<()> {
        if let Some(open) = self.begun.checked_sub(1).and_then(|i| self.files.get(i)) {
            self.output.finish().map_err(|e| Error::write(&open.name, e))?;
            let sha256 = hex(&std::mem::take(&mut self.hash).finalize());
            self.written.push(WrittenFile { name: open.name.clone(), size: open.size(), sha256 });
        }
        self.begun += 1;
        let Some(next) = self.files.get(self.begun - 1) else { return Ok(()) };
        self.output.begin(&next.name, next.size()).map_err(|e| Error::write(&next.name, e))?;
        self.put(&next.head)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let name = &self.files[self.begun - 1].name;
        self.output.write(bytes).map_err(|e| Error::write(name, e))?;
        self.hash.update(bytes);
        self.done += bytes.len() as u64;
        Ok(())
    }

    fn report(&self) -> Result<()> {
        let Self { stage, done, total, .. } = *self;
        self.run.progress.report(Update { stage, done, total });
        if self.run.progress.cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Finishes the open file and makes those that consist of a head only.
    fn end(mut self) -> Result<Vec<WrittenFile>> {
        while self.begun <= self.files.len() {
            self.advance()?;
        }
        self.report()?;
        Ok(self.written)
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [b >> 4, b & 15]).map(|d| char::from(DIGITS[usize::from(d)])).collect()
}
