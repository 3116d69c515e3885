//! Pushes of exports to the Hugging Face Hub, in builds with the feature `push`.

#[cfg(not(feature = "push"))]
mod absent;
#[cfg(feature = "push")]
mod command;
#[cfg(feature = "push")]
mod destination;
#[cfg(feature = "push")]
mod exported;
#[cfg(feature = "push")]
mod hub;
#[cfg(feature = "push")]
mod upload_progress;

#[cfg(not(feature = "push"))]
pub(crate) use absent::{AbsentPush as PreparedPush, run};
#[cfg(feature = "push")]
pub(crate) use command::run;
#[cfg(feature = "push")]
pub(crate) use hub::PreparedPush;

/// The kinds of exports, as their reports name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExportKind {
    Adapter,
    Merged,
    Gguf,
    Lora,
}

/// An export that will be pushed when it is complete.
#[cfg_attr(not(feature = "push"), expect(dead_code, reason = "what pushes reads it"))]
pub(crate) struct PlannedPush {
    pub(crate) kind: ExportKind,
    /// The names of its files.
    pub(crate) names: Vec<String>,
    /// The base model that the model card names (`owner/name`).
    pub(crate) base_model: Option<String>,
}
