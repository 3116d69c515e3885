//! The export job as a process of the local stack: the job's settings and code, over SQLite and folders.

use std::{io::Read as _, path::Path, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use job::config::Settings;
use shared::{
    adapters::storage::Storage,
    config::{process, required},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use crate::{data_dir::DataDir, logs, store::DocumentStore, token_key};

/// How often progress is recorded: often, because the database is on this machine.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// How long a job may take to end by itself after its stack has exited.
const EXIT_GRACE: Duration = Duration::from_secs(3);

/// Runs the export that `EXPORT_ID` names.
///
/// # Errors
/// If a variable that the launcher sets is missing or invalid.
pub(crate) async fn run() -> anyhow::Result<ExitCode> {
    logs::init(std::io::stdout);
    let dir = DataDir::open(Path::new(&required(&process, "LOCAL_DATA_DIR")?))?;
    let _lock = dir.lock_job()?;
    let stack_gone = wait_for_stack_exit();
    let settings = Settings::from(&process)?;
    let store = Arc::new(DocumentStore::open(&dir.database()).context("cannot open the database")?);
    let context = job::Context {
        training_jobs: Arc::clone(&store) as _,
        exports: store,
        token_key: Some(Arc::new(token_key::load_or_create(&dir)?)),
        locations: settings.locations.within(Storage::folder(&dir.buckets())?),
        machine: settings.machine,
        progress_interval: PROGRESS_INTERVAL,
    };
    let mut terminated = signal(SignalKind::terminate())?;
    let stop = async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = stack_gone => {}
        }
    };
    Ok(job::run(context, settings.execution, stop).await)
}

/// Resolves when the stack has exited, which closes the pipe at standard input. Exits the process if it is still
/// running some time later.
fn wait_for_stack_exit() -> oneshot::Receiver<()> {
    let (gone, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while matches!(std::io::stdin().read(&mut buffer), Ok(1..)) {}
        gone.send(()).ok();
        std::thread::sleep(EXIT_GRACE);
        exit_process();
    });
    receiver
}

#[expect(clippy::exit, reason = "an export job must not outlive its stack")]
fn exit_process() -> ! {
    std::process::exit(1)
}
