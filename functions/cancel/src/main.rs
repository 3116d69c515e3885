//! The binary of the function `cancel`.

use std::sync::Arc;

use shared::{
    adapters::{cloud_run::CloudRunJobs, firebase_keys, firestore::Firestore},
    config::{self, process},
    serve::{self, FatalError},
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), FatalError> {
    config::load_dotenv()?;
    telemetry::init(&process)?;
    let store = Arc::new(Firestore::new(config::FirestoreConfig::from(&process)?).connected_early());
    let context = cancel::Context {
        callers: firebase_keys::verifier(config::FirebaseConfig::from(&process)?),
        jobs: Arc::clone(&store) as _,
        exports: store,
        launcher: CloudRunJobs::new(config::CloudRunConfig::from(&process)?).connected_to_cancel(),
    };
    serve::run(cancel::router(context), &process).await
}
