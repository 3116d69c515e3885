//! What people read in the terminal. Colours only where somebody can see them.

use std::io::Write as _;

use console::style;

/// One line. Where nobody reads any more, there is nothing to say, and nothing else to do about it.
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

/// A line to be copied.
pub(crate) fn command(text: &str) {
    line(&format!("    {text}"));
}

/// A remark.
pub(crate) fn note(text: &str) {
    line(&format!("  {}", style(text).dim()));
}

/// Something that was checked and is as it should be.
pub(crate) fn success(text: &str) {
    line(&format!("  {} {text}", style("✓").green().bold()));
}

/// Something that went wrong, with its causes.
pub(crate) fn failure(error: &anyhow::Error) {
    let mut text = format!("\n  {} {error}", style("✗").for_stderr().red().bold());
    for cause in error.chain().skip(1) {
        text.push_str(&format!("\n    {cause}"));
    }
    writeln!(std::io::stderr(), "{text}").ok();
}

/// A number of bytes, for people.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::DecimalBytes(count).to_string()
}
