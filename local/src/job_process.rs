//! The export job as a process of the local stack: the code of production over SQLite and folders.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use job::{Buckets, Execution};
use secrecy::SecretString;
use shared::{
    adapters::storage::Storage,
    domain::{Claim, ExecutionName},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use crate::{data_dir::DataDir, store::Store};

/// The database is on this machine, so progress may be recorded often.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// How long a job whose stack is gone may take to notice and end by itself.
const ALONE: Duration = Duration::from_secs(3);

/// Runs the export that the environment names.
///
/// # Errors
/// When the environment is not the one that the launcher sets.
pub async fn run() -> anyhow::Result<ExitCode> {
    shared::telemetry::init_compact();
    let dir = DataDir::open(Path::new(&variable("LOCAL_DATA_DIR")?))?;
    let _lock = dir.lock_job()?;
    let stack_gone = watch_the_stack();
    let (context, execution) = (context(&dir)?, execution()?);
    let mut terminated = signal(SignalKind::terminate())?;
    let stop = async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = stack_gone => {}
        }
    };
    Ok(job::run(context, execution, stop).await)
}

fn context(dir: &DataDir) -> anyhow::Result<job::Context> {
    let store = Arc::new(Store::open(&dir.database()).context("cannot open the database")?);
    let bucket = |name: &str| -> anyhow::Result<String> {
        let folder: PathBuf = dir.buckets().join(variable(name)?);
        match url::Url::from_file_path(&folder) {
            Ok(url) => Ok(url.to_string()),
            Err(()) => bail!("{} cannot be written as a URL", folder.display()),
        }
    };
    Ok(job::Context {
        training_jobs: Arc::clone(&store) as _,
        exports: store,
        storage: Storage::folder(&dir.buckets())?,
        buckets: Buckets {
            raw: bucket("GCS_EXPORT_BUCKET_NAME")?,
            files: bucket("GCS_EXPORT_FILES_BUCKET_NAME")?,
        },
        base_models: Some(variable("BASE_MODELS_URI")?),
        progress_interval: PROGRESS_INTERVAL,
    })
}

fn execution() -> anyhow::Result<Execution> {
    Ok(Execution {
        export: variable("EXPORT_ID")?.parse().context("EXPORT_ID")?,
        claim: Claim {
            by: ExecutionName::new(variable("CLOUD_RUN_EXECUTION")?),
            attempt: variable("CLOUD_RUN_TASK_ATTEMPT")?.parse().context("CLOUD_RUN_TASK_ATTEMPT")?,
        },
        hf_token: std::env::var("HF_TOKEN").ok().map(SecretString::from),
    })
}

fn variable(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("{name} environment variable must be set"))
}

/// Resolves when the stack is gone: standard input is a pipe that it holds and never writes to. If the work does
/// not end soon after, the process does.
fn watch_the_stack() -> oneshot::Receiver<()> {
    let (gone, told) = oneshot::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while matches!(std::io::stdin().read(&mut buffer), Ok(1..)) {}
        gone.send(()).ok();
        std::thread::sleep(ALONE);
        leave();
    });
    told
}

#[expect(clippy::exit, reason = "the stack is gone and nothing may go on working in its name")]
fn leave() -> ! {
    std::process::exit(1)
}
