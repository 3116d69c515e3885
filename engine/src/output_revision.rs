//! The revision of the output.

/// Raised with every change of the engine that gives other bytes for the same inputs and options. Whoever stores outputs
/// for later use stores it with them.
///
/// `tests/revision` compares reference exports with committed hashes. It fails when they differ and the revision is the
/// same.
pub const OUTPUT_REVISION: u32 = 10;
