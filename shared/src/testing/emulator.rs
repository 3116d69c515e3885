//! Whether an emulator is there.

use std::io::Write;

/// The emulator that a variable names. Without one the test that asks is skipped, and says so; where CI is set it
/// fails, so that nobody takes a skipped test for a passed one.
///
/// # Panics
/// In CI, when the variable is not set.
#[must_use]
pub fn emulator(variable: &str) -> Option<String> {
    let host = std::env::var(variable).ok();
    if host.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "{variable} must be set in CI: this test must not be skipped"
        );
        // Not `eprintln!`: the test runner keeps that to itself when a test passes.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {variable} is not set, so nothing was tested");
    }
    host
}
