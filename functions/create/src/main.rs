//! The binary of the function `create`.

use std::sync::Arc;

use shared::{
    adapters::{cloud_run::CloudRunJobs, firebase_keys, firestore::Firestore, list_service},
    config::{self, process},
    serve::{self, FatalError},
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), FatalError> {
    config::load_dotenv()?;
    telemetry::init(&process)?;
    let store = Arc::new(Firestore::new(config::FirestoreConfig::from(&process)?));
    let context = create::Context {
        callers: firebase_keys::verifier(config::FirebaseConfig::from(&process)?),
        jobs: Arc::clone(&store) as _,
        exports: store,
        launcher: Arc::new(CloudRunJobs::new(config::CloudRunConfig::from(&process)?)),
        limits: config::caller_limits(&process)?,
        list: list_service::routes(config::ListServiceConfig::from(&process)?),
    };
    serve::run(create::router(context), &process).await
}
