//! The binary of the function `list`.

use std::sync::Arc;

use shared::{
    adapters::{firebase_keys, firestore::Firestore},
    config::{self, process},
    serve::{self, FatalError},
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), FatalError> {
    config::load_dotenv()?;
    telemetry::init(&process)?;
    let context = list::Context {
        callers: firebase_keys::verifier(config::FirebaseConfig::from(&process)?),
        jobs: Arc::new(Firestore::new(config::FirestoreConfig::from(&process)?).connected_early()),
    };
    serve::run(list::router(context), &process).await
}
