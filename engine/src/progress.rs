//! How far an export is, and the wish to stop it.

/// What the engine is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Writing merged weights.
    Merging,
    /// Writing a GGUF file.
    Converting,
    /// Comparing a finished export with what it must be.
    Verifying,
}

impl Stage {
    /// One lower-case word, for records and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Merging => "merging",
            Self::Converting => "converting",
            Self::Verifying => "verifying",
        }
    }
}

/// One sign of life. Bytes are output bytes; `total` is exact and known from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Update {
    /// What is being done.
    pub stage: Stage,
    /// Bytes written so far.
    pub done: u64,
    /// Bytes to be written in all.
    pub total: u64,
}

/// Told after every block of output (a few megabytes), from the thread that runs the export.
pub trait Progress: Sync {
    /// Called often: do little here.
    fn report(&self, update: Update);

    /// Whether to stop: the export then ends with [`Error::Cancelled`](crate::Error::Cancelled) and no output.
    fn cancelled(&self) -> bool {
        false
    }
}

/// Nobody is watching.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn report(&self, _: Update) {}
}
