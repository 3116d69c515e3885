//! A line of input that the terminal does not show.

use std::io;

/// Prompts for a line and reads it.
pub(crate) fn read(prompt: &str) -> io::Result<String> {
    settings::keep();
    let terminal = console::Term::stderr();
    terminal.write_str(prompt)?;
    terminal.read_secure_line()
}

/// Ends a prompt before the process does: the terminal shows again what is typed, and forgets what was typed.
pub(crate) fn abandon() {
    settings::restore();
    console::Term::stderr().write_line("").ok();
}

/// The settings that the terminal has before a prompt.
#[cfg(unix)]
mod settings {
    use std::io;
    use std::sync::{Mutex, PoisonError};

    use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

    static KEPT: Mutex<Option<Termios>> = Mutex::new(None);

    pub(super) fn keep() {
        *KEPT.lock().unwrap_or_else(PoisonError::into_inner) = tcgetattr(io::stdin()).ok();
    }

    pub(super) fn restore() {
        if let Some(settings) = &*KEPT.lock().unwrap_or_else(PoisonError::into_inner) {
            tcsetattr(io::stdin(), OptionalActions::Flush, settings).ok();
        }
    }
}

/// A prompt does not change them.
#[cfg(not(unix))]
mod settings {
    pub(super) fn keep() {}

    pub(super) fn restore() {}
}
