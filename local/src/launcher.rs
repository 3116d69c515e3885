//! Starts each export job as a process, as Cloud Run Jobs does in production, with the same environment variables and
//! no others. A process ends with its stack: its standard input is a pipe that the stack holds and never writes to, so
//! the process reads the end of the pipe when the stack has exited for any reason.

use std::{
    collections::HashMap,
    ffi::OsString,
    fs::File,
    os::unix::process::ExitStatusExt as _,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use secrecy::{ExposeSecret as _, SecretString};
use shared::{
    domain::{ExecutionName, ExportId, Failure, FailureCode},
    ports::{JobLauncher, LaunchError, PortError},
};
use tokio::{
    process::{Child, Command},
    sync::watch,
    time::timeout,
};

use crate::{
    data_dir::{Bucket, DataDir},
    recovery,
    store::DocumentStore,
};

/// How long jobs have to end when the stack stops, as long as on Cloud Run.
const GRACE: Duration = Duration::from_secs(10);

/// The variables of the stack's own environment that a job gets, as from the job's configuration on Cloud Run.
const PASSED_ON: [&str; 5] = ["HF_ENDPOINT", "RUST_LOG", "RUST_BACKTRACE", "SSL_CERT_FILE", "VERIFY_LOGITS"];

/// Starts processes and waits for their ends.
#[derive(Debug)]
pub(crate) struct ProcessLauncher {
    command: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
    dir: DataDir,
    store: DocumentStore,
    running: Mutex<HashMap<ExportId, Pid>>,
    count: watch::Sender<usize>,
    stopping: watch::Sender<bool>,
}

impl ProcessLauncher {
    /// A launcher of `command`, which is a program and its arguments.
    pub(crate) fn new(
        command: Vec<OsString>,
        project: &str,
        dir: DataDir,
        store: DocumentStore,
    ) -> anyhow::Result<Arc<Self>> {
        let mut environment: Vec<(&str, OsString)> = vec![
            ("PROJECT_ID", project.into()),
            ("GCS_EXPORT_BUCKET_NAME", dir.bucket_url(Bucket::Models)?.into()),
            ("GCS_EXPORT_FILES_BUCKET_NAME", dir.bucket_url(Bucket::Files)?.into()),
            ("BASE_MODELS_URI", dir.bucket_url(Bucket::BaseModels)?.into()),
            ("HF_HOME", dir.hub_cache().into()),
            ("LOCAL_DATA_DIR", dir.root().into()),
            ("CLOUD_RUN_JOB", "export-job".into()),
            ("CLOUD_RUN_TASK_INDEX", "0".into()),
            ("CLOUD_RUN_TASK_ATTEMPT", "0".into()),
        ];
        environment.extend(PASSED_ON.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))));
        Ok(Arc::new(Self {
            command,
            environment,
            dir,
            store,
            running: Mutex::default(),
            count: watch::Sender::new(0),
            stopping: watch::Sender::new(false),
        }))
    }

    /// Starts no more jobs, ends the running ones, and waits until their exports are recorded as failed.
    pub(crate) async fn stop(&self) {
        self.stopping.send_replace(true);
        self.signal(Signal::SIGTERM);
        let mut count = self.count.subscribe();
        if timeout(GRACE, count.wait_for(|count| *count == 0)).await.is_err() {
            self.signal(Signal::SIGKILL);
            count.wait_for(|count| *count == 0).await.ok();
        }
    }

    /// How many jobs are running.
    pub(crate) fn running_jobs(&self) -> usize {
        self.running().len()
    }

    fn signal(&self, signal: Signal) {
        for (export, group) in self.running().iter() {
            if let Err(error) = killpg(*group, signal) {
                tracing::warn!(%error, export.id = %export, "cannot signal an export job");
            }
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<ExportId, Pid>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self, export: ExportId, name: &str, hf_token: Option<&SecretString>) -> std::io::Result<Child> {
        let log = File::options().create(true).append(true).open(self.dir.export_log(export))?;
        let (program, arguments) = self.command.split_first().ok_or(std::io::ErrorKind::NotFound)?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("CLOUD_RUN_EXECUTION", name)
            .env("EXPORT_ID", export.to_string())
            .current_dir(self.dir.root())
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        if let Some(token) = hf_token {
            command.env("HF_TOKEN", token.expose_secret());
        }
        command.spawn()
    }

    /// Waits until a job's process has ended, and records a failure if the job has not recorded its own end.
    async fn reap(self: Arc<Self>, export: ExportId, mut child: Child) {
        let lifeline = child.stdin.take();
        let ended = child.wait().await;
        drop(lifeline);
        let why = if *self.stopping.borrow() {
            recovery::stack_stopped()
        } else {
            let message = format!(
                "The export job exited before it finished ({}). See its log, logs/{export}.log in the data folder of the \
                 stack, and start the export again.",
                ended.map_or_else(|error| error.to_string(), describe_exit),
            );
            Failure::new(FailureCode::Internal, message)
        };
        if let Err(error) = recovery::fail_export(&self.store, export, why).await {
            tracing::error!(error = &error as &dyn std::error::Error, export.id = %export, "cannot record the end of an export");
        }
        let mut running = self.running();
        running.remove(&export);
        self.count.send_replace(running.len());
    }
}

fn describe_exit(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => {
            let name =
                Signal::try_from(signal).map_or_else(|_| signal.to_string(), |signal| signal.to_string());
            format!("killed by {name}")
        }
        (None, None) => status.to_string(),
    }
}

fn execution_name(export: ExportId) -> String {
    let id = export.to_string();
    format!("export-job-{}", id.split('-').next().unwrap_or_default())
}

/// The port's implementation: a launcher whose tasks outlive the call.
#[derive(Debug, Clone)]
pub(crate) struct SharedLauncher(pub(crate) Arc<ProcessLauncher>);

#[async_trait]
impl JobLauncher for SharedLauncher {
    async fn launch(
        &self,
        export: ExportId,
        hf_token: Option<&SecretString>,
    ) -> Result<ExecutionName, LaunchError> {
        let launcher = &self.0;
        if *launcher.stopping.borrow() {
            return Err(LaunchError::NotStarted("the stack is stopping".into()));
        }
        let name = execution_name(export);
        let child = launcher
            .spawn(export, &name, hf_token)
            .map_err(|error| LaunchError::NotStarted(Box::new(error)))?;
        {
            let mut running = launcher.running();
            if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) {
                running.insert(export, Pid::from_raw(id));
            }
            launcher.count.send_replace(running.len());
        }
        tokio::spawn(Arc::clone(launcher).reap(export, child));
        Ok(ExecutionName::new(name))
    }

    async fn cancel(&self, execution: &ExecutionName) -> Result<(), PortError> {
        let running = self.0.running();
        let group = running.iter().find(|(export, _)| execution_name(**export) == execution.as_str());
        let Some((_, group)) = group else { return Ok(()) };
        killpg(*group, Signal::SIGTERM)
            .map_err(|error| PortError::Failed { what: "stopping an export job", source: error.into() })
    }
}

#[cfg(test)]
mod tests;
