//! The binary of the function `plan`.

use std::sync::Arc;

use job::{
    Planner,
    config::{LocationSettings, job_machine},
};
use shared::{
    adapters::{firebase_keys, firestore::Firestore, storage::Storage},
    config::{self, process},
    serve::{self, FatalError},
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), FatalError> {
    config::load_dotenv()?;
    telemetry::init(&process)?;
    let locations = LocationSettings::from(&process)?;
    let storage = Storage::google(locations.storage_emulator.as_deref());
    let context = plan::Context {
        callers: firebase_keys::verifier(config::FirebaseConfig::from(&process)?),
        jobs: Arc::new(Firestore::new(config::FirestoreConfig::from(&process)?).connected_early()),
        planner: Arc::new(Planner::new(locations.within(storage), job_machine(&process)?)),
    };
    serve::run(plan::router(context), &process).await
}
