//! The Hugging Face Hub: base models are read from it, exports are pushed to it.

#[cfg(not(feature = "hub"))]
mod absent;
#[cfg(feature = "hub")]
mod client;

use std::sync::Arc;

use engine::Folder;
use shared::domain::{ArtifactKind, GgufKind, HubRepo};

#[cfg(not(feature = "hub"))]
pub(crate) use absent::AbsentHub as Hub;
#[cfg(feature = "hub")]
pub(crate) use client::Hub;

use crate::{input_folder::InputFile, manifest::ManifestFile};

/// The name of the model card, which a push writes.
pub(crate) const CARD_FILE: &str = "README.md";

/// An export, and the repository it goes to.
#[derive(Clone, Copy)]
pub(crate) struct PushDestination<'a> {
    pub(crate) repo: &'a HubRepo,
    /// Whether the repository must be private.
    pub(crate) private: bool,
    pub(crate) kind: ArtifactKind,
    /// What a GGUF file has.
    pub(crate) gguf_kind: GgufKind,
    /// Every file besides the card.
    pub(crate) files: &'a [ManifestFile],
}

/// A model's files in a bucket, ready to be pushed.
pub(crate) struct ModelFiles<'a> {
    pub(crate) folder: Arc<dyn Folder>,
    pub(crate) files: &'a [ManifestFile],
    /// The base model, if it is known.
    pub(crate) base_model: Option<&'a HubRepo>,
    /// The files of the base model, as far as they are known.
    pub(crate) base_files: &'a [InputFile],
    /// How the model was made and what was measured of it, for the model card.
    pub(crate) description: &'a str,
}
