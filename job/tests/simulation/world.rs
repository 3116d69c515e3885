//! The service in a simulation: its store, its buckets, and the platform that runs its job.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use job::{Buckets, Context, Execution, HubSettings, JobMachine, Locations, PROGRESS_INTERVAL};
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory};
use secrecy::SecretString;
use serde_json::json;
use shared::{
    adapters::storage::Storage,
    clock,
    domain::{Claim, ExecutionName, ExportId, ProcessId},
    ports::{JobLauncher, LaunchError, PortError},
    testing::{MemoryStore, fixtures},
};
use tokio::sync::watch;

use crate::{
    buckets::ProcessBucket,
    schedule::{Fate, Schedule},
    store::{Connection, ProcessStore},
};

const BASE: &str = "google/gemma-3-micro";
/// How often Cloud Run runs a failed execution again.
const RETRIES: u32 = 3;
/// Of 1,000 executions, how many the platform stops.
const STOPS: u32 = 100;

/// All that is outside the processes.
pub(crate) struct World {
    pub(crate) schedule: Arc<Schedule>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) buckets: BTreeMap<&'static str, Arc<InMemory>>,
    executions: Mutex<BTreeMap<String, watch::Sender<bool>>>,
}

impl World {
    /// A base model, and completed training jobs of Ada with an adapter each.
    pub(crate) async fn new(schedule: Arc<Schedule>, jobs: &[String]) -> Arc<Self> {
        let buckets = ["models", "files", "base-models"].map(|name| (name, Arc::new(InMemory::new()))).into();
        let world = Self { schedule, store: Arc::default(), buckets, executions: Mutex::default() };
        world.put("base-models", BASE, "gemma3-micro/base").await;
        for job in jobs {
            world.put("models", &format!("adapters/{job}"), "gemma3-micro/adapter").await;
            let mut document = fixtures::training_job(fixtures::ADA);
            document["base_model_id"] = json!(BASE);
            document["artifacts"] = json!({"raw": {"adapter": format!("gs://models/adapters/{job}")}});
            world.store.put("training_jobs", job, document);
        }
        Arc::new(world)
    }

    async fn put(&self, bucket: &str, folder: &str, fixture: &str) {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/fixtures").join(fixture);
        for file in fs::read_dir(fixtures).unwrap().map(|entry| entry.unwrap().path()) {
            let name = file.file_name().unwrap().to_str().unwrap();
            let content = fs::read(&file).unwrap();
            self.buckets[bucket].put(&format!("{folder}/{name}").into(), content.into()).await.unwrap();
        }
    }

    /// The way of a new request to the systems outside.
    pub(crate) fn connect(&self) -> Connection {
        Connection::new(&self.schedule, self.schedule.begin(false))
    }

    pub(crate) fn store_of(&self, connection: &Connection) -> Arc<ProcessStore> {
        Arc::new(ProcessStore { connection: connection.clone(), store: Arc::clone(&self.store) })
    }

    fn job_context(&self, connection: &Connection) -> Context {
        let store = self.store_of(connection);
        let bucket = |bucket: &Arc<InMemory>| {
            let bucket = ProcessBucket { connection: connection.clone(), bucket: Arc::clone(bucket) };
            Arc::new(bucket) as Arc<dyn ObjectStore>
        };
        let buckets = self.buckets.iter().map(|(name, store)| ((*name).to_owned(), bucket(store)));
        Context {
            training_jobs: store.clone(),
            exports: store,
            token_key: None,
            locations: Locations {
                storage: Storage::replaced(buckets.collect()),
                buckets: Buckets { raw: "gs://models".to_owned(), files: "gs://files".to_owned() },
                base_models: Some("gs://base-models".to_owned()),
                hub: HubSettings::at("http://127.0.0.1:9"),
            },
            machine: JobMachine { verify_logits: Duration::ZERO, ..JobMachine::default() },
            progress_interval: PROGRESS_INTERVAL,
        }
    }

    /// Starts an execution of the job.
    fn start(self: &Arc<Self>, export: ExportId) -> ExecutionName {
        let mut executions = self.executions.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("execution-{}", executions.len());
        let (stop, is_stopped) = watch::channel(false);
        executions.insert(name.clone(), stop);
        let name = ExecutionName::new(name);
        tokio::spawn(Arc::clone(self).execute(export, name.clone(), is_stopped));
        name
    }

    /// An execution as Cloud Run runs it: again after it failed, unless it was cancelled.
    async fn execute(
        self: Arc<Self>,
        export: ExportId,
        name: ExecutionName,
        cancelled: watch::Receiver<bool>,
    ) {
        clock::sleep(self.schedule.pause(20)).await;
        for attempt in 0..=RETRIES {
            let connection = Connection::new(&self.schedule, self.schedule.begin(true));
            let claim = Claim { by: name.clone(), attempt, process: Some(ProcessId::random()) };
            let stop = self.stop(cancelled.clone());
            let run =
                job::run(self.job_context(&connection), Execution { export, claim, hf_token: None }, stop);
            let code = self.schedule.run(connection.process, run).await;
            let succeeded =
                code.is_some_and(|code| format!("{code:?}") == format!("{:?}", ExitCode::SUCCESS));
            if succeeded || *cancelled.borrow() {
                return;
            }
            clock::sleep(self.schedule.pause(30)).await;
        }
    }

    /// Resolves when the execution is cancelled, or the platform stops this process.
    async fn stop(&self, mut cancelled: watch::Receiver<bool>) {
        let stops = self.schedule.chance(STOPS).then(|| self.schedule.pause(20));
        tokio::select! {
            biased;
            _ = cancelled.wait_for(|cancelled| *cancelled) => {}
            () = async {
                match stops {
                    Some(after) => { tokio::spawn(clock::sleep(after)).await.ok(); }
                    None => std::future::pending().await,
                }
            } => {}
        }
    }
}

/// Cloud Run, as one process sees it.
pub(crate) struct ProcessLauncher {
    pub(crate) connection: Connection,
    pub(crate) world: Arc<World>,
}

#[async_trait]
impl JobLauncher for ProcessLauncher {
    async fn launch(&self, export: ExportId, _: Option<&SecretString>) -> Result<ExecutionName, LaunchError> {
        let fate = self.connection.schedule.call(self.connection.process, "launch", false).await;
        match fate {
            Fate::Succeeds => Ok(self.world.start(export)),
            Fate::HappensTwice => {
                self.world.start(export);
                Ok(self.world.start(export))
            }
            Fate::AnswerIsLost => {
                self.world.start(export);
                Err(LaunchError::Unknown("the connection was lost".into()))
            }
            Fate::RequestIsLost if self.connection.schedule.chance(500) => {
                Err(LaunchError::NotStarted("no such job".into()))
            }
            Fate::RequestIsLost | Fate::Died => Err(LaunchError::Unknown("the connection was lost".into())),
        }
    }

    async fn cancel(&self, execution: &ExecutionName) -> Result<(), PortError> {
        let cancel = || async {
            let executions = self.world.executions.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(stop) = executions.get(execution.as_str()) {
                stop.send_replace(true);
            }
            Ok(())
        };
        self.connection.call(("cancel execution", false), cancel).await
    }
}
