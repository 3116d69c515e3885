//! The progress of an export of the service, on standard error.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use indicatif::{DecimalBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use super::text;
use crate::progress::{LINE_INTERVAL, style};
use crate::terminal::{self, Terminal};

/// Time between two pictures of the spinner.
const TICK: Duration = Duration::from_millis(100);

/// A bar on a terminal, else a line for each stage and every [`LINE_INTERVAL`].
pub(super) struct ExportProgress {
    terminal: Terminal,
    bar: Option<ExportBar>,
    rate: StageRate,
    printed: Option<Instant>,
}

impl ExportProgress {
    pub(super) fn new(terminal: Terminal) -> Self {
        let has_bar = io::stderr().is_terminal() && !terminal.is_quiet();
        let bar = has_bar.then(|| ExportBar::new(ProgressDrawTarget::stderr()));
        bar.iter().for_each(|ExportBar { bar, .. }| terminal::set_bar(bar));
        Self { terminal, bar, rate: StageRate::default(), printed: None }
    }

    pub(super) fn show(&mut self, export: &Value, now: Instant) {
        let is_new = self.rate.update(export, now);
        match &self.bar {
            Some(bar) => bar.show(&self.rate, export),
            None if is_new || self.printed.is_none_or(|at| now - at >= LINE_INTERVAL) => {
                self.terminal.note(&self.rate.line(export));
                self.printed = Some(now);
            }
            None => {}
        }
    }

    pub(super) fn finish(&self) {
        if let Some(ExportBar { bar, .. }) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A stage of an export, and how fast it is.
#[derive(Default)]
struct StageRate {
    stage: String,
    done: u64,
    /// Zero where the amount of work is not known.
    total: u64,
    /// The bytes that were done when that changed, and the rate since then.
    last: Option<(u64, Instant)>,
    per_second: Option<u64>,
}

impl StageRate {
    /// Returns whether the stage has begun.
    fn update(&mut self, export: &Value, now: Instant) -> bool {
        let progress = &export["progress"];
        let stage = progress["stage"].is_string().then(|| text(&progress["stage"]));
        let stage = stage.unwrap_or_else(|| "queued".to_owned());
        let is_new = stage != self.stage;
        if is_new {
            *self = Self { stage, ..Self::default() };
        }
        let count = |field: &str| progress[field].as_u64().unwrap_or_default();
        let (done, total) = (count("bytes_done"), count("bytes_total"));
        if (total, true) != (self.total, done >= self.done) {
            // a stage has parts, such as writing and measuring
            (self.last, self.per_second) = (None, None);
        }
        (self.done, self.total) = (done, total);
        match self.last {
            Some((before, at)) if done > before => {
                self.per_second = Some(((done - before) as f64 / (now - at).as_secs_f64().max(1e-3)) as u64);
                self.last = Some((done, now));
            }
            None => self.last = Some((done, now)),
            Some(_) => {}
        }
        is_new
    }

    /// Rate and remaining time, where they are known.
    fn figures(&self, export: &Value) -> String {
        let mut figures =
            self.per_second.map(|rate| format!("  {}/s", DecimalBytes(rate))).unwrap_or_default();
        if let Some(seconds) = export["eta_seconds"].as_u64() {
            figures.push_str(&format!("  {:#} left", HumanDuration(Duration::from_secs(seconds))));
        }
        figures
    }

    fn line(&self, export: &Value) -> String {
        let bytes = match self.total {
            0 => String::new(),
            total => format!("  {} of {}", DecimalBytes(self.done), DecimalBytes(total)),
        };
        format!("{}: {}{bytes}{}", self.stage, text(&export["message"]), self.figures(export))
    }
}

/// A bar; while the amount of work is not known, a spinner.
struct ExportBar {
    bar: ProgressBar,
    of_amount: ProgressStyle,
    spinner: ProgressStyle,
}

impl ExportBar {
    fn new(target: ProgressDrawTarget) -> Self {
        // a stage can have parts, each with an amount of its own, which the message tells apart
        let of_amount = style(
            "{spinner} {wide_msg}\n{wide_bar} {decimal_bytes} of {decimal_total_bytes}{prefix}",
            "{spinner} {wide_msg}\n{percent}%{prefix}",
        );
        let spinner = style("{spinner} {wide_msg}{prefix}", "{spinner} {wide_msg}{prefix}");
        let bar = ProgressBar::with_draw_target(None, target).with_style(spinner.clone());
        Self { bar, of_amount, spinner }
    }

    fn show(&self, rate: &StageRate, export: &Value) {
        let Self { bar, of_amount, spinner } = self;
        bar.set_prefix(rate.figures(export));
        // a terminal that is too narrow cuts it
        bar.set_message(format!("{}: {}", rate.stage, text(&export["message"])));
        match rate.total {
            0 => bar.set_style(spinner.clone()),
            total => {
                // the style last, because each of these draws
                bar.set_length(total);
                bar.set_position(rate.done);
                bar.set_style(of_amount.clone());
            }
        }
        bar.enable_steady_tick(TICK);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use indicatif::TermLike;
    use serde_json::json;

    use super::*;

    /// A terminal that keeps all that it has shown.
    #[derive(Debug, Clone, Default)]
    struct Screen(Arc<Mutex<String>>);

    impl Screen {
        /// Waits until a text is shown, which a thread draws, and returns all until then.
        fn until(&self, text: &str) -> String {
            let start = Instant::now();
            loop {
                let shown = self.0.lock().unwrap().clone();
                if shown.contains(text) {
                    return shown;
                }
                assert!(start.elapsed() < Duration::from_secs(20), "{text:?} is not in {shown:?}");
                std::thread::sleep(TICK);
            }
        }
    }

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            100
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }

        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn export(stage: &Value, done: u64, total: u64) -> Value {
        json!({
            "message": "Writing model.gguf",
            "progress": { "stage": stage, "bytes_done": done, "bytes_total": total },
        })
    }

    #[test]
    fn a_stage_of_an_unknown_amount_has_a_spinner_and_no_percent() {
        let screen = Screen::default();
        let bar = ExportBar::new(ProgressDrawTarget::term_like(Box::new(screen.clone())));
        let mut rate = StageRate::default();
        let queued = json!({ "message": "Waiting", "progress": null });
        let mut show = |export: &Value| {
            rate.update(export, Instant::now());
            bar.show(&rate, export);
        };
        let measuring = export(&json!("export"), 0, 0);
        for (export, stage) in [(queued, "queued: Waiting"), (measuring, "export: Writing model.gguf")] {
            show(&export);
            let shown = screen.until(stage);
            assert!(!shown.contains(['%', '\u{2588}']) && !shown.contains("0 B"), "{shown:?}");
        }
        show(&export(&json!("export"), 1_000_000, 2_000_000));
        let shown = screen.until("1.00 MB of 2.00 MB");
        assert!(shown.contains("export: Writing model.gguf") && !shown.contains("0/0"), "{shown:?}");
    }

    #[test]
    fn a_line_has_the_rate_since_the_one_before() {
        let (start, mut rate) = (Instant::now(), StageRate::default());
        let mut line = |seconds, export: &Value| {
            rate.update(export, start + Duration::from_secs(seconds));
            rate.line(export)
        };
        let stage = json!("export");
        let first = line(0, &export(&stage, 1_000_000, 9_000_000));
        assert_eq!(first, "export: Writing model.gguf  1.00 MB of 9.00 MB");
        let second = line(10, &export(&stage, 3_000_000, 9_000_000));
        assert_eq!(second, "export: Writing model.gguf  3.00 MB of 9.00 MB  200.00 kB/s");
        // that of another part, or of another stage, is not known
        let measuring = line(15, &export(&stage, 0, 0));
        assert_eq!(measuring, "export: Writing model.gguf");
        assert_eq!(line(20, &export(&json!("measure"), 0, 0)), "measure: Writing model.gguf");
    }
}
