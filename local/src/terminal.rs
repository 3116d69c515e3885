//! Output in the terminal, with colors if it is one.

use std::io::Write as _;

use console::style;

/// A line. Errors are ignored, because a closed output has no reader.
pub(crate) fn line(text: &str) {
    writeln!(std::io::stdout(), "{text}").ok();
}

/// A heading.
pub(crate) fn heading(text: &str) {
    line(&format!("\n  {}\n", style(text).bold()));
}

/// A name and its value, aligned with others.
pub(crate) fn field(name: &str, value: &str) {
    line(&format!("  {}{value}", style(format!("{name:<10}")).dim()));
}

/// A command to copy.
pub(crate) fn command(text: &str) {
    line(&format!("    {text}"));
}

/// A dimmed line.
pub(crate) fn note(text: &str) {
    line(&format!("  {}", style(text).dim()));
}

/// A check that passed.
pub(crate) fn success(text: &str) {
    line(&format!("  {} {text}", style("✓").green().bold()));
}

/// An error with its causes, on standard error.
pub(crate) fn failure(error: &anyhow::Error) {
    let mut text = format!("\n  {} {error}", style("✗").for_stderr().red().bold());
    for cause in error.chain().skip(1) {
        text.push_str(&format!("\n    {cause}"));
    }
    writeln!(std::io::stderr(), "{text}").ok();
}

/// A number of bytes with a decimal unit.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::DecimalBytes(count).to_string()
}
