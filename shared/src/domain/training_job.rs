//! A fine-tuning job of the Training Service.

use jiff::Timestamp;

use super::{Artifacts, Error, JobId, Result, UserId};

/// A document of `training_jobs`.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingJob {
    /// The document id.
    pub id: JobId,
    /// The name that the owner gave the job.
    pub name: Option<String>,
    /// The user who may export it. A job without an owner cannot be exported.
    pub owner: Option<UserId>,
    /// The status set by the Training Service. Only [`TrainingJob::COMPLETED`] jobs can be exported.
    pub status: String,
    /// Location of the adapter: `adapter_path`, else `artifacts.raw.adapter`. Can contain a full fine-tune.
    pub adapter_path: Option<String>,
    /// The base model on the Hub, `owner/name`.
    pub base_model_id: Option<String>,
    /// The modality; default `text`.
    pub modality: String,
    /// The artifacts of earlier exports.
    pub artifacts: Artifacts,
    /// Creation time, by which lists are sorted.
    pub created_at: Option<Timestamp>,
}

impl TrainingJob {
    /// The status of a job that can be exported.
    pub const COMPLETED: &'static str = "completed";
    /// The modality of a job whose document has none.
    pub const DEFAULT_MODALITY: &'static str = "text";

    /// Checks that `caller` owns this job.
    ///
    /// # Errors
    /// [`Error::NotOwner`], also if the job has no owner.
    pub fn check_owner(&self, caller: &UserId) -> Result<()> {
        if self.owner.as_ref() == Some(caller) { Ok(()) } else { Err(Error::NotOwner) }
    }

    /// Checks that this job is completed.
    ///
    /// # Errors
    /// [`Error::NotCompleted`] with the current status.
    pub fn check_completed(&self) -> Result<()> {
        if self.status == Self::COMPLETED {
            Ok(())
        } else {
            Err(Error::NotCompleted { status: self.status.clone() })
        }
    }
}
