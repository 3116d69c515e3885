//! A process's time and memory, as the kernel counts them.

use std::fmt;
use std::io;
use std::process::Command;
use std::time::{Duration, Instant};

/// What a process took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) wall: Duration,
    /// User and system time of all its threads.
    pub(crate) cpu: Duration,
    /// The most memory it held at once, in bytes.
    pub(crate) peak: u64,
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (wall, cpu) = (self.wall.as_secs_f64(), self.cpu.as_secs_f64());
        write!(f, "{wall:.2} s, {cpu:.2} s CPU, {} MiB", self.peak >> 20)
    }
}

/// Runs a program to its end.
pub(crate) fn child(line: &[String]) -> io::Result<Usage> {
    let (program, args) = line.split_first().ok_or_else(|| io::Error::other("nothing to run"))?;
    let start = Instant::now();
    let child = Command::new(program).args(args).spawn()?;
    let (status, usage) = wait(child.id())?;
    let wall = start.elapsed();
    if status != 0 {
        return Err(io::Error::other(format!("{program} ended with status {status}")));
    }
    let cpu = time(usage.ru_utime) + time(usage.ru_stime);
    Ok(Usage { wall, cpu, peak: (usage.ru_maxrss as u64) << 10 })
}

/// `wait4`, which the standard library does not have.
fn wait(pid: u32) -> io::Result<(i32, libc::rusage)> {
    let mut status = 0;
    // SAFETY: a rusage is plain numbers, for which all zeros is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live variables of the types wait4 fills.
    let waited = unsafe { libc::wait4(pid as libc::pid_t, &mut status, 0, &mut usage) };
    if waited < 0 { Err(io::Error::last_os_error()) } else { Ok((status, usage)) }
}

fn time(value: libc::timeval) -> Duration {
    Duration::from_secs(value.tv_sec as u64) + Duration::from_micros(value.tv_usec as u64)
}
