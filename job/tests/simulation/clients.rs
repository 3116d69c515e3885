//! Clients of the service: they start an export, repeat what had no answer, and follow it to its end.

use std::{num::NonZeroU16, sync::Arc, time::Duration};

use shared::{
    clock,
    domain::{
        ArtifactKind, CallerLimits, CreateExport, Error, Export, ExportId, FailureCode, Quantization, Result,
        Status,
    },
    service::{
        cancel::{self, CancelPorts},
        create::{self, CreatePorts, StartedExport},
        history::{self, HistoryPorts},
    },
    testing::fixtures,
};

use crate::{
    schedule::MAX_DRIFT,
    world::{ProcessLauncher, World},
};

/// The limits of each caller.
pub(crate) const LIMITS: CallerLimits = CallerLimits { running: 3, daily: 50 };
/// How often a request is repeated.
const TRIES: usize = 12;
/// The longest that an export is followed, in looks at it.
const LOOKS: usize = 600;
const BETWEEN_LOOKS: Duration = Duration::from_secs(10);

/// What a client saw at last.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// No request was answered with an export.
    NotStarted,
    /// It followed its export to this end.
    Ended(Box<Export>),
}

pub(crate) struct Client {
    world: Arc<World>,
    request: CreateExport,
    key: String,
    cancels: bool,
}

impl Client {
    /// A client with a random request of one of `jobs`.
    pub(crate) fn new(world: &Arc<World>, jobs: &[String], number: usize) -> Self {
        let schedule = &world.schedule;
        let (kind, quantizations) = match schedule.below(5) {
            0 => (ArtifactKind::Adapter, vec![]),
            1 => (ArtifactKind::Merged, vec![]),
            2 => (ArtifactKind::Gguf, vec![Quantization::Q4_0, Quantization::Q8_0]),
            _ => (ArtifactKind::Gguf, vec![Quantization::Q8_0]),
        };
        let job = &jobs[schedule.below(jobs.len())];
        let request = CreateExport { kind, quantizations, ..fixtures::request(job) };
        let cancels = schedule.chance(350);
        Self { world: Arc::clone(world), request, key: format!("key-{number}"), cancels }
    }

    /// Runs the client to its end.
    pub(crate) async fn run(self) -> Outcome {
        clock::sleep(self.world.schedule.pause(30)).await;
        let Some(id) = self.start().await else { return Outcome::NotStarted };
        if self.world.schedule.chance(300) {
            assert_eq!(self.start().await.unwrap_or(id), id, "a repeated request started another export");
        }
        let cancels = self.cancels.then(|| self.world.schedule.below(6));
        self.follow(id, cancels).await
    }

    async fn start(&self) -> Option<ExportId> {
        for _ in 0..TRIES {
            match self.post().await {
                Some(Ok(started)) => return Some(started.id),
                Some(Err(Error::TooManyExports(_))) => clock::sleep(Duration::from_secs(60)).await,
                None | Some(Err(Error::Internal(_))) => clock::sleep(Duration::from_secs(5)).await,
                Some(Err(error)) => panic!("{error:?}"),
            }
        }
        None
    }

    async fn post(&self) -> Option<Result<StartedExport>> {
        let connection = self.world.connect();
        let store = self.world.store_of(&connection);
        let launcher = ProcessLauncher { connection: connection.clone(), world: Arc::clone(&self.world) };
        let ports = CreatePorts {
            jobs: &*store,
            exports: &*store,
            launcher: &launcher,
            retention_days: NonZeroU16::new(30),
            limits: LIMITS,
        };
        let (user, key) = (fixtures::user(fixtures::ADA), self.key.parse().unwrap());
        let create = create::create(ports, &user, &self.request, Some(&key));
        self.world.schedule.run(connection.process, create).await
    }

    /// Looks at the export until it ends; cancels it after so many looks.
    async fn follow(&self, id: ExportId, cancels: Option<usize>) -> Outcome {
        let mut ended: Option<Export> = None;
        for look in 0..LOOKS {
            if cancels == Some(look) && self.cancel(id).await {
                let seen = self.get(id).await;
                let code =
                    seen.as_ref().and_then(|export| export.failure.as_ref()).map(|failure| failure.code);
                assert!(seen.is_none() || code == Some(FailureCode::Cancelled), "cancelled, but {seen:?}");
            }
            let asked_at = clock::now();
            if let Some(export) = self.get(id).await {
                if let Some(earlier) = &ended {
                    assert_eq!((earlier.status, &earlier.failure), (export.status, &export.failure));
                    return Outcome::Ended(Box::new(export));
                }
                if export.status == Status::Running {
                    let margin = MAX_DRIFT + MAX_DRIFT;
                    assert!(export.lease_until.unwrap() + margin >= asked_at, "runs past its lease");
                } else {
                    ended = Some(export);
                }
            }
            clock::sleep(BETWEEN_LOOKS).await;
        }
        panic!("export {id} never ended");
    }

    async fn get(&self, id: ExportId) -> Option<Export> {
        let connection = self.world.connect();
        let store = self.world.store_of(&connection);
        let ports = HistoryPorts { jobs: &*store, exports: &*store };
        let (user, job) = (fixtures::user(fixtures::ADA), &self.request.job_id);
        let get = async { history::find(ports, &user, job, id, clock::now()).await };
        match self.world.schedule.run(connection.process, get).await? {
            Ok(export) => Some(export),
            Err(Error::Internal(_)) => None,
            Err(error) => panic!("{error:?}"),
        }
    }

    /// Whether the service said that the export is cancelled.
    async fn cancel(&self, id: ExportId) -> bool {
        let connection = self.world.connect();
        let store = self.world.store_of(&connection);
        let launcher = ProcessLauncher { connection: connection.clone(), world: Arc::clone(&self.world) };
        let ports = CancelPorts { jobs: &*store, exports: &*store, launcher: &launcher };
        let (user, job) = (fixtures::user(fixtures::ADA), &self.request.job_id);
        let cancel = async { cancel::cancel(ports, &user, job, Some(id), clock::now()).await };
        match self.world.schedule.run(connection.process, cancel).await {
            Some(Ok(export)) => {
                assert_eq!(export.status, Status::Failed);
                true
            }
            None | Some(Err(Error::Ended(_) | Error::Finishing(_) | Error::Internal(_))) => false,
            Some(Err(error)) => panic!("{error:?}"),
        }
    }
}
