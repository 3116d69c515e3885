//! An export and its state machine. [`Export::apply`] is the only function that changes the state.
//!
//! `running → completed | failed`, never back. A running export has a lease, which is set at the launch and renewed by
//! the job that claimed the export. An export whose lease has expired counts as failed, even if its document still says
//! `running`, so no export stays `running` forever, even if all processes that worked on it are gone.

use std::num::NonZeroU16;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    Artifact, ArtifactKind, CreateExport, Destinations, ExecutionName, ExportId, Failure, FailureCode,
    GgufKind, HubRepo, JobId, ProcessId, Proof, Quantization, UserId,
};

/// The lease of a launched export until its job claims it.
pub const LAUNCH_LEASE: SignedDuration = SignedDuration::from_mins(15);
/// The lease of a claimed export. The job renews it several times a minute.
pub const CLAIM_LEASE: SignedDuration = SignedDuration::from_mins(5);

/// The status of an export. Clients know only these three values; [`Stage`] has the details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The export is in progress.
    Running,
    /// All artifacts have been created.
    Completed,
    /// The export failed.
    Failed,
}

/// The current stage of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Waiting for the job to start.
    Queued,
    /// Finding and checking the adapter and the base model.
    Fetch,
    /// Merging, converting or packing, writing the result, and comparing its predictions if configured.
    Export,
    /// Uploading to destinations that are not written directly.
    Upload,
    /// Recording the artifacts. An export in this stage cannot be cancelled.
    Finish,
}

/// The progress of the job, in bytes of output. `bytes_total` is 0 while it is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Progress {
    /// The current stage.
    pub stage: Stage,
    /// Bytes written in this stage.
    pub bytes_done: u64,
    /// Total bytes of this stage.
    pub bytes_total: u64,
}

impl Progress {
    fn is_continued_by(self, next: Self) -> bool {
        let Self { stage, bytes_done, bytes_total } = self;
        next.stage == stage && next.bytes_total == bytes_total && next.bytes_done >= bytes_done
    }
}

/// The execution that processes an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The execution. A retry of the same execution can claim the export again.
    pub by: ExecutionName,
    /// The attempt of that execution, from 0.
    pub attempt: u32,
    /// The process, which can repeat its claim if the response was lost. `None` in documents that older versions wrote.
    pub process: Option<ProcessId>,
}

/// A document of `exports`.
#[derive(Debug, Clone, PartialEq)]
pub struct Export {
    /// The document id.
    pub id: ExportId,
    /// The training job that is exported.
    pub job_id: JobId,
    /// The user who requested it. Documents of the older service may lack it.
    pub user_id: Option<UserId>,
    /// The artifact type.
    pub kind: ArtifactKind,
    /// The destinations.
    pub destinations: Destinations,
    /// The repository on the Hub, if requested.
    pub hf_repo: Option<HubRepo>,
    /// Whether that repository must be private.
    pub hf_private: bool,
    /// The quantization types of a GGUF; empty for other types, and with `max_bytes`.
    pub quantizations: Vec<Quantization>,
    /// What a GGUF has; [`GgufKind::Model`] for other types, and in documents that older versions wrote.
    pub gguf_kind: GgufKind,
    /// The URL of an importance matrix for a GGUF, if requested.
    pub imatrix: Option<String>,
    /// The URL of the prompts with which survival is measured, if requested.
    pub prompts_uri: Option<String>,
    /// The size for which the types of a GGUF are chosen by tensor, if requested.
    pub max_bytes: Option<u64>,
    /// The URL of the text that an importance matrix is computed from, if requested.
    pub calibration_uri: Option<String>,
    /// The status. Only [`Export::apply`] changes it.
    pub status: Status,
    /// The latest event, for people.
    pub message: Option<String>,
    /// Why it failed; `None` for other states, and in documents that older versions wrote.
    pub failure: Option<Failure>,
    /// The progress; `None` in documents of the older service.
    pub progress: Option<Progress>,
    /// When the job began the step that the progress is of: a stage, or the writing of one of several files.
    pub step_started_at: Option<Timestamp>,
    /// The created artifacts.
    pub artifacts: Vec<Artifact>,
    /// Summary of the report; `None` until completion, and for adapters, which are only copied.
    pub proof: Option<Proof>,
    /// [`request_hash`](super::request_hash) of the request, if it came with an idempotency key.
    pub request_hash: Option<String>,
    /// The name that the launcher gave the execution.
    pub execution: Option<ExecutionName>,
    /// The execution that processes it.
    pub claim: Option<Claim>,
    /// When the lease of a running export expires; `None` in documents of the older service.
    pub lease_until: Option<Timestamp>,
    /// When it was requested.
    pub started_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How many days after its end the document is kept; `None` if it is never deleted.
    pub retention_days: Option<NonZeroU16>,
    /// When Firestore may delete the document; `None` while the export runs.
    pub expire_at: Option<Timestamp>,
}

/// The data of a new export.
#[derive(Debug)]
pub struct NewExport<'a> {
    /// The id.
    pub id: ExportId,
    /// The user who requests it.
    pub user: &'a UserId,
    /// The validated request.
    pub request: &'a CreateExport,
    /// The hash of the request, if it came with an idempotency key.
    pub request_hash: Option<String>,
    /// How many days after its end its document is kept; `None` if it is never deleted.
    pub retention_days: Option<NonZeroU16>,
}

/// A change of a running export.
#[derive(Debug, Clone, PartialEq)]
pub enum Transition {
    /// The launcher returned the name of the execution.
    Launched(ExecutionName),
    /// A job claims the export.
    Claim(Claim),
    /// The claiming job reports progress. Renews the lease.
    Progress {
        /// The claim of the reporting job.
        claim: Claim,
        /// The progress.
        progress: Progress,
        /// The current step, for people.
        message: String,
    },
    /// The claiming job has created all artifacts.
    Complete {
        /// The claim of the reporting job.
        claim: Claim,
        /// The created artifacts.
        artifacts: Vec<Artifact>,
        /// Summary of the report.
        proof: Option<Box<Proof>>,
        /// The result, for people.
        message: String,
    },
    /// The export failed. `claim` is `None` if no job has claimed it.
    Fail {
        /// The claim of the reporting job.
        claim: Option<Claim>,
        /// Why it failed.
        failure: Failure,
    },
    /// The caller cancels the export.
    Cancel,
}

/// Why a transition was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransitionError {
    /// The export is completed or failed.
    #[error("the export has ended already")]
    Ended,
    /// The lease has expired, so the export counts as failed.
    #[error("the export's lease has run out")]
    LeaseExpired,
    /// Another execution, or a later attempt of the same execution, holds the claim.
    #[error("another execution has claimed the export")]
    ClaimedByAnother,
    /// No job has claimed the export.
    #[error("the export has not been claimed")]
    NotClaimed,
    /// Its artifacts are being recorded, so it cannot be cancelled.
    #[error("the export is about to be completed")]
    Finishing,
}

impl Export {
    /// The failure of an export whose lease expired.
    #[must_use]
    pub fn lease_expired() -> Failure {
        Failure::new(FailureCode::Interrupted, "The export job was interrupted: start the export again.")
    }

    /// The failure of an export that its caller cancelled.
    #[must_use]
    pub fn cancelled() -> Failure {
        Failure::new(FailureCode::Cancelled, "The export was cancelled.")
    }

    /// A new export, which is running and started at `now`.
    #[must_use]
    pub fn new(new: &NewExport<'_>, now: Timestamp) -> Self {
        let NewExport { id, user, request, request_hash, retention_days } = new;
        Self {
            id: *id,
            job_id: request.job_id.clone(),
            user_id: Some((*user).clone()),
            kind: request.kind,
            destinations: request.destinations.clone(),
            hf_repo: request.hf_repo.clone(),
            hf_private: request.hf_private,
            quantizations: request.quantizations.clone(),
            gguf_kind: request.gguf_kind,
            imatrix: request.imatrix.clone(),
            prompts_uri: request.prompts_uri.clone(),
            max_bytes: request.max_bytes,
            calibration_uri: request.calibration_uri.clone(),
            status: Status::Running,
            message: Some("Waiting for the export job to start".to_owned()),
            failure: None,
            progress: Some(Progress { stage: Stage::Queued, bytes_done: 0, bytes_total: 0 }),
            step_started_at: None,
            artifacts: Vec::new(),
            proof: None,
            request_hash: request_hash.clone(),
            execution: None,
            claim: None,
            lease_until: Some(saturating_add(now, LAUNCH_LEASE)),
            started_at: now,
            updated_at: now,
            finished_at: None,
            retention_days: *retention_days,
            expire_at: None,
        }
    }

    /// This export as of `now`: failed if it was running and its lease has expired. A document of the older service
    /// has no lease and expires a day after its last change.
    #[must_use]
    pub fn as_of(mut self, now: Timestamp) -> Self {
        if self.status == Status::Running && self.lease_end() < now {
            let expired_at = self.lease_end();
            self.fail(&Self::lease_expired(), expired_at);
        }
        self
    }

    /// How many seconds the current step still takes at its speed so far. `None` while that is unknown.
    #[must_use]
    pub fn eta_seconds(&self) -> Option<u64> {
        let Progress { bytes_done, bytes_total, .. } =
            self.progress.filter(|_| self.status == Status::Running)?;
        let elapsed = self.updated_at.duration_since(self.step_started_at?).as_secs_f64();
        let left = bytes_total.checked_sub(bytes_done)?;
        (bytes_done > 0 && elapsed > 0.0).then(|| (elapsed * left as f64 / bytes_done as f64).ceil() as u64)
    }

    fn lease_end(&self) -> Timestamp {
        let a_day_after_update = || saturating_add(self.updated_at, SignedDuration::from_hours(24));
        self.lease_until.unwrap_or_else(a_day_after_update)
    }

    /// Applies `transition` at `now`.
    ///
    /// # Errors
    /// [`TransitionError`] if the export's state does not allow it.
    pub fn apply(mut self, transition: &Transition, now: Timestamp) -> Result<Self, TransitionError> {
        if self.status != Status::Running {
            return Err(TransitionError::Ended);
        }
        let expired = self.lease_end() < now;
        match transition {
            // An unclaimed or expired export can still be marked as failed.
            Transition::Fail { claim: None, failure } if expired || self.claim.is_none() => {
                self.fail(failure, now);
            }
            _ if expired => return Err(TransitionError::LeaseExpired),
            Transition::Cancel if self.is_finishing() => return Err(TransitionError::Finishing),
            Transition::Cancel => self.fail(&Self::cancelled(), now),
            Transition::Launched(execution) => self.execution = Some(execution.clone()),
            Transition::Claim(claim) => self.accept_claim(claim, now)?,
            Transition::Progress { claim, progress, message } => {
                self.check_claim(Some(claim))?;
                if !self.progress.is_some_and(|before| before.is_continued_by(*progress)) {
                    self.step_started_at = Some(now);
                }
                self.progress = Some(*progress);
                self.message = Some(message.clone());
                self.lease_until = Some(saturating_add(now, CLAIM_LEASE));
            }
            Transition::Complete { claim, artifacts, proof, message } => {
                self.check_claim(Some(claim))?;
                self.artifacts.clone_from(artifacts);
                self.proof = proof.as_deref().cloned();
                self.finish(Status::Completed, message, now);
            }
            Transition::Fail { claim, failure } => {
                self.check_claim(claim.as_ref())?;
                self.fail(failure, now);
            }
        }
        self.updated_at = now;
        Ok(self)
    }

    fn is_finishing(&self) -> bool {
        self.progress.is_some_and(|progress| progress.stage == Stage::Finish)
    }

    fn accept_claim(&mut self, claim: &Claim, now: Timestamp) -> Result<(), TransitionError> {
        match &self.claim {
            Some(held) if held == claim && claim.process.is_some() => {}
            Some(held) if held.by != claim.by || held.attempt >= claim.attempt => {
                return Err(TransitionError::ClaimedByAnother);
            }
            Some(_) | None => {}
        }
        self.claim = Some(claim.clone());
        self.lease_until = Some(saturating_add(now, CLAIM_LEASE));
        self.message = Some("The export job has started".to_owned());
        Ok(())
    }

    fn check_claim(&self, claim: Option<&Claim>) -> Result<(), TransitionError> {
        match (&self.claim, claim) {
            (None, _) => Err(TransitionError::NotClaimed),
            (held, claim) if held.as_ref() == claim => Ok(()),
            (Some(_), _) => Err(TransitionError::ClaimedByAnother),
        }
    }

    fn fail(&mut self, failure: &Failure, at: Timestamp) {
        self.failure = Some(failure.clone());
        self.finish(Status::Failed, &failure.message, at);
    }

    fn finish(&mut self, status: Status, message: &str, now: Timestamp) {
        self.status = status;
        self.message = Some(message.to_owned());
        self.finished_at = Some(now);
        self.expire_at = self
            .retention_days
            .map(|days| saturating_add(now, SignedDuration::from_hours(24 * i64::from(days.get()))));
        self.lease_until = None;
    }
}

/// Times in documents come from other services, so the addition must not overflow.
fn saturating_add(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::RawCreateExport;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn running() -> Export {
        let raw: RawCreateExport =
            serde_json::from_str(r#"{"job_id":"job-1","export_type":"merged"}"#).unwrap();
        let request = raw.try_into().unwrap();
        let user = "ada".parse().unwrap();
        Export::new(
            &NewExport {
                id: ExportId::random(),
                user: &user,
                request: &request,
                request_hash: None,
                retention_days: NonZeroU16::new(30),
            },
            at(0),
        )
    }

    fn claim(by: &str, attempt: u32) -> Claim {
        Claim { by: ExecutionName::new(by), attempt, process: None }
    }

    fn claimed(by: &str, attempt: u32) -> Export {
        running().apply(&Transition::Claim(claim(by, attempt)), at(1)).unwrap()
    }

    fn progress(by: &str, attempt: u32) -> Transition {
        let progress = Progress { stage: Stage::Export, bytes_done: 1, bytes_total: 2 };
        Transition::Progress { claim: claim(by, attempt), progress, message: "Merging".to_owned() }
    }

    fn complete(by: &str, attempt: u32) -> Transition {
        let path = "gs://files/job-1/merged.zip";
        let artifacts = vec![Artifact::new(ArtifactKind::Merged, crate::domain::Variant::File, path)];
        Transition::Complete { claim: claim(by, attempt), artifacts, proof: None, message: "Done".to_owned() }
    }

    fn fail(claim: Option<Claim>) -> Transition {
        Transition::Fail { claim, failure: Failure::new(FailureCode::NotFound, "It failed") }
    }

    #[test]
    fn a_new_export_is_running_with_the_launch_lease() {
        let export = running();
        assert_eq!((export.status, export.lease_until), (Status::Running, Some(at(900))));
        assert_eq!(export.clone().as_of(at(900)), export);
    }

    #[test]
    fn an_execution_can_claim_again_only_with_a_later_attempt() {
        let again = |by, attempt| claimed("run-1", 1).apply(&Transition::Claim(claim(by, attempt)), at(2));
        assert_eq!(again("run-1", 2).unwrap().claim, Some(claim("run-1", 2)));
        for (by, attempt) in [("run-1", 0), ("run-1", 1), ("run-2", 0), ("run-2", 9)] {
            assert_eq!(again(by, attempt), Err(TransitionError::ClaimedByAnother), "{by} {attempt}");
        }
    }

    #[test]
    fn a_process_can_repeat_its_claim() {
        let [mine, twin] =
            [(); 2].map(|()| Claim { process: Some(ProcessId::random()), ..claim("run-1", 0) });
        let held = running().apply(&Transition::Claim(mine.clone()), at(1)).unwrap();
        let again = held.clone().apply(&Transition::Claim(mine.clone()), at(2)).unwrap();
        assert_eq!((&again.claim, again.lease_until), (&Some(mine.clone()), Some(at(302))));
        // The same attempt, from another process or without a process id.
        for other in [twin, claim("run-1", 0)] {
            assert_eq!(
                held.clone().apply(&Transition::Claim(other), at(2)),
                Err(TransitionError::ClaimedByAnother)
            );
        }
        let later = held.apply(&Transition::Claim(claim("run-1", 1)), at(2)).unwrap();
        assert_eq!(later.apply(&Transition::Claim(mine), at(3)), Err(TransitionError::ClaimedByAnother));
    }

    #[test]
    fn only_the_claiming_job_can_report() {
        for report in [
            progress("run-2", 0),
            progress("run-1", 1),
            complete("run-2", 0),
            fail(Some(claim("run-2", 0))),
            fail(None),
        ] {
            assert_eq!(
                claimed("run-1", 0).apply(&report, at(2)),
                Err(TransitionError::ClaimedByAnother),
                "{report:?}"
            );
        }
        for report in [progress("run-1", 0), complete("run-1", 0), fail(Some(claim("run-1", 0)))] {
            assert_eq!(running().apply(&report, at(2)), Err(TransitionError::NotClaimed), "{report:?}");
            assert!(claimed("run-1", 0).apply(&report, at(2)).is_ok(), "{report:?}");
        }
    }

    #[test]
    fn the_time_left_follows_from_the_speed_of_the_step() {
        let report = |stage, bytes_done, bytes_total| Transition::Progress {
            claim: claim("run-1", 0),
            progress: Progress { stage, bytes_done, bytes_total },
            message: "Writing".to_owned(),
        };
        let mut export = claimed("run-1", 0);
        assert_eq!(export.eta_seconds(), None);
        for (at_second, stage, done, total, eta) in [
            (10, Stage::Fetch, 0, 0, None),
            (20, Stage::Export, 0, 100, None),
            (30, Stage::Export, 25, 100, Some(30)),
            (40, Stage::Export, 50, 100, Some(20)),
            (50, Stage::Export, 0, 300, None),
            (60, Stage::Export, 100, 300, Some(20)),
            (70, Stage::Upload, 100, 300, None),
            (71, Stage::Upload, 400, 300, None),
        ] {
            export = export.apply(&report(stage, done, total), at(at_second)).unwrap();
            assert_eq!(export.eta_seconds(), eta, "after {at_second} s");
        }
        let ended = export.apply(&complete("run-1", 0), at(80)).unwrap();
        assert_eq!(ended.eta_seconds(), None);
    }

    #[test]
    fn progress_renews_the_lease() {
        let export = claimed("run-1", 0).apply(&progress("run-1", 0), at(100)).unwrap();
        assert_eq!(export.lease_until, Some(at(400)));
        assert_eq!(export.updated_at, at(100));
    }

    #[test]
    fn an_unclaimed_export_can_fail_without_a_claim() {
        let export = running().apply(&fail(None), at(2)).unwrap();
        assert_eq!(
            (export.status, export.finished_at, export.lease_until),
            (Status::Failed, Some(at(2)), None)
        );
    }

    #[test]
    fn a_running_export_can_be_cancelled_until_its_artifacts_are_recorded() {
        for export in [running(), claimed("run-1", 0)] {
            let cancelled = export.apply(&Transition::Cancel, at(2)).unwrap();
            assert_eq!((cancelled.status, cancelled.finished_at), (Status::Failed, Some(at(2))));
            assert_eq!(cancelled.failure, Some(Export::cancelled()));
            for late in [progress("run-1", 0), complete("run-1", 0), Transition::Cancel] {
                assert_eq!(cancelled.clone().apply(&late, at(3)), Err(TransitionError::Ended), "{late:?}");
            }
        }
        let finish = Progress { stage: Stage::Finish, bytes_done: 0, bytes_total: 0 };
        let message = "Recording the artifacts".to_owned();
        let finish = Transition::Progress { claim: claim("run-1", 0), progress: finish, message };
        let finishing = claimed("run-1", 0).apply(&finish, at(2)).unwrap();
        assert_eq!(finishing.clone().apply(&Transition::Cancel, at(3)), Err(TransitionError::Finishing));
        assert!(finishing.apply(&complete("run-1", 0), at(3)).is_ok());
        assert_eq!(
            claimed("run-1", 0).apply(&Transition::Cancel, at(302)),
            Err(TransitionError::LeaseExpired)
        );
    }

    #[test]
    fn the_execution_name_can_arrive_after_the_claim() {
        let launched = Transition::Launched(ExecutionName::new("run-1"));
        let export = claimed("run-1", 0).apply(&launched, at(2)).unwrap();
        assert_eq!((export.execution.unwrap().as_str(), export.claim.unwrap().attempt), ("run-1", 0));
    }

    #[test]
    fn a_running_export_with_an_expired_lease_counts_as_failed() {
        let export = claimed("run-1", 0);
        let seen = export.clone().as_of(at(302));
        assert_eq!((seen.status, seen.finished_at), (Status::Failed, Some(at(301))));
        assert_eq!(seen.message, Some(Export::lease_expired().message));
        assert_eq!(seen.failure, Some(Export::lease_expired()));
        for late in [progress("run-1", 0), complete("run-1", 0), Transition::Claim(claim("run-1", 1))] {
            assert_eq!(export.clone().apply(&late, at(302)), Err(TransitionError::LeaseExpired), "{late:?}");
        }
        assert_eq!(export.apply(&fail(None), at(302)).unwrap().status, Status::Failed);
    }

    #[test]
    fn a_document_without_a_lease_expires_after_a_day() {
        let old = Export { lease_until: None, ..running() };
        assert_eq!(old.clone().as_of(at(86_400)).status, Status::Running);
        assert_eq!(old.as_of(at(86_401)).status, Status::Failed);
        let max_time = Export { lease_until: None, updated_at: Timestamp::MAX, ..running() };
        assert_eq!(max_time.as_of(at(0)).status, Status::Running);
    }

    fn any_transition() -> impl Strategy<Value = Transition> {
        let by = || (0..2_u32, 0..3_u32).prop_map(|(run, attempt)| claim(&format!("run-{run}"), attempt));
        prop_oneof![
            (0..2_u32).prop_map(|run| Transition::Launched(ExecutionName::new(format!("run-{run}")))),
            by().prop_map(Transition::Claim),
            by().prop_map(|c| progress(c.by.as_str(), c.attempt)),
            by().prop_map(|c| complete(c.by.as_str(), c.attempt)),
            proptest::option::of(by()).prop_map(fail),
            Just(Transition::Cancel),
        ]
    }

    proptest! {
        /// For any sequence of transitions: a final status stays, a claim only changes to a later attempt of the same
        /// execution, a running export has a lease, and a finished one has no lease, a finish time and an expiry.
        #[test]
        fn the_state_machine_keeps_its_invariants(steps in proptest::collection::vec((any_transition(), 0..400_i64), 1..40)) {
            let (mut export, mut now) = (running(), 0);
            for (transition, wait) in steps {
                now += wait;
                let before = export.clone();
                if let Ok(after) = export.clone().apply(&transition, at(now)) {
                    export = after;
                    prop_assert_eq!(before.status, Status::Running);
                    prop_assert_eq!(export.updated_at, at(now));
                    if let Some(held) = &before.claim {
                        let holder = export.claim.as_ref().unwrap();
                        prop_assert_eq!(&holder.by, &held.by);
                        prop_assert!(holder.attempt >= held.attempt);
                    }
                }
                prop_assert_eq!(export.finished_at.is_some(), export.status != Status::Running);
                let a_month_later = export.finished_at.map(|end| end + SignedDuration::from_hours(30 * 24));
                prop_assert_eq!(export.expire_at, a_month_later);
                prop_assert_eq!(export.lease_until.is_some(), export.status == Status::Running);
                prop_assert_eq!(export.failure.is_some(), export.status == Status::Failed);
                prop_assert_eq!(!export.artifacts.is_empty(), export.status == Status::Completed);
                let (id, job, started) = (export.id, &export.job_id, export.started_at);
                prop_assert_eq!((id, job, started), (before.id, &before.job_id, before.started_at));
            }
        }
    }
}
