//! Makes each artifact once: of several exports that need the same one, one makes it and the others wait for it. What
//! they wait for is the lease of the maker's export: if that ends without a result, the next one makes the artifact.
//!
//! No artifact depends on this: two that are made at the same time are in folders of their own, and the first to be
//! published is used.

use std::time::Duration;

use shared::{
    clock,
    domain::{Export, ExportId, ProcessId, Stage, Status},
    ports::Exports,
};
use tokio::runtime::Handle;

use crate::{
    artifact_folder::{ArtifactFolder, NewArtifact, PublishedArtifact},
    bucket::{Bucket, StoredFile},
    error::JobError,
    manifest::MakerClaim,
    progress::ProgressTracker,
    records,
};

/// Times between two looks at an artifact that another export makes.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// How often the maker's export is looked up.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(1);

/// An export that needs artifacts.
pub(crate) struct Maker<'a> {
    pub(crate) exports: &'a dyn Exports,
    pub(crate) runtime: &'a Handle,
    pub(crate) progress: &'a ProgressTracker,
    pub(crate) export: ExportId,
    pub(crate) process: Option<ProcessId>,
    /// URLs of files and folders that are not removed.
    pub(crate) in_use: Vec<&'a str>,
}

/// An artifact, and who made it.
pub(crate) struct ObtainedArtifact {
    pub(crate) artifact: PublishedArtifact,
    /// Whether another export made it.
    pub(crate) is_reused: bool,
}

enum MakerTurn {
    Published(Box<PublishedArtifact>),
    /// This export makes the artifact.
    Make(NewFolder),
}

/// The folder that an artifact is written to, by its name.
struct NewFolder {
    name: String,
    /// The folder of a maker whose export ended before. That maker may still publish it, until another one is published.
    left_over: Option<String>,
}

impl Maker<'_> {
    /// The published artifact, or a new one: `write` writes its files into a folder. If that fails, no file of it stays.
    pub(crate) fn obtain(
        &self,
        target: &ArtifactFolder,
        write: impl FnOnce(&Bucket) -> Result<NewArtifact, JobError>,
    ) -> Result<ObtainedArtifact, JobError> {
        let NewFolder { name, left_over } = match self.wait_for_turn(target)? {
            MakerTurn::Published(artifact) => {
                return Ok(ObtainedArtifact { artifact: *artifact, is_reused: true });
            }
            MakerTurn::Make(folder) => folder,
        };
        let made = self.make(target, &name, write);
        self.release(target);
        if let Ok(made) = &made {
            if let Some(left_over) = left_over.filter(|folder| *folder != made.artifact.manifest.folder) {
                target.remove_folder(&left_over);
            }
            target.remove_outdated(&self.in_use);
        }
        made
    }

    fn make(
        &self,
        target: &ArtifactFolder,
        folder: &str,
        write: impl FnOnce(&Bucket) -> Result<NewArtifact, JobError>,
    ) -> Result<ObtainedArtifact, JobError> {
        // the last maker may have published it just before this one claimed it
        if let Some(artifact) = target.published()? {
            return Ok(ObtainedArtifact { artifact, is_reused: true });
        }
        let new = target
            .folder(folder)
            .and_then(|folder| write(&folder))
            .and_then(|new| self.check_held().map(|()| new))
            .inspect_err(|_| target.remove_folder(folder))?;
        // the folder may be published although this fails, so it stays
        let artifact = target.publish(folder, self.export, new)?;
        let is_reused = artifact.manifest.folder != folder;
        if is_reused {
            target.remove_folder(folder);
        }
        Ok(ObtainedArtifact { artifact, is_reused })
    }

    /// Fails if the export has been cancelled, or is held by another process: nothing is published after that.
    fn check_held(&self) -> Result<(), JobError> {
        let found = self.runtime.block_on(records::find_export(self.exports, self.export))?;
        if found.is_some_and(|export| is_held(export, self.process)) {
            Ok(())
        } else {
            Err(JobError::Stopped)
        }
    }

    /// Waits until the artifact is published or nobody makes it.
    fn wait_for_turn(&self, target: &ArtifactFolder) -> Result<MakerTurn, JobError> {
        let (mut wait, mut since_lookup) = (FIRST_WAIT, None);
        loop {
            if let Some(artifact) = target.published()? {
                return Ok(MakerTurn::Published(Box::new(artifact)));
            }
            if since_lookup.is_none_or(|waited| waited >= LOOKUP_INTERVAL) {
                if let Some(folder) = self.claim(target)? {
                    return Ok(MakerTurn::Make(folder));
                }
                if since_lookup.is_none() {
                    let message = "Waiting for another export that makes the same files";
                    self.progress.begin(Stage::Export, message, 0);
                }
                since_lookup = Some(Duration::ZERO);
            }
            if self.progress.is_stopped() {
                return Err(JobError::Stopped);
            }
            self.runtime.block_on(clock::sleep(wait));
            since_lookup = since_lookup.map(|waited| waited + wait);
            wait = (wait * 3 / 2).min(LONGEST_WAIT);
        }
    }

    /// Claims the making of the artifact; the folder to write to, or `None` if another export makes it.
    fn claim(&self, target: &ArtifactFolder) -> Result<Option<NewFolder>, JobError> {
        let stored = target.read_maker()?;
        let held = stored.as_ref().and_then(parse);
        if let Some(held) = &held {
            if self.is_mine(held) {
                // an earlier write succeeded although its response was lost
                return Ok(Some(NewFolder { name: held.folder.clone(), left_over: None }));
            }
            if self.is_working(held) {
                return Ok(None);
            }
        }
        let folder = target.new_folder_name();
        let mine = MakerClaim { export_id: self.export.to_string(), process: self.process, folder };
        let content = serde_json::to_vec(&mine).unwrap_or_default();
        if !target.write_maker(content, stored.as_ref())? {
            return Ok(None);
        }
        let left_over = held.map(|held| {
            tracing::info!(maker = held.export_id, "an export ended before its artifact: making it again");
            held.folder
        });
        Ok(Some(NewFolder { name: mine.folder, left_over }))
    }

    /// Whether that process holds its export. It does if the store cannot tell.
    fn is_working(&self, held: &MakerClaim) -> bool {
        let Ok(export) = held.export_id.parse() else { return false };
        match self.runtime.block_on(self.exports.find(export)) {
            Ok(Some(export)) => is_held(export, held.process),
            Ok(None) => false,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    error,
                    maker = held.export_id,
                    "the export of an artifact's maker was not read"
                );
                true
            }
        }
    }

    /// Removes the claim, unless another export has taken it over.
    fn release(&self, target: &ArtifactFolder) {
        let held = target.read_maker().ok().flatten().as_ref().and_then(parse);
        if held.is_some_and(|held| self.is_mine(&held)) {
            target.remove_maker();
        }
    }

    fn is_mine(&self, held: &MakerClaim) -> bool {
        held.export_id == self.export.to_string() && held.process == self.process
    }
}

/// Whether that process works on the export.
fn is_held(export: Export, process: Option<ProcessId>) -> bool {
    let export = export.as_of(clock::now());
    export.status == Status::Running && export.claim.and_then(|claim| claim.process) == process
}

/// A claim that is not valid JSON counts as none.
fn parse(stored: &StoredFile) -> Option<MakerClaim> {
    serde_json::from_slice(&stored.content).ok()
}
