//! The store as one process sees it: calls are scheduled, fail, or happen twice.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use shared::{
    clock,
    domain::{
        Artifact, CallerLimits, CallerQuotas, Export, ExportId, HistoryCursor, HistoryPage, JobId, PageSize,
        Stage, Status, TrainingJob, Transition, UserId,
    },
    ports::{ApplyError, CreateOutcome, ExportReader, Exports, PortError, TrainingJobs},
    testing::MemoryStore,
};

use crate::schedule::{Fate, ProcessNumber, Schedule};

/// The way of a process to a system outside.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) schedule: Arc<Schedule>,
    pub(crate) process: ProcessNumber,
    /// Whether the process has seen that its export runs, after the last file that it wrote.
    pub(crate) has_looked: Arc<AtomicBool>,
}

impl Connection {
    pub(crate) fn new(schedule: &Arc<Schedule>, process: ProcessNumber) -> Self {
        Self { schedule: Arc::clone(schedule), process, has_looked: Arc::default() }
    }

    /// Calls `effect`, which waits for nothing, as the schedule says.
    pub(crate) async fn call<T, E: From<Lost>, F: Future<Output = Result<T, E>>>(
        &self,
        (what, is_background): (&'static str, bool),
        effect: impl Fn() -> F + Send,
    ) -> Result<T, E> {
        let effect = || effect().now_or_never().unwrap_or_else(|| Err(Lost.into()));
        let fate = self.schedule.call(self.process, what, is_background).await;
        let _clock = self.schedule.with_clock_of(self.process);
        match fate {
            Fate::Succeeds => effect(),
            Fate::HappensTwice => {
                effect().ok();
                effect()
            }
            Fate::AnswerIsLost => {
                effect().ok();
                Err(Lost.into())
            }
            Fate::RequestIsLost | Fate::Died => Err(Lost.into()),
        }
    }
}

/// A call without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection was lost")]
pub(crate) struct Lost;

impl From<Lost> for PortError {
    fn from(lost: Lost) -> Self {
        Self::Unavailable { what: "the store", source: lost.into() }
    }
}

impl From<Lost> for ApplyError {
    fn from(lost: Lost) -> Self {
        PortError::from(lost).into()
    }
}

pub(crate) struct ProcessStore {
    pub(crate) connection: Connection,
    pub(crate) store: Arc<MemoryStore>,
}

#[async_trait]
impl TrainingJobs for ProcessStore {
    async fn find(&self, id: &JobId) -> Result<Option<TrainingJob>, PortError> {
        self.connection.call(("find job", false), || TrainingJobs::find(&*self.store, id)).await
    }

    async fn list_completed(&self, owner: &UserId) -> Result<Vec<TrainingJob>, PortError> {
        self.connection.call(("list jobs", false), || self.store.list_completed(owner)).await
    }

    async fn set_artifact(&self, id: &JobId, artifact: &Artifact) -> Result<(), PortError> {
        self.connection.call(("set artifact", false), || self.store.set_artifact(id, artifact)).await
    }
}

#[async_trait]
impl ExportReader for ProcessStore {
    async fn find(&self, id: ExportId) -> Result<Option<Export>, PortError> {
        let found =
            self.connection.call(("find export", false), || ExportReader::find(&*self.store, id)).await?;
        let runs = |export: &Export| export.clone().as_of(clock::now()).status == Status::Running;
        self.connection.has_looked.store(found.as_ref().is_some_and(runs), Ordering::Relaxed);
        Ok(found)
    }

    async fn latest(&self, job: &JobId) -> Result<Option<Export>, PortError> {
        self.connection.call(("latest", false), || self.store.latest(job)).await
    }

    async fn history(
        &self,
        job: &JobId,
        after: Option<HistoryCursor>,
        size: PageSize,
    ) -> Result<HistoryPage, PortError> {
        let history = || self.store.history(job, after, size);
        self.connection.call(("history", false), history).await
    }
}

#[async_trait]
impl Exports for ProcessStore {
    async fn create(&self, export: &Export, limits: CallerLimits) -> Result<CreateOutcome, PortError> {
        self.connection.call(("create", false), || self.store.create(export, limits)).await
    }

    async fn quotas(&self, user: &UserId, limits: CallerLimits) -> Result<CallerQuotas, PortError> {
        self.connection.call(("quotas", false), || self.store.quotas(user, limits)).await
    }

    async fn apply(&self, id: ExportId, transition: &Transition) -> Result<Export, ApplyError> {
        let (what, is_background) = match transition {
            Transition::Progress { progress, .. } => ("progress", progress.stage != Stage::Finish),
            Transition::Launched(_) => ("launched", false),
            Transition::Claim(_) => ("claim", false),
            Transition::Complete { .. } => ("complete", false),
            Transition::Fail { .. } => ("fail", false),
            Transition::Cancel => ("cancel", false),
        };
        self.connection.call((what, is_background), || self.store.apply(id, transition)).await
    }
}
