//! SIGINT and SIGTERM, and the limit of a file's size.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::failure::{Failure, FailureKind};
use crate::secret_line;
use crate::terminal::Terminal;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static PHASE: Mutex<Phase> = Mutex::new(Phase::Planning);

/// What the command does, and with it what a signal does.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Inputs are read and nothing is written: a signal ends the process.
    Planning,
    /// A line is typed that the terminal does not show: a signal ends the process with this message.
    Prompting(&'static str),
    /// Something may have to be removed or kept: a signal sets what [`is_interrupted`] returns.
    Working,
    /// The result is printed, perhaps to a reader that does not read: a signal ends the process.
    Printing,
}

/// Whether SIGINT or SIGTERM has asked to stop.
pub(crate) fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// From now on SIGINT and SIGTERM end the command with a message, and with an object if `terminal` prints one.
pub(crate) fn handle(terminal: Terminal) -> Result<(), Failure> {
    ctrlc::set_handler(move || stop(terminal)).map_err(|error| {
        Failure::new(FailureKind::Other, format!("the handler of signals cannot be set: {error}"))
    })
}

/// From now on a signal ends the process with this message, and the prompt with it.
pub(crate) fn begin_prompt(message: &'static str) {
    set_phase(Phase::Prompting(message));
}

/// From now on a signal does not end the process, and [`is_interrupted`] has to be asked.
pub(crate) fn begin_work() {
    set_phase(Phase::Working);
}

/// From now on a signal ends the process again, for the result alone is left to be printed.
pub(crate) fn begin_printing() {
    set_phase(Phase::Printing);
}

fn set_phase(phase: Phase) {
    *PHASE.lock().unwrap_or_else(PoisonError::into_inner) = phase;
}

/// What a signal does, in a thread of its own.
#[expect(clippy::exit, reason = "the main thread may wait for a disk or a network")]
fn stop(terminal: Terminal) {
    INTERRUPTED.store(true, Ordering::Relaxed);
    // locked until the process ends: no work begins and nothing else is printed meanwhile
    let phase = PHASE.lock().unwrap_or_else(PoisonError::into_inner);
    let failure = |message| Failure::new(FailureKind::Interrupted, message);
    match *phase {
        Phase::Planning => {
            terminal.end(Err(failure("interrupted: nothing was written")));
        }
        Phase::Prompting(message) => {
            secret_line::abandon();
            terminal.end(Err(failure(message)));
        }
        Phase::Working => return,
        // an object may be printed in part
        Phase::Printing => Terminal::error(&failure("interrupted: the result may not be printed in full")),
    }
    process::exit(FailureKind::Interrupted.status().into());
}

/// From now on a file that becomes larger than a limit of the shell allows (`ulimit -f`) is an error of the write. SIGXFSZ would end
/// the process without a message. A handler that was set once stays; without one, the signal ends the process.
#[cfg(unix)]
pub(crate) fn ignore_file_size_limit() {
    use tokio::signal::unix::{SignalKind, signal};
    const SIGXFSZ: i32 = 25;
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
    let _entered = runtime.enter();
    drop(signal(SignalKind::from_raw(SIGXFSZ)));
}

/// There is no such limit.
#[cfg(not(unix))]
pub(crate) fn ignore_file_size_limit() {}
