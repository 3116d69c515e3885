//! The machine that the export job runs on, and its limits.

use std::time::Duration;

const GIB: f64 = (1_u64 << 30) as f64;
/// Memory in GiB beside the cached files: the chunks of the threads, the parts of uploads, and the hidden states of the models
/// that are compared.
const WORKING_MEMORY: f64 = 1.0;

/// The machine that the export job runs on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JobMachine {
    /// CPUs.
    pub cpus: f64,
    /// Memory in GiB.
    pub memory: f64,
    /// Longest time for the comparison of an export's predictions with those of base and adapter (`VERIFY_LOGITS`).
    pub verify_logits: Duration,
    /// Time after which the platform ends the job (`JOB_TIMEOUT`), if that is known.
    pub timeout: Option<Duration>,
}

impl JobMachine {
    /// `VERIFY_LOGITS` where it is not set.
    pub const VERIFY_LOGITS: Duration = Duration::from_secs(120);

    /// Bytes of files that are kept in memory once they were read.
    pub(crate) fn cache(&self) -> u64 {
        ((self.memory - WORKING_MEMORY).max(0.0) * GIB) as u64
    }

    /// Whether files of `size` bytes are kept in memory.
    pub(crate) fn caches(&self, size: u64) -> bool {
        size <= self.cache()
    }
}

impl Default for JobMachine {
    fn default() -> Self {
        Self { cpus: 4.0, memory: 4.0, verify_logits: Self::VERIFY_LOGITS, timeout: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_work_needs_is_not_for_files() {
        let caches = |memory, size| JobMachine { memory, ..JobMachine::default() }.caches(size);
        assert!(caches(4.0, 3 << 30) && !caches(4.0, (3 << 30) + 1));
        assert!(!caches(0.5, 1));
    }
}
