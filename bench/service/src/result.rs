//! The result of each step: a step that fails ends the measurement.

use shared::serve::FatalError;

pub(crate) type Result<T> = std::result::Result<T, FatalError>;
