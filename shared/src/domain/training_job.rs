//! A fine-tuning job, as the Training Service writes it.

use jiff::Timestamp;

use super::{Artifacts, Error, JobId, Result, UserId};

/// A document of `training_jobs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainingJob {
    /// The document's id.
    pub id: JobId,
    /// What its owner called it.
    pub name: Option<String>,
    /// Who may export it; a job that names no owner can be exported by nobody.
    pub owner: Option<UserId>,
    /// The Training Service's own status; only [`TrainingJob::COMPLETED`] can be exported.
    pub status: String,
    /// Where the adapter is: `adapter_path`, else `artifacts.raw.adapter`. May hold a full fine-tune.
    pub adapter_path: Option<String>,
    /// The base model on the Hub, `owner/name`.
    pub base_model_id: Option<String>,
    /// `text` unless the document says otherwise.
    pub modality: String,
    /// What earlier exports made.
    pub artifacts: Artifacts,
    /// When it was created; orders the list.
    pub created_at: Option<Timestamp>,
}

impl TrainingJob {
    /// The status of a job that can be exported.
    pub const COMPLETED: &'static str = "completed";
    /// The modality of a job whose document names none.
    pub const DEFAULT_MODALITY: &'static str = "text";

    /// Whether `caller` owns this job.
    ///
    /// # Errors
    /// [`Error::NotOwner`], also when the job names no owner.
    pub fn owned_by(&self, caller: &UserId) -> Result<()> {
        if self.owner.as_ref() == Some(caller) { Ok(()) } else { Err(Error::NotOwner) }
    }

    /// Whether this job can be exported.
    ///
    /// # Errors
    /// [`Error::NotCompleted`] with the status it has.
    pub fn completed(&self) -> Result<()> {
        if self.status == Self::COMPLETED {
            Ok(())
        } else {
            Err(Error::NotCompleted { status: self.status.clone() })
        }
    }
}
