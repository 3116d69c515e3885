//! Finds emulators.

use std::io::Write;

/// The address of the emulator in `variable`. If it is unset, the calling test is skipped with a message; in CI it fails,
/// so that a skipped test does not count as passed.
///
/// # Panics
/// In CI, if the variable is unset.
#[must_use]
pub fn emulator(variable: &str) -> Option<String> {
    let host = std::env::var(variable).ok();
    if host.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "{variable} must be set in CI: this test must not be skipped"
        );
        // Not `eprintln!`: the test runner captures its output if the test passes.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {variable} is not set, this test was skipped");
    }
    host
}
