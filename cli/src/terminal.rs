//! Standard output, which has the result of a command, and standard error, which has messages.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use anstyle::{AnsiColor, Style};
use engine::report::ExportWarning;
use engine::{Finding, Severity};
use indicatif::{ProgressBar, WeakProgressBar};
use serde_json::{Value, json};

use crate::args::OutputArgs;
use crate::failure::Failure;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();

/// Columns below which a command has a line of its own.
const NARROW: usize = 60;

/// The newest bar of this process, above which messages are printed while it is there.
static BAR: Mutex<Option<WeakProgressBar>> = Mutex::new(None);

/// How much is printed, and in which form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    quiet: bool,
    json: bool,
}

/// The result of a command.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    /// For people, one fact per line.
    pub(crate) lines: Vec<String>,
    /// Text for programs such as a shell, which is printed as it is.
    pub(crate) verbatim: String,
    /// Commands to go on with.
    pub(crate) next_steps: Vec<String>,
    /// For programs: an object with the same facts and more.
    pub(crate) figures: Value,
    /// The export that is complete, if it is one.
    pub(crate) complete: Option<PathBuf>,
    /// Why the command fails although it has a result.
    pub(crate) failure: Option<Failure>,
}

impl Terminal {
    pub(crate) fn new(args: &OutputArgs) -> Self {
        Self { quiet: args.quiet, json: args.json }
    }

    /// Whether neither progress nor warnings are printed.
    pub(crate) fn is_quiet(self) -> bool {
        self.quiet
    }

    pub(crate) fn warn(self, message: &str) {
        if !self.quiet {
            put_message(WARNING, "warning", message);
        }
    }

    /// Prints what a person may want to know.
    pub(crate) fn note(self, message: &str) {
        if !self.quiet {
            above_bar(|| writeln!(io::stderr(), "{}", printable(message)));
        }
    }

    /// Prints what an export could not check.
    pub(crate) fn warnings<'a>(self, warnings: impl IntoIterator<Item = &'a ExportWarning>) {
        warnings.into_iter().for_each(|warning| self.warn(&warning.message));
    }

    /// Prints what programs that serve a model will meet. Notes are in the report alone.
    pub(crate) fn findings<'a>(self, findings: impl IntoIterator<Item = &'a Finding>) {
        for Finding { code, message, remedy, .. } in
            findings.into_iter().filter(|finding| finding.severity > Severity::Note)
        {
            self.warn(&format!("{message}: {remedy} ({code})"));
        }
    }

    /// Prints why a command fails.
    pub(crate) fn error(failure: &Failure) {
        put_message(ERROR, "error", &failure.to_string());
    }

    /// Prints the result of a command, or why it has none, and returns its exit status.
    pub(crate) fn end(self, result: Result<Summary, Failure>) -> ExitCode {
        let failure = match result {
            Ok(summary) => self.print(summary).err(),
            Err(failure) => {
                if self.json {
                    // where it cannot be written, standard error has the message
                    put(&format!("{:#}\n", json!({ "error": failure.to_json() }))).ok();
                }
                Some(failure)
            }
        };
        let Some(failure) = failure else { return ExitCode::SUCCESS };
        Self::error(&failure);
        ExitCode::from(failure.kind.status())
    }

    fn print(self, summary: Summary) -> Result<(), Failure> {
        let Summary { lines, verbatim, next_steps, mut figures, complete, failure } = summary;
        let printed = match (self.json, self.quiet) {
            (true, _) => {
                if let (Some(failure), Some(figures)) = (&failure, figures.as_object_mut()) {
                    figures.insert("error".to_owned(), failure.to_json());
                }
                put(&format!("{figures:#}\n"))
            }
            (false, true) => Ok(()),
            (false, false) => put(&(text(&lines) + &verbatim + &commands(&next_steps, width()))),
        };
        printed.map_err(|error| {
            let done = complete.map(|path| format!("{} is complete, but its summary", path.display()));
            let cannot = done
                .map_or_else(|| "cannot write to".to_owned(), |done| format!("{done} cannot be written to"));
            Failure::output(format!("{cannot} standard output: {error}"))
        })?;
        failure.map_or(Ok(()), Err)
    }
}

/// Prints what clap says about the arguments, help among it, and returns the exit status. With `--json` among the arguments, what
/// is wrong with them is also an object on standard output.
pub(crate) fn end_usage(error: &clap::Error, mut args: impl Iterator<Item = OsString>) -> ExitCode {
    if error.use_stderr() && args.any(|arg| arg == "--json") {
        let message = error.render().to_string();
        // how help is asked for follows
        let message = ["\n\nUsage:", "\n\nFor more information"]
            .iter()
            .fold(message.trim_start_matches("error: "), |text, end| text.split(end).next().unwrap_or(text));
        let failure = Failure::usage(message.trim());
        put(&format!("{:#}\n", json!({ "error": failure.to_json() }))).ok();
    }
    error.print().ok();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// Prints a line to standard error, in color where that is a terminal and `NO_COLOR` is not set.
fn put_message(style: Style, kind: &str, message: &str) {
    let width = terminal_size::terminal_size_of(io::stderr()).map(|(width, _)| usize::from(width.0));
    let text = message_lines(kind, message, width);
    let text = text.strip_prefix(kind).unwrap_or(&text);
    above_bar(|| writeln!(anstream::stderr(), "{style}{kind}{style:#}{text}"));
}

/// From now on messages are printed above this bar.
pub(crate) fn set_bar(bar: &ProgressBar) {
    *BAR.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.downgrade());
}

/// Prints to standard error, above the bar if there is one. Where it cannot be written, there is nobody to tell.
fn above_bar(print: impl FnOnce() -> io::Result<()>) {
    let bar = BAR.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(WeakProgressBar::upgrade);
    match bar {
        Some(bar) => bar.suspend(print),
        None => print(),
    }
    .ok();
}

/// A message in the lines that a terminal of so many columns has.
fn message_lines(kind: &str, message: &str, width: Option<usize>) -> String {
    let lines: Vec<String> =
        format!("{kind}: {}", printable(message)).lines().map(|line| wrapped(line, width)).collect();
    lines.join("\n")
}

/// Writes to standard output. A reader that has closed the pipe, such as `head`, is no error.
fn put(text: &str) -> io::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// The lines, wrapped where standard output is a terminal.
fn text(lines: &[String]) -> String {
    let width = width();
    lines.iter().map(|line| wrapped(&printable(line), width) + "\n").collect()
}

/// The columns of standard output, where it is a terminal.
pub(crate) fn width() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0))
}

/// Commands, each in one line, which a terminal breaks without changing what is copied. A narrow terminal has their name above them.
fn commands(steps: &[String], width: Option<usize>) -> String {
    if !steps.is_empty() && width.is_some_and(|width| width < NARROW) {
        let lines = steps.iter().map(|step| format!("    {}\n", printable(step)));
        return std::iter::once("  next\n".to_owned()).chain(lines).collect();
    }
    let names = std::iter::once("next").chain(std::iter::repeat(""));
    steps.iter().zip(names).map(|(step, name)| format!("  {name:7}  {}\n", printable(step))).collect()
}

/// A text of which nothing steers the terminal: names, metadata and prompts come from files of others.
fn printable(text: &str) -> String {
    let steers = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t'))
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// A line in several of at most `width` columns, the further ones indented. A word that is wider, such as a hash, stays whole.
pub(crate) fn wrapped(line: &str, width: Option<usize>) -> String {
    let indent = line.len() - line.trim_start().len();
    let further = " ".repeat(indent + 2);
    let Some(width) = width.filter(|width| *width > further.len()) else { return line.to_owned() };
    let options = textwrap::Options::new(width)
        .initial_indent(&line[..indent])
        .subsequent_indent(&further)
        .break_words(false)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    textwrap::fill(line.trim_start(), options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_wrapped_to_the_terminal_and_words_stay_whole() {
        let line = format!("  my-model-q8_0.gguf    1.07 GB  {}", "0".repeat(64));
        let expected = format!("  my-model-q8_0.gguf    1.07 GB\n    {}", "0".repeat(64));
        assert_eq!(wrapped(&line, Some(40)), expected);
        assert_eq!(wrapped(&line, Some(200)), line);
        assert_eq!(wrapped(&line, None), line);
        assert_eq!(wrapped("    a-name-that-is-wider a", Some(10)), "    a-name-that-is-wider\n      a");
    }

    #[test]
    fn messages_are_wrapped_to_the_terminal() {
        let message = "m.gguf exists: choose another output, or replace it with --force";
        let expected = "error: m.gguf exists: choose another\n  output, or replace it with --force";
        assert_eq!(message_lines("error", message, Some(40)), expected);
        assert_eq!(message_lines("error", message, None), format!("error: {message}"));
    }

    #[test]
    fn commands_do_not_steer_the_terminal() {
        assert_eq!(
            commands(&["vllm serve 'e\u{1b}[31m'".to_owned()], None),
            "  next     vllm serve 'e\u{fffd}[31m'\n"
        );
    }

    #[test]
    fn commands_are_whole_and_have_their_own_lines_in_a_narrow_terminal() {
        let steps = ["vllm serve merged", "gemma-export gguf --base merged --out m.gguf"].map(str::to_owned);
        assert_eq!(
            commands(&steps, Some(40)),
            "  next\n    vllm serve merged\n    gemma-export gguf --base merged --out m.gguf\n"
        );
        let wide = "  next     vllm serve merged\n           gemma-export gguf --base merged --out m.gguf\n";
        assert_eq!(commands(&steps, Some(60)), wide);
        assert_eq!(commands(&[], Some(40)), "");
    }

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(
            printable("a\u{1b}[31mb\u{7}\u{202e}c\td\u{e9}\n"),
            "a\u{fffd}[31mb\u{fffd}\u{fffd}c\td\u{e9}\n"
        );
    }
}
