//! The binary `export-job`: one run of the Cloud Run job works on one export.

use std::{process::ExitCode, sync::Arc};

use job::{Context, PROGRESS_INTERVAL, config::Settings};
use shared::{
    adapters::{firestore::Firestore, kms::KmsKey, storage::Storage},
    config::{self, process},
    serve::{self, FatalError},
    telemetry,
};

#[tokio::main]
async fn main() -> Result<ExitCode, FatalError> {
    config::load_dotenv()?;
    telemetry::init(&process)?;
    let settings = Settings::from(&process)?;
    let store = Arc::new(Firestore::new(settings.documents));
    let storage = Storage::google(settings.locations.storage_emulator.as_deref());
    let token_key = config::KmsConfig::from(&process)?.map(|key| Arc::new(KmsKey::new(key)) as _);
    let context = Context {
        token_key,
        training_jobs: Arc::clone(&store) as _,
        exports: store,
        locations: settings.locations.within(storage),
        machine: settings.machine,
        progress_interval: PROGRESS_INTERVAL,
    };
    Ok(job::run(context, settings.execution, serve::shutdown_signal()?).await)
}
