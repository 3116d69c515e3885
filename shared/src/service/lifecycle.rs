//! What the export job says of its work: claim, progress, and the end.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::{
    domain::{Artifact, Claim, Export, ExportId, Progress, Refused, Status, Transition},
    ports::{ApplyError, Exports},
};

/// At most one progress write in this time: Firestore takes about one write a second to a document.
pub const REPORT_EVERY: Duration = Duration::from_secs(5);
/// Waits before the end is written again. After these the lease tells the truth anyway.
const RETRIES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(15)];

/// An export that this process holds.
pub struct Claimed {
    exports: Arc<dyn Exports>,
    id: ExportId,
    claim: Claim,
    reported: Mutex<Option<Instant>>,
}

/// Claims an export for this execution: nobody else works on it from now on.
///
/// # Errors
/// When another execution holds it, it has ended, its lease ran out, or the store does not work.
pub async fn claim(
    exports: Arc<dyn Exports>,
    id: ExportId,
    claim: Claim,
) -> Result<(Claimed, Export), ApplyError> {
    let export = exports.apply(id, &Transition::Claim(claim.clone())).await?;
    Ok((Claimed { exports, id, claim, reported: Mutex::default() }, export))
}

impl Claimed {
    /// Reports progress and renews the lease, unless it did so less than [`REPORT_EVERY`] ago. Call it at least
    /// once a minute, also when there is nothing new.
    ///
    /// # Errors
    /// [`ApplyError::Refused`] means that this process must stop: it does not hold the export any more. Other errors
    /// may pass.
    pub async fn report(&self, progress: Progress, message: &str) -> Result<(), ApplyError> {
        if !self.due() {
            return Ok(());
        }
        let claim = self.claim.clone();
        let transition = Transition::Progress { claim, progress, message: message.to_owned() };
        self.exports.apply(self.id, &transition).await.map(drop)
    }

    /// Ends the export as completed.
    ///
    /// # Errors
    /// When this process does not hold the export any more, or the store stays down.
    pub async fn complete(self, artifacts: Vec<Artifact>, message: &str) -> Result<(), ApplyError> {
        let claim = self.claim.clone();
        let transition = Transition::Complete { claim, artifacts, message: message.to_owned() };
        self.end(&transition, Status::Completed).await
    }

    /// Ends the export as failed, with a message that says what to do.
    ///
    /// # Errors
    /// When this process does not hold the export any more, or the store stays down.
    pub async fn fail(self, message: &str) -> Result<(), ApplyError> {
        let transition = Transition::Fail { claim: Some(self.claim.clone()), message: message.to_owned() };
        self.end(&transition, Status::Failed).await
    }

    fn due(&self) -> bool {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let due = reported.is_none_or(|last| last.elapsed() >= REPORT_EVERY);
        if due {
            *reported = Some(Instant::now());
        }
        due
    }

    /// The end is worth several tries. One whose answer was lost may have been written, and is refused the second
    /// time: then what is stored decides.
    async fn end(&self, transition: &Transition, status: Status) -> Result<(), ApplyError> {
        let mut waits = RETRIES.into_iter();
        let mut uncertain = false;
        loop {
            match self.exports.apply(self.id, transition).await {
                Ok(_) => return Ok(()),
                Err(ApplyError::Refused(Refused::Ended)) if uncertain && self.ended_as(status).await => {
                    return Ok(());
                }
                Err(ApplyError::Port(error)) => {
                    let Some(wait) = waits.next() else { return Err(error.into()) };
                    uncertain = true;
                    tracing::warn!(%error, export.id = %self.id, "the export's end is not written yet");
                    sleep(wait).await;
                }
                Err(refused @ (ApplyError::Refused(_) | ApplyError::NoSuchExport)) => return Err(refused),
            }
        }
    }

    async fn ended_as(&self, status: Status) -> bool {
        let stored = self.exports.find(self.id).await.ok().flatten();
        stored.is_some_and(|export| export.status == status && export.claim.as_ref() == Some(&self.claim))
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::{
        clock,
        domain::{JobId, Stage},
        ports::PortError,
        testing::{MemoryStore, fixtures},
    };

    async fn claimed(store: &Arc<MemoryStore>) -> Claimed {
        let export = fixtures::new_export(ExportId::random(), fixtures::JOB, clock::now());
        store.create(&export).await.unwrap();
        claim(Arc::clone(store) as _, export.id, fixtures::claim("run-1")).await.unwrap().0
    }

    async fn stored(store: &MemoryStore, id: ExportId) -> Export {
        Exports::find(store, id).await.unwrap().unwrap()
    }

    fn at(bytes_done: u64) -> Progress {
        Progress { stage: Stage::Export, bytes_done, bytes_total: 10 }
    }

    #[tokio::test(start_paused = true)]
    async fn progress_is_written_at_most_every_five_seconds() {
        let store = Arc::new(MemoryStore::default());
        let claimed = claimed(&store).await;
        for (wait, reported, expected) in [(0, 1, 1), (4, 2, 1), (1, 3, 3), (4, 4, 3), (2, 5, 5)] {
            tokio::time::advance(Duration::from_secs(wait)).await;
            claimed.report(at(reported), "Merging").await.unwrap();
            assert_eq!(stored(&store, claimed.id).await.progress.unwrap().bytes_done, expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_is_written_although_the_store_was_down() {
        let store = Arc::new(MemoryStore::default());
        for complete in [true, false] {
            let claimed = claimed(&store).await;
            let id = claimed.id;
            store.fail_next("apply", 3);
            if complete {
                claimed.complete(vec![fixtures::gguf()], "Done").await.unwrap();
                assert_eq!(stored(&store, id).await.artifacts, [fixtures::gguf()]);
            } else {
                claimed.fail("Broken").await.unwrap();
                assert_eq!(stored(&store, id).await.message.as_deref(), Some("Broken"));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_stays_down_is_an_error() {
        let store = Arc::new(MemoryStore::default());
        let claimed = claimed(&store).await;
        store.fail_next("apply", 99);
        assert!(matches!(claimed.fail("Broken").await, Err(ApplyError::Port(_))));
    }

    #[tokio::test]
    async fn who_lost_the_claim_is_told_to_stop() {
        let store = Arc::new(MemoryStore::default());
        let first = claimed(&store).await;
        let retry = Claim { attempt: 1, ..fixtures::claim("run-1") };
        claim(Arc::clone(&store) as _, first.id, retry).await.unwrap();
        let result = first.report(at(1), "Merging").await;
        assert!(matches!(result, Err(ApplyError::Refused(Refused::ClaimedByAnother))), "{result:?}");
    }

    /// Does what it is asked, and loses the first answer.
    struct LosesAnAnswer(Arc<MemoryStore>, std::sync::atomic::AtomicBool);

    #[async_trait]
    impl Exports for LosesAnAnswer {
        async fn create(&self, export: &Export) -> Result<(), PortError> {
            self.0.create(export).await
        }

        async fn find(&self, id: ExportId) -> Result<Option<Export>, PortError> {
            Exports::find(&*self.0, id).await
        }

        async fn latest(&self, job: &JobId) -> Result<Option<Export>, PortError> {
            self.0.latest(job).await
        }

        async fn apply(&self, id: ExportId, transition: &Transition) -> Result<Export, ApplyError> {
            let answer = self.0.apply(id, transition).await?;
            if self.1.swap(true, std::sync::atomic::Ordering::Relaxed) {
                return Ok(answer);
            }
            Err(PortError::Unavailable { what: "the store", source: "deadline".into() }.into())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_whose_answer_was_lost_is_an_end() {
        let store = Arc::new(MemoryStore::default());
        let claimed = claimed(&store).await;
        let id = claimed.id;
        let flaky = Claimed { exports: Arc::new(LosesAnAnswer(Arc::clone(&store), false.into())), ..claimed };
        flaky.complete(vec![fixtures::gguf()], "Done").await.unwrap();
        assert_eq!(stored(&store, id).await.status, Status::Completed);
    }
}
