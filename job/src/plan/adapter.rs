//! `adapter`: which of the adapter's files are packed, and which are published on the Hub.

use engine::{Adapter, AdapterPlan};
use shared::domain::Destination;

use super::RequestedExport;
use crate::{
    artifact_folder::ArtifactFolder,
    error::JobError,
    fingerprint::Fingerprint,
    input_folder::{InputFile, InputFolder},
    inputs::{self, FineTune, PublishedBase},
};

/// The file for download.
pub(crate) const ZIP_FILE: &str = "adapter.zip";

/// An adapter, and what is exported of it.
pub(crate) struct AdapterInput {
    pub(crate) adapter: Adapter,
    /// The files of the zip file.
    pub(crate) packed: InputFolder,
    /// What is pushed to the Hub, if that is a destination.
    pub(crate) published: Option<PublishedAdapter>,
}

pub(crate) fn find_input(requested: &RequestedExport<'_>) -> Result<AdapterInput, JobError> {
    let (adapter, mut packed) = match inputs::fine_tune(&requested.sources, requested.training_job)? {
        FineTune::Adapter(adapter, input) => (adapter, input),
        FineTune::FullModel(_) => {
            return Err(JobError::InvalidInput(format!(
                "training job {} has made a full fine-tuned model, not an adapter: export it as merged or gguf",
                requested.training_job.id
            ))
            .of_field("export_type"));
        }
    };
    packed.files.retain(|file| !is_trainers_own(file));
    refuse_lfs_pointers(&packed)?;
    let published = match requested.has_destination(Destination::HfHub) {
        true => Some(PublishedAdapter::new(requested, &adapter)?),
        false => None,
    };
    Ok(AdapterInput { adapter, packed, published })
}

/// The zip file of these files.
pub(crate) fn zip_target(
    requested: &RequestedExport<'_>,
    packed: &InputFolder,
) -> Result<ArtifactFolder, JobError> {
    let fingerprint = Fingerprint::of("adapter").folder("adapter", &packed.files).finish();
    Ok(ArtifactFolder::new(requested.download_folder()?, "adapter", fingerprint))
}

/// What is pushed to the Hub. The folder can also have the trainer's logs and settings, in which tokens may be. The zip file, which
/// is the owner's alone, has them.
pub(crate) struct PublishedAdapter {
    pub(crate) plan: AdapterPlan,
    pub(crate) base: Option<PublishedBase>,
}

impl PublishedAdapter {
    fn new(requested: &RequestedExport<'_>, adapter: &Adapter) -> Result<Self, JobError> {
        let base = inputs::published_base(&requested.sources, requested.training_job, adapter)?;
        // instead of a path of the trainer's machine, or another base model
        let name = base.as_ref().map(|base| base.name.as_str());
        Ok(Self { plan: AdapterPlan::new(adapter, name)?, base })
    }

    /// The bytes of all files together.
    pub(crate) fn size(&self) -> u64 {
        self.plan.files().iter().map(|file| file.size).sum()
    }
}

/// Refuses a file that was not downloaded from Git LFS.
fn refuse_lfs_pointers(input: &InputFolder) -> Result<(), JobError> {
    input.names().try_for_each(|name| {
        let location = format!("{}/{name}", input.location());
        let source = input.folder.open(name).map_err(JobError::bucket("read", &location))?;
        Ok(engine::refuse_lfs_pointer(&*source)?)
    })
}

/// Hidden files and pickles, which hold the trainer's state and can run code, are in no export.
fn is_trainers_own(file: &InputFile) -> bool {
    const PICKLES: [&str; 7] = [".bin", ".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt"];
    file.name.starts_with('.') || PICKLES.iter().any(|end| file.name.ends_with(end))
}
