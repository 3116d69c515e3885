//! The export job.

fn main() {}
