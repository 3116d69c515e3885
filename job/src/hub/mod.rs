//! The Hugging Face Hub: base models are read from it, exports are pushed to it.

#[cfg(not(feature = "hub"))]
mod absent;
mod card;
#[cfg(feature = "hub")]
mod client;
mod front_matter;

use std::sync::Arc;

use engine::Folder;
use shared::domain::HubRepo;

#[cfg(not(feature = "hub"))]
pub(crate) use absent::AbsentHub as Hub;
pub(crate) use card::{CARD_FILE, ModelCard};
#[cfg(feature = "hub")]
pub(crate) use client::Hub;

use crate::{manifest::ManifestFile, progress::ProgressTracker};

/// The files to push, and the repository they go to.
pub(crate) struct PushRequest<'a> {
    pub(crate) repo: &'a HubRepo,
    /// Whether the repository must be private.
    pub(crate) private: bool,
    pub(crate) folder: Arc<dyn Folder>,
    pub(crate) files: &'a [ManifestFile],
    pub(crate) card: ModelCard<'a>,
    pub(crate) progress: &'a Arc<ProgressTracker>,
}
