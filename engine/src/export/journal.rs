//! The journal of an export: what its drafts have, so that a later run goes on behind the last finished tensor.
//!
//! The first line has the fingerprint of the pass and the names of its files; each further one is a [`UnitRecord`]. A line
//! is appended when the bytes that it is about are durable, so the journal never claims more than the drafts have.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::fingerprint::PassFingerprint;
use super::unit_record::{UnitRecord, WrittenUnit};
use crate::error::{Error, Result};
use crate::io::{DraftSync, JournalFile, LocalOutput};
use crate::plan::ExportPlan;
use crate::progress::{ResumeState, RunOptions};
use crate::report::InputFiles;

/// The longest time between two times that drafts and journal are made durable.
const INTERVAL: Duration = Duration::from_secs(1);
/// The most bytes between them.
const STRIDE: u64 = 256 << 20;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct JournalHeader {
    fingerprint: PassFingerprint,
    /// The names of the files, the reports among them.
    pub(super) files: Vec<String>,
}

/// The lines of a journal.
pub(super) struct JournalText {
    pub(super) header: JournalHeader,
    pub(super) records: Vec<UnitRecord>,
    /// Where each line ends, from the header on.
    ends: Vec<u64>,
}

/// The journal of a pass.
pub(super) struct PassJournal {
    file: Arc<JournalFile>,
    /// What an earlier run has finished.
    records: Vec<UnitRecord>,
    ends: Vec<u64>,
}

impl JournalText {
    /// `None` without a header. A line that is not whole, or out of order, ends the records.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.split_inclusive('\n').take_while(|line| line.ends_with('\n'));
        let first = lines.next()?;
        let header = serde_json::from_str(first).ok()?;
        let (mut records, mut ends): (Vec<UnitRecord>, _) = (Vec::new(), vec![first.len() as u64]);
        for line in lines {
            let Ok(record) = serde_json::from_str::<UnitRecord>(line) else { break };
            if records.last().is_some_and(|last| last.unit >= record.unit) {
                break;
            }
            records.push(record);
            ends.push(ends.last().copied().unwrap_or(0) + line.len() as u64);
        }
        Some(Self { header, records, ends })
    }
}

impl PassJournal {
    /// Opens the journal of a pass to an output that is resumable, and reports what an earlier run has left for it.
    pub(super) fn open(
        plan: &ExportPlan,
        inputs: &InputFiles,
        output: &mut LocalOutput,
        run: &RunOptions<'_>,
    ) -> Result<Option<Self>> {
        let (Some(fingerprint), Some(report)) =
            (PassFingerprint::of(plan, inputs, run), plan.reports.first())
        else {
            return Ok(Self::none(output, run));
        };
        let failed = |error| Error::write(&report.file, error);
        let Some((file, text)) = output.open_journal(&report.file).map_err(failed)? else { return Ok(None) };
        let names =
            plan.files.iter().map(|file| &file.name).chain(plan.reports.iter().map(|report| &report.file));
        let header = JournalHeader { fingerprint, files: names.cloned().collect() };
        let earlier = text.as_deref().and_then(JournalText::parse);
        let journal = match earlier {
            Some(earlier)
                if earlier.header.fingerprint == header.fingerprint && !earlier.records.is_empty() =>
            {
                // also if this run ends while it reads them back
                file.keep_drafts();
                Self { file, records: earlier.records, ends: earlier.ends }
            }
            earlier => {
                if output.resumes() {
                    let finished = earlier.as_ref().filter(|earlier| !earlier.records.is_empty());
                    run.progress.resume(&finished.map_or(ResumeState::Nothing, |earlier| {
                        ResumeState::Differs(header.fingerprint.differences(&earlier.header.fingerprint))
                    }));
                }
                let abandoned = earlier.iter().flat_map(|earlier| &earlier.header.files);
                output.start_over(abandoned.map(String::as_str));
                let line = to_line(&header).map_err(failed)?;
                file.start(&line).map_err(failed)?;
                Self { file, records: Vec::new(), ends: vec![line.len() as u64] }
            }
        };
        Ok(Some(journal))
    }

    /// There is no journal, because inputs may change unnoticed.
    fn none(output: &mut LocalOutput, run: &RunOptions<'_>) -> Option<Self> {
        if output.resumes() {
            run.progress.resume(&ResumeState::Nothing);
        }
        output.start_over([]);
        None
    }

    /// What an earlier run has finished.
    pub(super) fn records(&self) -> &[UnitRecord] {
        &self.records
    }

    /// Keeps the first `count` records; the others are not true of the drafts.
    pub(super) fn keep(&mut self, count: usize) -> Result<()> {
        self.records.truncate(count);
        let end = self.ends.get(count).copied().unwrap_or_default();
        self.file.cut(end).map_err(|e| Error::write("the journal of the export", e))?;
        if count == 0 {
            self.file.discard_drafts();
        }
        Ok(())
    }

    /// Drafts are removed when the export ends.
    pub(super) fn discard(&self) {
        self.file.discard_drafts();
    }

    /// Starts the thread that appends finished units.
    pub(super) fn start<'scope>(&self, scope: &'scope Scope<'scope, '_>) -> JournalThread<'scope> {
        let (units, received) = channel();
        let mut writer = JournalWriter { file: Arc::clone(&self.file), waiting: Vec::new(), done: 0 };
        JournalThread { units, thread: scope.spawn(move || writer.run(&received)) }
    }
}

/// The sending side of the thread.
pub(super) struct JournalThread<'scope> {
    units: Sender<WrittenUnit>,
    thread: ScopedJoinHandle<'scope, ()>,
}

impl JournalThread<'_> {
    pub(super) fn sender(&self) -> Sender<WrittenUnit> {
        self.units.clone()
    }

    /// Appends the rest, when all senders are gone.
    pub(super) fn finish(self) {
        drop(self.units);
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

struct JournalWriter {
    file: Arc<JournalFile>,
    waiting: Vec<WrittenUnit>,
    /// The bytes of all files that the journal tells of.
    done: u64,
}

impl JournalWriter {
    /// Ends at the first error: the journal then has what it had before, and the drafts fail by themselves.
    fn run(&mut self, units: &Receiver<WrittenUnit>) {
        let mut last = Instant::now();
        loop {
            let is_over = match units.recv_timeout(INTERVAL.saturating_sub(last.elapsed())) {
                Ok(unit) => {
                    let is_far = unit.record.done >= self.done + STRIDE;
                    self.waiting.push(unit);
                    if !is_far && last.elapsed() < INTERVAL {
                        continue;
                    }
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            if self.append().is_err() || is_over {
                return;
            }
            last = Instant::now();
        }
    }

    /// Makes durable what is in the files, and then appends the units whose bytes these are.
    fn append(&mut self) -> std::io::Result<()> {
        let is_in_file = |unit: &WrittenUnit| unit.ends.iter().all(|(draft, end)| draft.has(*end));
        let count = self.waiting.iter().take_while(|unit| is_in_file(unit)).count();
        let Some(newest) = count.checked_sub(1).and_then(|last| self.waiting.get(last)) else {
            return Ok(());
        };
        self.done = newest.record.done;
        let units: Vec<WrittenUnit> = self.waiting.drain(..count).collect();
        let mut synced: Vec<&Arc<DraftSync>> = Vec::new();
        for (draft, _) in units.iter().flat_map(|unit| &unit.ends) {
            if !synced.iter().any(|other| Arc::ptr_eq(other, draft)) {
                draft.sync()?;
                synced.push(draft);
            }
        }
        let lines = units.iter().map(|unit| to_line(&unit.record)).collect::<std::io::Result<String>>()?;
        self.file.append(&lines)?;
        self.file.keep_drafts();
        Ok(())
    }
}

fn to_line(value: &impl Serialize) -> std::io::Result<String> {
    Ok(serde_json::to_string(value)? + "\n")
}
