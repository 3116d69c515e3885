//! One export, and the one place where its state changes.
//!
//! `running → completed | failed`, never back. A running export holds a lease: who launched it, and then the job
//! that claimed it, must renew it. One whose lease ran out **is** failed, whatever its document still says, so
//! nothing can stay `running` for ever, not even when every process that knew of it is gone.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    Artifact, ArtifactKind, CreateExport, Destinations, ExecutionName, ExportId, HubRepo, JobId, ProcessId,
    Proof, Quantization, UserId,
};

/// How long a launched export may wait to be claimed by its job.
pub const LAUNCH_LEASE: SignedDuration = SignedDuration::from_mins(15);
/// How long a claimed export may be silent. The job writes at least once a minute.
pub const CLAIM_LEASE: SignedDuration = SignedDuration::from_mins(5);

/// The three values that clients know; anything finer has fields of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Launched, and nothing final has happened.
    Running,
    /// Every artifact is where it should be.
    Completed,
    /// It ended without.
    Failed,
}

/// What the job is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Waiting for the job to start.
    Queued,
    /// Finding and checking adapter and base model.
    Fetch,
    /// Merging, converting or packing, writing what comes out, and comparing its predictions where that is asked for.
    Export,
    /// Sending to the destinations what is not written there directly.
    Upload,
    /// Recording the artifacts.
    Finish,
}

/// How far the job is, in bytes of output. `bytes_total` is 0 while it is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Progress {
    /// The current stage.
    pub stage: Stage,
    /// Bytes of this stage done.
    pub bytes_done: u64,
    /// Bytes of this stage in all.
    pub bytes_total: u64,
}

/// Which execution works on an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The execution; a retry of the same execution may claim again.
    pub by: ExecutionName,
    /// Which attempt of that execution, from 0.
    pub attempt: u32,
    /// Which process; it may make its claim again, in case the answer to it was lost. `None` in documents of before
    /// there were such ids.
    pub process: Option<ProcessId>,
}

/// A document of `exports`.
#[derive(Debug, Clone, PartialEq)]
pub struct Export {
    /// The document's id.
    pub id: ExportId,
    /// The training job it exports.
    pub job_id: JobId,
    /// Who asked for it. Documents of the older service may lack it.
    pub user_id: Option<UserId>,
    /// What it makes.
    pub kind: ArtifactKind,
    /// Where it goes.
    pub destinations: Destinations,
    /// The repository on the Hub, if one was named.
    pub hf_repo: Option<HubRepo>,
    /// Whether that repository is to be private.
    pub hf_private: bool,
    /// The type of a GGUF's matrices.
    pub quantization: Option<Quantization>,
    /// Where it stands. Changed by [`Export::apply`] only.
    pub status: Status,
    /// What happened, for people.
    pub message: Option<String>,
    /// How far it is; `None` in documents of the older service.
    pub progress: Option<Progress>,
    /// What it made.
    pub artifacts: Vec<Artifact>,
    /// What it proved about that; `None` for adapters, which are only copied, and before its end.
    pub proof: Option<Proof>,
    /// The launcher's name for the execution.
    pub execution: Option<ExecutionName>,
    /// Who works on it.
    pub claim: Option<Claim>,
    /// Until when a running export counts as alive; `None` in documents of the older service.
    pub lease_until: Option<Timestamp>,
    /// When it was asked for.
    pub started_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// What a new export is made of.
#[derive(Debug)]
pub struct NewExport<'a> {
    /// Its id.
    pub id: ExportId,
    /// Who asks.
    pub user: &'a UserId,
    /// For what.
    pub request: &'a CreateExport,
}

/// Something that happens to a running export.
#[derive(Debug, Clone, PartialEq)]
pub enum Transition {
    /// The launcher answered with the execution's name.
    Launched(ExecutionName),
    /// A job starts to work on it.
    Claim(Claim),
    /// The job that claimed it got further. Renews the lease.
    Progress {
        /// Who reports.
        claim: Claim,
        /// How far it is.
        progress: Progress,
        /// What it does, for people.
        message: String,
    },
    /// The job that claimed it is done.
    Complete {
        /// Who reports.
        claim: Claim,
        /// What it made.
        artifacts: Vec<Artifact>,
        /// What it proved about that.
        proof: Option<Proof>,
        /// What it did, for people.
        message: String,
    },
    /// It ended without an artifact. `claim` is `None` when no job had claimed it.
    Fail {
        /// Who reports.
        claim: Option<Claim>,
        /// What went wrong and what to do, for people.
        message: String,
    },
}

/// Why a transition did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It has ended; nothing changes it any more.
    #[error("the export has ended already")]
    Ended,
    /// Its lease ran out, so everybody may take it for failed.
    #[error("the export's lease has run out")]
    LeaseExpired,
    /// Another execution, or a later attempt of this one, works on it.
    #[error("another execution works on the export")]
    ClaimedByAnother,
    /// It has not been claimed.
    #[error("the export has not been claimed")]
    NotClaimed,
}

impl Export {
    /// What callers see of a running export whose lease ran out.
    pub const LOST: &'static str =
        "The export was interrupted and nobody is working on it any more: start it again.";

    /// A new export, running from `now` on.
    #[must_use]
    pub fn new(new: &NewExport<'_>, now: Timestamp) -> Self {
        let NewExport { id, user, request } = *new;
        Self {
            id,
            job_id: request.job_id.clone(),
            user_id: Some(user.clone()),
            kind: request.kind,
            destinations: request.destinations.clone(),
            hf_repo: request.hf_repo.clone(),
            hf_private: request.hf_private,
            quantization: request.quantization,
            status: Status::Running,
            message: Some("Waiting for the export job to start".to_owned()),
            progress: Some(Progress { stage: Stage::Queued, bytes_done: 0, bytes_total: 0 }),
            artifacts: Vec::new(),
            proof: None,
            execution: None,
            claim: None,
            lease_until: Some(later(now, LAUNCH_LEASE)),
            started_at: now,
            updated_at: now,
            finished_at: None,
        }
    }

    /// This export as it is at `now`: failed when it was running and its lease ran out. A document of the older
    /// service has no lease and counts as alive for a day after its last change.
    #[must_use]
    pub fn at(mut self, now: Timestamp) -> Self {
        if self.status == Status::Running && self.lease_end() < now {
            self.status = Status::Failed;
            self.message = Some(Self::LOST.to_owned());
            self.finished_at = Some(self.lease_end());
        }
        self
    }

    fn lease_end(&self) -> Timestamp {
        let silent_for_a_day = || later(self.updated_at, SignedDuration::from_hours(24));
        self.lease_until.unwrap_or_else(silent_for_a_day)
    }

    /// This export after `transition` at `now`.
    ///
    /// # Errors
    /// [`Refused`] when the export's state does not allow it; nothing has changed then.
    pub fn apply(mut self, transition: &Transition, now: Timestamp) -> Result<Self, Refused> {
        if self.status != Status::Running {
            return Err(Refused::Ended);
        }
        let expired = self.lease_end() < now;
        match transition {
            // An export that nobody works on may still be put down as what it is.
            Transition::Fail { claim: None, message } if expired || self.claim.is_none() => {
                self.end(Status::Failed, message, now);
            }
            _ if expired => return Err(Refused::LeaseExpired),
            Transition::Launched(execution) => self.execution = Some(execution.clone()),
            Transition::Claim(claim) => self.claimed(claim, now)?,
            Transition::Progress { claim, progress, message } => {
                self.held_by(Some(claim))?;
                self.progress = Some(*progress);
                self.message = Some(message.clone());
                self.lease_until = Some(later(now, CLAIM_LEASE));
            }
            Transition::Complete { claim, artifacts, proof, message } => {
                self.held_by(Some(claim))?;
                self.artifacts.clone_from(artifacts);
                self.proof.clone_from(proof);
                self.end(Status::Completed, message, now);
            }
            Transition::Fail { claim, message } => {
                self.held_by(claim.as_ref())?;
                self.end(Status::Failed, message, now);
            }
        }
        self.updated_at = now;
        Ok(self)
    }

    fn claimed(&mut self, claim: &Claim, now: Timestamp) -> Result<(), Refused> {
        match &self.claim {
            Some(held) if held == claim && claim.process.is_some() => {}
            Some(held) if held.by != claim.by || held.attempt >= claim.attempt => {
                return Err(Refused::ClaimedByAnother);
            }
            Some(_) | None => {}
        }
        self.claim = Some(claim.clone());
        self.lease_until = Some(later(now, CLAIM_LEASE));
        self.message = Some("The export job has started".to_owned());
        Ok(())
    }

    fn held_by(&self, claim: Option<&Claim>) -> Result<(), Refused> {
        match (&self.claim, claim) {
            (None, _) => Err(Refused::NotClaimed),
            (held, claim) if held.as_ref() == claim => Ok(()),
            (Some(_), _) => Err(Refused::ClaimedByAnother),
        }
    }

    fn end(&mut self, status: Status, message: &str, now: Timestamp) {
        self.status = status;
        self.message = Some(message.to_owned());
        self.finished_at = Some(now);
        self.lease_until = None;
    }
}

/// Documents hold whatever somebody wrote, so this must not overflow.
fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
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
        Export::new(&NewExport { id: ExportId::random(), user: &user, request: &request }, at(0))
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
        let path = "gs://files/job-1/merged.zip".to_owned();
        let artifacts =
            vec![Artifact { kind: ArtifactKind::Merged, path, variant: crate::domain::Variant::File }];
        Transition::Complete { claim: claim(by, attempt), artifacts, proof: None, message: "Done".to_owned() }
    }

    fn fail(claim: Option<Claim>) -> Transition {
        Transition::Fail { claim, message: "It broke".to_owned() }
    }

    #[test]
    fn a_new_export_runs_under_the_lease_of_its_launch() {
        let export = running();
        assert_eq!((export.status, export.lease_until), (Status::Running, Some(at(900))));
        assert_eq!(export.clone().at(at(900)), export);
    }

    #[test]
    fn an_execution_may_claim_again_with_a_later_attempt_only() {
        let again = |by, attempt| claimed("run-1", 1).apply(&Transition::Claim(claim(by, attempt)), at(2));
        assert_eq!(again("run-1", 2).unwrap().claim, Some(claim("run-1", 2)));
        for (by, attempt) in [("run-1", 0), ("run-1", 1), ("run-2", 0), ("run-2", 9)] {
            assert_eq!(again(by, attempt), Err(Refused::ClaimedByAnother), "{by} {attempt}");
        }
    }

    #[test]
    fn a_process_whose_answer_was_lost_may_make_its_claim_again() {
        let [mine, twin] =
            [(); 2].map(|()| Claim { process: Some(ProcessId::random()), ..claim("run-1", 0) });
        let held = running().apply(&Transition::Claim(mine.clone()), at(1)).unwrap();
        let again = held.clone().apply(&Transition::Claim(mine.clone()), at(2)).unwrap();
        assert_eq!((&again.claim, again.lease_until), (&Some(mine.clone()), Some(at(302))));
        // the same attempt in another process, or in one that says nothing of itself
        for other in [twin, claim("run-1", 0)] {
            assert_eq!(held.clone().apply(&Transition::Claim(other), at(2)), Err(Refused::ClaimedByAnother));
        }
        let later = held.apply(&Transition::Claim(claim("run-1", 1)), at(2)).unwrap();
        assert_eq!(later.apply(&Transition::Claim(mine), at(3)), Err(Refused::ClaimedByAnother));
    }

    #[test]
    fn only_the_holder_of_the_claim_reports() {
        for report in [
            progress("run-2", 0),
            progress("run-1", 1),
            complete("run-2", 0),
            fail(Some(claim("run-2", 0))),
            fail(None),
        ] {
            assert_eq!(
                claimed("run-1", 0).apply(&report, at(2)),
                Err(Refused::ClaimedByAnother),
                "{report:?}"
            );
        }
        for report in [progress("run-1", 0), complete("run-1", 0), fail(Some(claim("run-1", 0)))] {
            assert_eq!(running().apply(&report, at(2)), Err(Refused::NotClaimed), "{report:?}");
            assert!(claimed("run-1", 0).apply(&report, at(2)).is_ok(), "{report:?}");
        }
    }

    #[test]
    fn progress_renews_the_lease() {
        let export = claimed("run-1", 0).apply(&progress("run-1", 0), at(100)).unwrap();
        assert_eq!(export.lease_until, Some(at(400)));
        assert_eq!(export.updated_at, at(100));
    }

    #[test]
    fn a_launch_that_failed_ends_what_nobody_claimed() {
        let export = running().apply(&fail(None), at(2)).unwrap();
        assert_eq!(
            (export.status, export.finished_at, export.lease_until),
            (Status::Failed, Some(at(2)), None)
        );
    }

    #[test]
    fn the_launchers_answer_may_come_after_the_claim() {
        let launched = Transition::Launched(ExecutionName::new("run-1"));
        let export = claimed("run-1", 0).apply(&launched, at(2)).unwrap();
        assert_eq!((export.execution.unwrap().as_str(), export.claim.unwrap().attempt), ("run-1", 0));
    }

    #[test]
    fn an_export_whose_lease_ran_out_is_failed_whatever_its_document_says() {
        let export = claimed("run-1", 0);
        let seen = export.clone().at(at(302));
        assert_eq!((seen.status, seen.finished_at), (Status::Failed, Some(at(301))));
        assert_eq!(seen.message.as_deref(), Some(Export::LOST));
        for late in [progress("run-1", 0), complete("run-1", 0), Transition::Claim(claim("run-1", 1))] {
            assert_eq!(export.clone().apply(&late, at(302)), Err(Refused::LeaseExpired), "{late:?}");
        }
        assert_eq!(export.apply(&fail(None), at(302)).unwrap().status, Status::Failed);
    }

    #[test]
    fn a_document_without_a_lease_is_alive_for_a_day() {
        let old = Export { lease_until: None, ..running() };
        assert_eq!(old.clone().at(at(86_400)).status, Status::Running);
        assert_eq!(old.at(at(86_401)).status, Status::Failed);
        let end_of_time = Export { lease_until: None, updated_at: Timestamp::MAX, ..running() };
        assert_eq!(end_of_time.at(at(0)).status, Status::Running);
    }

    fn any_transition() -> impl Strategy<Value = Transition> {
        let by = || (0..2_u32, 0..3_u32).prop_map(|(run, attempt)| claim(&format!("run-{run}"), attempt));
        prop_oneof![
            (0..2_u32).prop_map(|run| Transition::Launched(ExecutionName::new(format!("run-{run}")))),
            by().prop_map(Transition::Claim),
            by().prop_map(|c| progress(c.by.as_str(), c.attempt)),
            by().prop_map(|c| complete(c.by.as_str(), c.attempt)),
            proptest::option::of(by()).prop_map(fail),
        ]
    }

    proptest! {
        /// Whatever happens in whatever order: an end is an end, claims only ever move on within one execution,
        /// a running export has a lease, an ended one has none and knows when it ended.
        #[test]
        fn state_only_moves_forward(steps in proptest::collection::vec((any_transition(), 0..400_i64), 1..40)) {
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
                prop_assert_eq!(export.lease_until.is_some(), export.status == Status::Running);
                prop_assert_eq!(!export.artifacts.is_empty(), export.status == Status::Completed);
                let (id, job, started) = (export.id, &export.job_id, export.started_at);
                prop_assert_eq!((id, job, started), (before.id, &before.job_id, before.started_at));
            }
        }
    }
}
