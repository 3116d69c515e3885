//! Progress on standard error.

use std::io::{self, IsTerminal as _, Write as _};
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use engine::{ProgressUpdate, ResumeState, RunOptions, RunPart, Stage};
use indicatif::{DecimalBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::args::EngineArgs;
use crate::failure::Failure;
use crate::inputs::Inputs;
use crate::signals;
use crate::terminal::{self, Terminal};

/// Time between two lines where standard error is not a terminal.
pub(crate) const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Columns that the bar with all its figures needs.
const WIDE: u16 = 64;

/// Threads that read over the network, where the processor waits for the answers.
const REMOTE_THREADS: NonZeroUsize = NonZeroUsize::new(8).unwrap();

/// How the engine runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) terminal: Terminal,
    pub(crate) engine: EngineArgs,
    inputs: &'a Inputs,
    part: Option<RunPart>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(terminal: Terminal, engine: EngineArgs, inputs: &'a Inputs) -> Self {
        Self { terminal, engine, inputs, part: None }
    }

    /// A run that is a part of a stage: so much of the total is done before it.
    pub(crate) fn part_of(self, total: u64, before: u64) -> Self {
        Self { part: Some(RunPart { before, total }), ..self }
    }

    /// Calls `work` with progress on standard error: a bar on a terminal, else a line every [`LINE_INTERVAL`].
    ///
    /// # Errors
    /// Those of `work`. After SIGINT or SIGTERM it stops and fails.
    pub(crate) fn show<T>(
        self,
        stage: Stage,
        work: impl FnOnce(&RunOptions<'_>) -> engine::Result<T>,
    ) -> Result<T, Failure> {
        signals::begin_work();
        let progress = Progress::new(self.terminal, stage.as_str(), Unit::of(stage));
        if let Some(RunPart { before, total }) = self.part {
            progress.begin_at(before, total);
        }
        let is_remote = self.inputs.has_remote();
        let result = work(&RunOptions {
            progress: &EngineProgress { terminal: self.terminal, progress: &progress, part: self.part },
            threads: self.engine.threads.or(is_remote.then_some(REMOTE_THREADS)),
            chunk_size: if is_remote { RunOptions::REMOTE_CHUNK } else { RunOptions::LOCAL_CHUNK },
            allow_non_finite: self.engine.allow_non_finite,
        });
        progress.finish();
        Ok(result?)
    }
}

/// What progress is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Bytes,
    Tokens,
    Weights,
}

impl Unit {
    fn of(stage: Stage) -> Self {
        match stage {
            Stage::Calibrating => Self::Tokens,
            Stage::Fitting => Self::Weights,
            Stage::Merging | Stage::Converting | Stage::Copying | Stage::Verifying => Self::Bytes,
        }
    }
}

/// A bar on a terminal, else a line every [`LINE_INTERVAL`].
pub(crate) enum Progress {
    Hidden,
    Bar(ProgressBar),
    Lines(Mutex<ProgressLines>),
}

impl Progress {
    pub(crate) fn new(terminal: Terminal, stage: &'static str, unit: Unit) -> Self {
        if terminal.is_quiet() {
            Self::Hidden
        } else if io::stderr().is_terminal() {
            Self::Bar(stage_bar(stage, unit))
        } else {
            Self::Lines(Mutex::new(ProgressLines::new(stage, unit, Instant::now())))
        }
    }

    /// Sets how much is done.
    pub(crate) fn set(&self, done: u64, total: u64) {
        match self {
            Self::Hidden => {}
            // a bar of no length is full
            Self::Bar(_) if total == 0 => {}
            // both at once, because each draws
            Self::Bar(bar) => bar.update(|state| {
                state.set_len(total);
                state.set_pos(done);
            }),
            Self::Lines(lines) => {
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(line) = lines.next(done, total, Instant::now()) {
                    writeln!(io::stderr(), "{line}").ok();
                }
            }
        }
    }

    /// The rate is measured from `done` on, which was done before.
    pub(crate) fn begin_at(&self, done: u64, total: u64) {
        self.set(done, total);
        match self {
            Self::Hidden => {}
            Self::Bar(bar) => bar.reset_eta(),
            Self::Lines(lines) => {
                lines.lock().unwrap_or_else(PoisonError::into_inner).begin_at(done, Instant::now());
            }
        }
    }

    pub(crate) fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn stage_bar(stage: &'static str, unit: Unit) -> ProgressBar {
    let bar = match unit {
        Unit::Bytes => bar(
            "{msg} {wide_bar} {decimal_bytes} of {decimal_total_bytes}  {decimal_bytes_per_sec}  {eta} left",
            "{msg} {percent}%  {decimal_bytes_per_sec}  {eta} left",
        ),
        Unit::Tokens => {
            bar("{msg} {wide_bar} {pos} of {len} tokens  {eta} left", "{msg} {percent}%  {eta} left")
        }
        Unit::Weights => bar("{msg} {wide_bar} {percent}%  {eta} left", "{msg} {percent}%  {eta} left"),
    };
    bar.with_message(stage)
}

/// A bar on standard error, with a template for narrow terminals.
fn bar(wide: &str, narrow: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_style(style(wide, narrow));
    terminal::set_bar(&bar);
    bar
}

/// The style of a bar on standard error, with a template for narrow terminals.
pub(crate) fn style(wide: &str, narrow: &str) -> ProgressStyle {
    let width = terminal_size::terminal_size_of(io::stderr()).map_or(WIDE, |(width, _)| width.0);
    let template = if width < WIDE { narrow } else { wide };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// What the engine reports.
struct EngineProgress<'a> {
    terminal: Terminal,
    progress: &'a Progress,
    part: Option<RunPart>,
}

impl EngineProgress<'_> {
    /// The progress of the stage.
    fn of_stage(&self, update: ProgressUpdate) -> ProgressUpdate {
        self.part.map_or(update, |part| part.of_all(update))
    }
}

impl engine::Progress for EngineProgress<'_> {
    fn report(&self, update: ProgressUpdate) {
        let ProgressUpdate { done, total, .. } = self.of_stage(update);
        self.progress.set(done, total);
    }

    fn resume(&self, state: &ResumeState) {
        self.terminal.note(&resume_note(state));
        if let ResumeState::Kept { progress, .. } = state {
            let ProgressUpdate { done, total, .. } = self.of_stage(*progress);
            self.progress.begin_at(done, total);
        }
    }

    fn cancelled(&self) -> bool {
        signals::is_interrupted()
    }
}

/// What `--resume` finds.
fn resume_note(state: &ResumeState) -> String {
    match state {
        ResumeState::Nothing => "nothing to resume: the export starts".to_owned(),
        ResumeState::Differs(names) => format!("starting over: what is kept differs in {names}"),
        ResumeState::Damaged => "starting over: what is kept is damaged".to_owned(),
        ResumeState::Kept { progress, damaged } => {
            let (done, total) = (DecimalBytes(progress.done), DecimalBytes(progress.total));
            let note = format!("resuming: {done} of {total} are kept");
            match damaged {
                0 => note,
                count => {
                    format!("{note}; {count} finished tensors behind them are not intact, and are made again")
                }
            }
        }
    }
}

/// Progress in lines.
pub(crate) struct ProgressLines {
    stage: &'static str,
    unit: Unit,
    started: Instant,
    printed: Instant,
    /// How much was done at the start.
    begun: u64,
}

impl ProgressLines {
    fn new(stage: &'static str, unit: Unit, now: Instant) -> Self {
        Self { stage, unit, started: now, printed: now, begun: 0 }
    }

    /// The rate is measured from now on, and from `done`.
    fn begin_at(&mut self, done: u64, now: Instant) {
        (self.started, self.begun) = (now, done);
    }

    /// The next line, if it is time for one.
    fn next(&mut self, done: u64, total: u64, now: Instant) -> Option<String> {
        if now - self.printed < LINE_INTERVAL || done <= self.begun {
            return None;
        }
        self.printed = now;
        let per_second = (done - self.begun) as f64 / (now - self.started).as_secs_f64();
        let left = Duration::from_secs_f64(total.saturating_sub(done) as f64 / per_second);
        let amount = match self.unit {
            Unit::Tokens => format!("{done} of {total} tokens"),
            Unit::Weights => format!("{done} of {total} weights"),
            Unit::Bytes => {
                let rate = DecimalBytes(per_second as u64);
                format!("{} of {}, {rate}/s", DecimalBytes(done), DecimalBytes(total))
            }
        };
        let percent = 100.0 * done as f64 / total.max(1) as f64;
        Some(format!("{}: {percent:.0} %, {amount}, {:#} left", self.stage, HumanDuration(left)))
    }
}

#[cfg(test)]
mod tests {
    use engine::Progress as _;

    use super::*;
    use crate::args::OutputArgs;

    #[test]
    fn the_files_of_a_stage_have_one_total() {
        let terminal = Terminal::new(&OutputArgs { json: false, quiet: true });
        let bar = ProgressBar::hidden();
        let progress = Progress::Bar(bar.clone());
        let report = |part, done, total| {
            EngineProgress { terminal, progress: &progress, part }.report(ProgressUpdate {
                stage: Stage::Converting,
                done,
                total,
            });
            (bar.position(), bar.length())
        };
        assert_eq!(report(None, 10, 20), (10, Some(20)));
        assert_eq!(report(Some(RunPart { before: 20, total: 100 }), 10, 80), (30, Some(100)));
    }

    #[test]
    fn there_is_a_line_every_ten_seconds() {
        let start = Instant::now();
        let mut lines = ProgressLines::new("converting", Unit::Bytes, start);
        let mut at = |seconds, done| lines.next(done, 4_000_000_000, start + Duration::from_secs(seconds));
        assert_eq!(at(9, 900_000_000), None);
        let line = "converting: 25 %, 1.00 GB of 4.00 GB, 100.00 MB/s, 30s left";
        assert_eq!(at(10, 1_000_000_000).as_deref(), Some(line));
        assert_eq!(at(19, 1_900_000_000), None);
        assert_eq!(
            at(40, 4_000_000_000).unwrap(),
            "converting: 100 %, 4.00 GB of 4.00 GB, 100.00 MB/s, 0s left"
        );
    }

    #[test]
    fn the_rate_is_that_of_what_is_done_in_this_run() {
        let start = Instant::now();
        let mut lines = ProgressLines::new("converting", Unit::Bytes, start);
        let after = |seconds| start + Duration::from_secs(seconds);
        // read back
        assert_eq!(lines.next(2_000_000_000, 4_000_000_000, after(5)), None);
        lines.begin_at(2_000_000_000, after(5));
        let line = "converting: 75 %, 3.00 GB of 4.00 GB, 100.00 MB/s, 10s left";
        assert_eq!(lines.next(3_000_000_000, 4_000_000_000, after(15)).as_deref(), Some(line));
    }
}
