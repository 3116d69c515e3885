//! For tests, here and in the other crates: adapters in memory, fixtures, a mint for tokens, and the suite that
//! every store must pass.

pub mod fixtures;
